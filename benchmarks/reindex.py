"""Point 7: a run over a folder of 100,000 files in which nothing, or little, has changed."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import collection, pictures, plain, product
from benchmarks.harness import Settings, Worker, alone, cbir_command, run_command, take_turns, timed
from benchmarks.results import Result, measured, noted
from cbir.extract.extractor import Extractor
from cbir.index.files import FileRecord
from cbir.indexing.run import build_index
from cbir.indexing.target import Target

ADDED = 100


def run(settings: Settings) -> Iterator[Result]:
    """Make the folder and its index, run over it unchanged, then with pictures added."""
    count, rounds = settings.pick(100_000, 20_000), settings.pick(5, 3)
    root, directory = settings.scratch / "tree", settings.scratch / "indexes" / "tree"
    alone(_prepare, root, directory, count)
    with Worker() as ours, Worker() as theirs:
        pair = take_turns(
            lambda: ours.call(unchanged, root, directory, count),
            lambda: theirs.call(bare_walk, root, directory),
            rounds,
        )
        details = f"{count:,} files: {median(pair.first):.2f} s, bare {median(pair.second):.2f} s"
        yield measured("reindex", pair.ratio, details, seconds=pair.to_json())
        yield _whole_command(directory)
        # last, since the hook that watches stays in its process and slows it
        yield measured("reindex-opened", alone(opened_pictures, root, directory, count))
        yield _adding(settings, ours, root, directory, median(pair.first))


def _whole_command(directory: Path) -> Result:
    seconds = [timed(run_command, [*cbir_command(), "index", "--index", directory, "-q"]) for _ in range(3)]
    return noted(7, "unchanged re-index, the whole command", median(seconds), "s", seconds=seconds)


def _adding(settings: Settings, ours: Worker, root: Path, directory: Path, idle: float) -> Result:
    """Add pictures again and again, each time others, and take off what extracting as many takes."""
    rounds = settings.pick(4, 3)
    files = pictures.small(settings.work, settings.shared, 2 * ADDED * rounds)
    runs: list[dict[str, float]] = []
    ours.call(extract, files[:ADDED])
    for turn in range(rounds):
        here = files[2 * ADDED * turn : 2 * ADDED * turn + ADDED]
        others = files[2 * ADDED * turn + ADDED : 2 * ADDED * (turn + 1)]
        pictures.folder_of(here, root / f"added-{turn}")
        adding = ours.call(add, root, directory, len(here))
        runs.append({"adding": adding, "extracting": ours.call(extract, others)})
    middle = {key: median(one[key] for one in runs) for key in runs[0]}
    rest = middle["adding"] - middle["extracting"]
    details = f"{middle['adding']:.2f} s, extracting {middle['extracting']:.2f} s, unchanged re-index {idle:.2f} s"
    return measured("reindex-add", rest / idle, details, runs=runs)


def _prepare(root: Path, directory: Path, count: int) -> None:
    pictures.tree(root, count)
    collection.write(directory, count, root, _records(root, count), plain.LITE, classified=True, thumbnails=True)
    unchanged(root, directory, count)


def _records(root: Path, count: int) -> Iterator[FileRecord]:
    made_up = collection.made_up()
    paths = sorted(root.glob("*/*.jpg"))
    for path, record in zip(paths, islice(made_up, count), strict=True):
        status = path.stat()
        yield record._replace(path=path.relative_to(root).as_posix(), size=status.st_size, mtime_ns=status.st_mtime_ns)


def bare_walk(root: Path, directory: Path) -> float:
    """Seconds that a program needs at least: list all folders, look at all files, read what was known of them."""
    started = time.perf_counter()
    found = 0
    pending: list[str] = [str(root)]
    while pending:
        with os.scandir(pending.pop()) as listing:
            for entry in listing:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat()
                    found += 1
    known: list[Any] = []
    for path in directory.glob("files-*.json"):
        known += json.loads(path.read_bytes())
    return time.perf_counter() - started


def unchanged(root: Path, directory: Path, count: int) -> float:
    """Seconds of a run that finds nothing to do."""
    logging.getLogger("cbir").setLevel(logging.ERROR)
    started = time.perf_counter()
    report, _ = build_index(Target(directory, root, is_new=False))
    seconds = time.perf_counter() - started
    if report.unchanged != count or report.total != count:
        raise RuntimeError(f"something was found to do: {report.summary(directory.name)}")
    return seconds


def opened_pictures(root: Path, directory: Path, count: int) -> int:
    """How many files below the root an unchanged run opens."""
    opened = []
    prefix = os.path.join(root, "")

    def watch(event: str, arguments: Sequence[Any]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)) and os.fsdecode(arguments[0]).startswith(prefix):
            opened.append(arguments[0])

    sys.addaudithook(watch)
    unchanged(root, directory, count)
    return len(opened)


def add(root: Path, directory: Path, count: int) -> float:
    """Seconds of a run that finds that many new pictures."""
    product.keep_engine()
    started = time.perf_counter()
    report, _ = build_index(Target(directory, root, is_new=False))
    seconds = time.perf_counter() - started
    if report.added != count:
        raise RuntimeError(f"not just {count} added: {report.summary(directory.name)}")
    return seconds


def extract(files: Sequence[Path]) -> float:
    """Seconds in which as many pictures are read and go through the network, with the decoders' start."""
    product.keep_engine()
    extractor = Extractor(plain.LITE, expected=len(files), isolated=True)
    started = time.perf_counter()
    for result in extractor.run((path, path) for path in files):
        if result.error is not None:
            raise result.error
    return time.perf_counter() - started
