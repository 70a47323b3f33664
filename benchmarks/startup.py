"""Point 4: whole commands, from the shell's side, against importing torch and against a bare script."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import collection, pictures, plain
from benchmarks.extraction import weights_of
from benchmarks.harness import Settings, alone, cbir_command, run_command, take_turns, timed
from benchmarks.results import Result, measured
from cbir.backbones.catalog import BUNDLED

PLAIN = Path(plain.__file__)


def run(settings: Settings) -> Iterator[Result]:
    """Write an index of 100,000 rows that knows some pictures, then run commands by turns."""
    rows, rounds = settings.pick(100_000, 20_000), settings.pick(9, 3)
    files = pictures.small(settings.work, settings.shared, 20)
    folder = pictures.folder_of(files[:10], settings.scratch / "known")
    weights = weights_of(settings, collection.BACKBONE)
    directory = settings.scratch / "indexes" / "startup"
    records = [collection.record_of(folder / path.name, folder) for path in files[:10]]
    alone(collection.write, directory, rows, folder, records, collection.BACKBONE, weights, True)
    importing = [sys.executable, "-c", "import torch"]
    yield _pair("start-help", [*cbir_command(), "--help"], importing, rounds)
    search: list[str | Path] = [*cbir_command(), "search", "--index", directory, "--engine", "openvino"]
    by_picture: list[str | Path] = [*search, folder / files[0].name]
    yield _pair("start-known", by_picture, importing, rounds, f"{rows:,} rows")
    by_word: list[str | Path] = [*search, "--word"]
    yield _pair("start-word", [*by_word, "dog"], by_picture, rounds, f"{rows:,} rows")
    yield _pair("start-inexact-word", [*by_word, "mandolin"], by_picture, rounds, f"{rows:,} rows")
    new: list[str | Path] = [*search, files[15]]
    run_command(new)  # compiles the network if this machine has not yet
    bare: list[str | Path] = [sys.executable, PLAIN, collection.BACKBONE, str(weights), files[15]]
    yield _pair("start-new", new, bare, settings.pick(7, 2), f"{rows:,} rows")
    yield from _first_use(settings, files[0])


def _first_use(settings: Settings, picture: Path) -> Iterator[Result]:
    """Index one picture by the bundled network, which is prepared for that, and by one that is ready, by turns."""
    folder = pictures.folder_of([picture], settings.scratch / "one")
    directory = settings.scratch / "indexes" / "first"
    command: list[str | Path] = [*cbir_command(), "index", folder, "--index", directory, "--model", BUNDLED]

    def index(cache: Path, is_empty: bool) -> float:
        for made in (directory, *([cache] if is_empty else [])):
            shutil.rmtree(made, ignore_errors=True)
        return timed(run_command, command, XDG_CACHE_HOME=str(cache))

    empty, full = (settings.scratch / f"cache-{name}" for name in ("empty", "full"))
    pair = take_turns(partial(index, empty, True), partial(index, full, False), settings.pick(9, 3))
    seconds = f"{median(pair.first):.3f} s with an empty cache, {median(pair.second):.3f} s with a full one"
    yield measured("start-first", median(pair.first), seconds, seconds=pair.to_json())
    yield measured("start-first-ratio", pair.ratio, seconds, seconds=pair.to_json())


def _pair(key: str, ours: Sequence[str | Path], theirs: Sequence[str | Path], rounds: int, details: str = "") -> Result:
    pair = take_turns(partial(timed, run_command, ours), partial(timed, run_command, theirs), rounds)
    seconds = f"{median(pair.first):.3f} s against {median(pair.second):.3f} s"
    return measured(key, pair.ratio, f"{seconds}{', ' if details else ''}{details}", seconds=pair.to_json())
