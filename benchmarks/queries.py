"""Point 9: many queries in one call of `cbir search`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks import collection, pictures, plain, product
from benchmarks.harness import Settings, Worker, alone, cbir_command, run_command, take_turns, timed
from benchmarks.machine import gpu
from benchmarks.results import Result, measured, noted

COUNT = 200


def run(settings: Settings) -> Iterator[Result]:
    """200 files that are not in an index of 10,000, against extracting as many at the rate of `cbir index`."""
    rows = settings.pick(10_000, 6_000)
    files = pictures.small(settings.work, settings.shared, 4 * COUNT)
    asked, others = files[:COUNT], files[COUNT:]
    directory = settings.scratch / "indexes" / "queries"
    alone(collection.write, directory, rows, settings.scratch, (), plain.LITE)
    listing = settings.scratch / "queries.txt"
    listing.write_text("".join(f"{path}\n" for path in asked))
    engine = "openvino" if gpu() is not None else None
    command: list[str | Path] = [
        *cbir_command(),
        "search",
        "--index",
        directory,
        "--files-from",
        listing,
        "--format",
        "jsonl",
    ]
    command += ["--engine", engine] if engine else []
    folder = pictures.folder_of(others, settings.scratch / "others")
    with Worker() as worker:

        def at_index_rate() -> float:
            """What 200 pictures take at the rate of many, the engine open and the start not counted, as in point 1."""
            seconds = worker.call(product.index, folder, settings.scratch / "rate", plain.LITE, None, engine)
            return seconds * COUNT / len(others)

        yield _result("queries", command, at_index_rate, settings, rows)
        yield _result(None, [*command, "--no-rerank"], at_index_rate, settings, rows)


def _result(
    key: str | None, command: Sequence[str | Path], at_index_rate: Callable[[], float], settings: Settings, rows: int
) -> Result:
    pair = take_turns(lambda: timed(run_command, command), at_index_rate, settings.pick(5, 3))
    details = (
        f"whole command {median(pair.first):.2f} s, {COUNT} pictures at the rate of cbir index "
        f"{median(pair.second):.2f} s; {plain.LITE}, {rows:,} rows"
    )
    if key is None:
        what = "the same with --no-rerank"
        return noted(9, what, pair.ratio, "times", details, seconds=pair.to_json())
    return measured(key, pair.ratio, details, seconds=pair.to_json())
