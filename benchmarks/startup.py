"""Point 4: whole commands, from the shell's side, against importing torch and against a bare script."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import collection, pictures, plain
from benchmarks.extraction import weights_of
from benchmarks.harness import Settings, alone, cbir_command, run_command, take_turns, timed
from benchmarks.results import Result, measured

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


def _pair(key: str, ours: Sequence[str | Path], theirs: Sequence[str | Path], rounds: int, details: str = "") -> Result:
    pair = take_turns(partial(timed, run_command, ours), partial(timed, run_command, theirs), rounds)
    seconds = f"{median(pair.first):.3f} s against {median(pair.second):.3f} s"
    return measured(key, pair.ratio, f"{seconds}{', ' if details else ''}{details}", seconds=pair.to_json())
