"""Point 5, once more with one million rows. Takes a quarter of an hour, 10 GB of memory and as much of disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benchmarks import collection, features
from benchmarks.harness import Settings, Worker, alone, one_blas_thread, take_turns
from benchmarks.machine import describe
from benchmarks.results import Result, measured, noted
from benchmarks.search import TOP, in_milliseconds

ROWS = 1_000_000
QUERIES = 200

#: Gigabytes: merging blocks needs the features twice on disk, the exact scan has them in float32 in memory.
DISK, MEMORY = 14, 11


def run(settings: Settings) -> Iterator[Result]:
    """Write the index, then ask."""
    free = shutil.disk_usage(settings.scratch).free / 2**30
    if free < DISK or describe()["memory_gb"] < MEMORY:
        raise RuntimeError(f"one million rows need {DISK} GB of disk and {MEMORY} GB of memory")
    directory = settings.scratch / "indexes" / "million"
    with Worker() as worker:
        seconds = worker.call(collection.write, directory, ROWS, settings.scratch)
        peak = worker.call(collection.memory)["peak_mb"]
    trees = sum(path.stat().st_size for path in directory.glob("*.ann")) / 2**20
    details = f"its file {trees:,.0f} MB; peak of the writing process, mapped files included, {peak:,.0f} MB"
    yield noted(5, "one million rows: building the shortlist", seconds, "s", details)
    opened = alone(collection.open_for_search, directory)
    details = f"meta.json and the blocks {opened['open_ms']:.1f} ms"
    yield noted(5, "one million rows: opening the index", opened["ready_ms"], "ms", details)
    asked = features.queries(QUERIES, ROWS)
    with Worker() as theirs, one_blas_thread(), Worker() as ours:
        _, wanted = theirs.call(collection.exact, ROWS, asked, TOP)
        found: dict[str, list[list[int]]] = {}

        def cbir() -> float:
            seconds, found["cbir"] = ours.call(collection.search, directory, asked, TOP, False)
            return seconds

        pair = take_turns(cbir, lambda: theirs.call(collection.exact, ROWS, asked[:10], TOP)[0], 5)
        memory = ours.call(collection.memory)
    yield measured("million-recall", collection.recall(found["cbir"], wanted), f"{QUERIES} queries")
    yield measured("million-time", pair.ratio, in_milliseconds(pair), seconds_a_query=pair.to_json())
    details = f"resident at its peak, mapped files included, {memory['peak_mb']:,.0f} MB"
    yield measured("million-private", memory["private_mb"], details)
