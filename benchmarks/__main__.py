"""`python -m benchmarks`: measure, print a line a figure, and keep all of it as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine
from benchmarks.harness import Settings
from benchmarks.results import Result
from benchmarks.targets import TARGETS

HERE = Path(__file__).resolve().parent

#: The modules that measure, in this order. Each has a `run(settings)` that yields results.
BENCHMARKS = (
    "extraction",
    "large",
    "precision",
    "joined",
    "startup",
    "search",
    "reindex",
    "memory",
    "queries",
    "words",
    "arithmetic",
    "texts",
    "feedback",
    "adapt",
    "asking",
    "adapt_parts",
    "adapt_large",
    "map",
    "segmentation",
    "duplicates",
    "parts",
    "objects",
    "faces",
    "explain",
    "imagine",
    "across",
    "across_stages",
    "treatment",
    "serve",
    "million",
    "parts_many",
    "serve_long",
    "gpu",
    "workers",
    "beyond",
    "milvus",
)

#: Only when they are named: they take a quarter of an hour, 10 GB of memory and as much of disk; 9 GB of disk; half an
#: hour; a card; 200,000 files; two extras.
ON_REQUEST = ("million", "parts_many", "serve_long", "gpu", "workers", "beyond")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="fewer pictures, rows and rounds: about four minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, raw measurements and the machine")
    parser.add_argument(
        "--work", type=Path, default=HERE / "work", help="where pictures and compiled networks are kept (%(default)s)"
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(BENCHMARKS)}")
    names = options.names or [name for name in BENCHMARKS if name not in ON_REQUEST]
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    shared = Path(os.environ.get("CBIR_SHARED") or HERE.parent.parent / "shared")
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=work))
    _isolate(work, scratch)
    try:
        _measure(names, Settings(work, scratch, shared.resolve(), options.quick), options.json)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _isolate(work: Path, scratch: Path) -> None:
    """Keep the user's settings, indexes and caches out of this process and those that it starts."""
    for name in ("CBIR_MODEL", "CBIR_ENGINE", "CBIR_WEIGHTS_MIRROR"):
        os.environ.pop(name, None)
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    os.environ["XDG_DATA_HOME"] = str(scratch / "data")
    os.environ["CBIR_HOME"] = str(scratch / "indexes")


def _measure(names: list[str], settings: Settings, file: Path | None) -> None:
    described = machine.describe()
    print(machine.headline(described))
    print(f"{'Quick: fewer pictures, rows and rounds than the targets speak of. ' * settings.quick}", flush=True)
    started = time.monotonic()
    results: list[Result] = []
    failures: dict[str, str] = {}
    for name in names:
        began = time.monotonic()
        print(f"\n{name}", flush=True)
        try:
            for result in _results(name, settings):
                print("\n".join(result.lines()), flush=True)
                results.append(result)
        except KeyboardInterrupt:  # what was measured until then is kept
            failures[name] = "interrupted"
            break
        except Exception as error:  # one benchmark that cannot run here must not cost the others
            failures[name] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        print(f"   ({time.monotonic() - began:.0f} s)", flush=True)
    _summarise(names, results, failures)
    if file is not None:
        record = {
            "machine": described,
            "quick": settings.quick,
            "seconds": round(time.monotonic() - started, 1),
            "results": [result.to_json() for result in results],
            "failures": failures,
        }
        file.write_text(json.dumps(record, indent=1) + "\n")
        print(f"All measurements are in {file}.")


def _results(name: str, settings: Settings) -> Iterator[Result]:
    results: Iterator[Result] = importlib.import_module(f"benchmarks.{name}").run(settings)
    return results


def _summarise(names: list[str], results: list[Result], failures: dict[str, str]) -> None:
    """What was reached, what was not, and what could not be measured."""
    bounded = {result.key: result for result in results if result.key}
    missed = [result for result in bounded.values() if result.verdict != "reached"]
    wanted = [key for key, target in TARGETS.items() if target.benchmark in names]
    print(f"\n{len(bounded) - len(missed)} of {len(wanted)} targets reached.")
    for result in missed:
        print(f"  not reached:  {result.lines()[0]}")
    for key in wanted:
        if key not in bounded:
            print(f"  not measured: {TARGETS[key].point}  {TARGETS[key].what}")
    for name, reason in failures.items():
        print(f"  {name} failed: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
