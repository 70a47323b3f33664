"""Points 5 and 6: searching 100,000 clustered features against the exact scan, and the shortlist against hnswlib."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import collection, features
from benchmarks.harness import Pair, Settings, Worker, alone, cbir_command, one_blas_thread, run_command, take_turns
from benchmarks.results import Result, measured, noted
from cbir.index.format import load_meta

TOP = 10
EFS = (10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 400, 800)


def run(settings: Settings) -> Iterator[Result]:
    """Write the index, then ask."""
    rows, count = settings.pick(100_000, 20_000), settings.pick(200, 100)
    directory = settings.scratch / "indexes" / "clustered"
    builds = [alone(collection.write, directory, rows, settings.scratch)]
    builds += [alone(collection.build_candidates, directory) for _ in range(settings.pick(2, 0))]
    asked = features.queries(count, rows)
    # the exact scan may use all cores; cbir uses one, as the command does
    with Worker() as theirs, one_blas_thread(), Worker() as ours:
        found: dict[str, list[list[int]]] = {}
        _, wanted = theirs.call(collection.exact, rows, asked, TOP)

        def exact() -> float:
            return theirs.call(collection.exact, rows, asked[:20], TOP)[0]

        def cbir() -> float:
            seconds, found["cbir"] = ours.call(collection.search, directory, asked, TOP, False)
            return seconds

        pair = take_turns(cbir, exact, settings.pick(7, 3))
        reached = collection.recall(found["cbir"], wanted)
        yield measured("search-recall", reached, f"{rows:,} rows, {count} queries that are not among them")
        yield measured("search-time", pair.ratio, in_milliseconds(pair), seconds_a_query=pair.to_json())
        added = take_turns(
            lambda: ours.call(collection.search, directory, asked, TOP, True)[0], cbir, settings.pick(5, 3)
        )
    difference = 1000 * (median(added.first) - median(added.second))
    details = f"{1000 * median(added.first):.2f} ms a query re-ranked"
    yield measured("search-rerank", difference, details, seconds_a_query=added.to_json())
    yield from _hnswlib(settings, rows, asked, wanted, reached, builds)
    yield from _opening(directory, asked)
    yield from _calibration(directory, reached)


def in_milliseconds(pair: Pair) -> str:
    """A query of cbir and of the exact scan, for people."""
    return f"{1000 * median(pair.first):.2f} ms a query, exact scan {1000 * median(pair.second):.2f} ms"


def _hnswlib(
    settings: Settings, rows: int, asked: Any, wanted: list[list[int]], reached: float, builds: list[float]
) -> Iterator[Result]:
    """Its build, and the least ef with which it recalls as much."""
    if importlib.util.find_spec("hnswlib") is None:
        yield noted(5, "building the shortlist", median(builds), "s", "hnswlib is missing: pip install '.[bench]'")
        return
    with Worker() as worker:
        seconds = worker.call(collection.hnsw_build, rows, 16, 100)
        for ef in EFS:
            time_a_query, found = worker.call(collection.hnsw_search, asked, TOP, ef)
            recall = collection.recall(found, wanted)
            if recall >= reached:
                break
    details = (
        f"shortlist {median(builds):.1f} s, hnswlib {seconds:.1f} s (M 16, ef_construction 100); with ef {ef} it "
        f"recalls {recall:.4f} at {1000 * time_a_query:.2f} ms a query"
    )
    raw = {"builds": builds, "hnswlib": seconds, "ef": ef, "recall": recall, "seconds_a_query": time_a_query}
    yield measured("search-build", median(builds) / seconds, details, **raw)


def _opening(directory: Path, asked: Any) -> Iterator[Result]:
    opened = []
    for _ in range(5):
        with Worker() as worker:
            opened.append(worker.call(collection.open_for_search, directory))
            for name, queries in (("one", asked[:1]), ("many", asked)):
                worker.call(collection.search, directory, queries, TOP, True)
                opened[-1] |= {f"{key}_{name}": value for key, value in worker.call(collection.memory).items()}
    middle = {key: median(one[key] for one in opened) for key in opened[0]}
    details = f"of which meta.json and the blocks {middle['open_ms']:.1f} ms, the rest the shortlist"
    yield measured("search-open", middle["ready_ms"], details, opened=opened)
    details = (
        f"peak, mapped files included, after one query; {middle['resident_mb']:.0f} MB when opened, "
        f"{middle['peak_mb_many']:.0f} MB after {len(asked)} queries, of which {middle['private_mb_many']:.0f} private"
    )
    yield measured("search-resident", middle["peak_mb_one"], details)


def _calibration(directory: Path, reached: float) -> Iterator[Result]:
    candidates = load_meta(directory).candidates
    if candidates is None:
        raise RuntimeError(f"{directory} has no candidates")
    search_k = candidates.settings["search_k"]
    details = f"search_k {search_k}; on the queries here {reached:.4f}"
    yield measured("calibrated", candidates.recall, details, search_k=search_k)
    shown = run_command([*cbir_command(), "info", "--index", directory])
    digits = shown.replace(",", "")
    shows = f"{search_k}" in digits and re.search(rf"\b{candidates.recall:.2f}|{candidates.recall:.1%}", shown)
    yield measured("info-shows", bool(shows), " | ".join(line for line in shown.splitlines() if "shortlist" in line))
