"""Point 22: an index made by many machines: what the one that plans does for each picture, and how many it can feed."""

from __future__ import annotations

import hashlib
import heapq
import os
import pickle
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import pictures, processes
from benchmarks.cluster import nodes
from benchmarks.harness import Settings, alone, take_turns
from benchmarks.results import Result, measured, noted
from cbir.extract.executor import CHUNK, Chunk, Work
from cbir.extract.on_ray import AT_A_TIME, HELD, WAITING, RayExecutor
from cbir.extract.results import Extracted
from cbir.index.columns import classes, taken, thumbnails
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import Target

#: Milliseconds that a worker of the simulation takes for a picture, and how many workers there are.
_WORK_MS, _WORKERS = 20.0, (2, 8, 32, 128, 512)

_PICTURES = 1_000_000


def run(settings: Settings) -> Iterator[Result]:
    """Index files whose results come ready-made, in pickles as from workers; then simulate workers that take time."""
    counts = settings.pick((20_000, 200_000), (5_000, 20_000))
    each = {count: alone(own_time, settings.scratch / f"tree-{count}", count) for count in counts}
    details = ", ".join(f"{count:,}: {milliseconds:.3f} ms" for count, milliseconds in each.items())
    own = each[counts[-1]]
    yield measured("workers-driver", own, f"processor time, from the walk to the last commit; {details}", each=each)
    for workers in _WORKERS:
        rate = simulated(workers, own) * 1000
        yield noted(
            22,
            f"simulated: {workers} workers of {_WORK_MS:.0f} ms a picture, {_PICTURES:,} pictures",
            rate,
            "a second",
            f"{rate * _WORK_MS / 1000 / workers:.0%} of what they could do",
        )
    yield from _nodes(settings)


def _nodes(settings: Settings) -> Iterator[Result]:
    """Index photos on one node of a Ray cluster and on two, by turns."""
    files = pictures.small(settings.work, settings.shared, settings.pick(2048, 1536))
    root = pictures.folder_of(files, settings.scratch / "photos")
    costs: list[Costs] = []
    rounds = settings.pick(3, 1)
    with nodes(1) as cluster:

        def one() -> float:
            costs.append(alone(on_ray, cluster.address, root, len(cluster.there)))
            return costs[-1].seconds

        def two() -> float:
            cluster.add()
            try:
                return one()
            finally:
                cluster.kill()
                cluster.cluster.wait_for_nodes()

        pair = take_turns(one, two, rounds)
    rates = ", ".join(f"{1 / median(each):.0f} a second" for each in (pair.first, pair.second))
    yield measured("workers-nodes", pair.ratio, f"{rates}; this machine plans beside them", seconds=pair.to_json())
    both = costs[1::2][-rounds:]
    work, own, share = (median(kind) for kind in zip(*(one.processors for one in both), strict=True))
    yield noted(
        22,
        "the same by the time of processors, as if two cores did nothing else",
        (2 - share) * work / (work + own),
        "times",
        f"a picture: workers {1000 * work:.2f} ms, this process {1000 * own:.2f} ms; Ray's own {share:.3f} of a core",
        processors=[one.processors for one in both],
    )


@dataclass(frozen=True)
class Costs:
    """Seconds a picture; those of processors, for workers and the planning process; the cores that Ray itself takes."""

    seconds: float
    processors: tuple[float, float, float]


def on_ray(address: str, root: Path, count: int) -> Costs:
    """Index a folder on `count` nodes that this process's parent started, and count from when all are at work.

    That is from the first results on, when each node has done the chunks that it does at a time.
    """
    begun = count * AT_A_TIME * CHUNK
    seen: list[Costs] = []

    def watch(results: Iterator[Any], total: int) -> Iterator[Any]:
        for number, result in enumerate(results, 1):
            if number in (begun, total):
                seen.append(Costs(time.perf_counter(), _processors()))
            yield result

    with tempfile.TemporaryDirectory(dir=root.parent) as directory:
        target = Target(Path(directory), root, is_new=True)
        report, _ = build_index(target, Options(), watch, executor=RayExecutor(address))
    first, last = seen
    each, seconds = report.total - begun, last.seconds - first.seconds
    work, own, rays = (end - start for start, end in zip(first.processors, last.processors, strict=True))
    return Costs(seconds / each, (work / each, own / each, rays / seconds))


def _processors() -> tuple[float, float, float]:
    """Return the seconds of processors so far: of workers, of this process, of Ray's own processes."""
    cluster = set(processes.descendants(os.getppid())) - {os.getpid()}
    workers = {one for one in cluster if processes.title(one).startswith("ray::_Extracting")}
    workers |= {below for one in workers for below in processes.descendants(one)}
    work, rays = (sum(map(processes.processor_seconds, some)) for some in (workers, cluster - workers))
    return work, time.process_time(), rays


def own_time(root: Path, count: int) -> float:
    """Return the milliseconds of processor time for each of `count` pictures, of which none is read here."""
    for number in range(count):
        if number % 1000 == 0:
            (root / f"{number // 1000:04}").mkdir(parents=True)
        (root / f"{number // 1000:04}" / f"{number:07}.jpg").touch()
    target = Target(root.parent / f"index-{count}", root, is_new=True)
    start = time.process_time()
    build_index(target, Options(), executor=_ReadyMade())
    return (time.process_time() - start) * 1000 / count


class _ReadyMade:
    """Has made-up results for each chunk, in pickles."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._features = random.gamma(0.5, size=(64, 1280)).astype(np.float32)
        likely = np.zeros(classes.COUNT, dtype=classes.RECORD)
        likely["class"], likely["probability"] = np.arange(classes.COUNT), np.linspace(0.5, 0.01, classes.COUNT)
        self._records = {
            classes.CLASSES.name: likely,
            thumbnails.THUMBNAILS.name: thumbnails.pack((640, 480), np.zeros((32, 32), dtype=np.uint8)),
            taken.TAKEN.name: taken.pack(1_700_000_000),
        }

    def map(self, work: Work[Any], chunks: Iterable[Chunk[Any]]) -> Iterator[Iterable[Extracted[Any]]]:
        """Yield the results of each chunk."""
        for chunk in chunks:
            yield pickle.loads(pickle.dumps([self._result(key) for key, _ in chunk]))

    def _result(self, key: Any) -> Extracted[Any]:
        digest = hashlib.sha256(key.path.encode()).digest()
        feature = self._features[digest[0] % 64].copy()
        feature[digest[1]] += digest[2]
        return Extracted(key, digest.hex(), feature, None, self._records, "f32")


def simulated(workers: int, own_ms: float, pictures: int = _PICTURES) -> float:
    """Return the pictures a millisecond of a run whose driver takes `own_ms` for each.

    Workers have chunks as `on_ray` gives them out, and results are taken in the order of chunks.
    """
    chunks, room = -(-pictures // CHUNK), AT_A_TIME + WAITING
    has = [0] * workers
    free_at = [0.0] * workers
    now, sent, told = 0.0, 0, 0
    coming: list[tuple[float, int, int]] = []
    done: set[int] = set()
    waiting = deque(range(workers))
    while told < chunks:
        while waiting and sent < chunks and sent - told < HELD * workers:
            worker = waiting.popleft()
            free_at[worker] = max(free_at[worker], now) + CHUNK * _WORK_MS
            heapq.heappush(coming, (free_at[worker], sent, worker))
            sent += 1
            has[worker] += 1
            if has[worker] < room:
                waiting.append(worker)
        if told in done:
            done.remove(told)
            told += 1
            now += CHUNK * own_ms
            while coming and coming[0][0] <= now:
                _arrive(heapq.heappop(coming), has, waiting, done, room)
            continue
        one = heapq.heappop(coming)
        now = max(now, one[0])
        _arrive(one, has, waiting, done, room)
    return pictures / now


def _arrive(one: tuple[float, int, int], has: list[int], waiting: deque[int], done: set[int], room: int) -> None:
    _, chunk, worker = one
    done.add(chunk)
    if has[worker] == room:
        waiting.append(worker)
    has[worker] -= 1
