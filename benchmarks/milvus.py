"""Point 22: candidates from Milvus, by milvus-lite in this process, against the exact scan. It is no fast database."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import features
from benchmarks.harness import Settings, alone
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import describe
from cbir.index.files import FileRecord
from cbir.index.format import Meta, load_meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.utils.vectors import Floats

_DIMENSION, _TOP, _ASKED = 1280, 10, 100


def run(settings: Settings) -> Iterator[Result]:
    """Send clustered features, and those of photos; ask for candidates by each kind of index that cbir makes there."""
    rows = settings.pick(20_000, 6_000)
    directory = settings.scratch / "clustered"
    figures = alone(of_clusters, directory, rows)
    what = f"{rows:,} × {_DIMENSION:,} clustered, {_ASKED} queries that are not among them"
    yield measured("milvus-clustered", figures["FLAT"], what, **figures)
    yield noted(22, "milvus: the same with the index that a server gets (HNSW)", figures["HNSW"], "")
    yield noted(22, "milvus: rows sent to milvus-lite", rows / figures["sending"], "a second", what)
    scan = 1000 * figures["scan"]
    yield noted(
        22, "milvus: 200 candidates by milvus-lite", 1000 * figures["asking"], "ms", f"exact scan {scan:.0f} ms"
    )
    yield noted(22, "milvus: opening a collection, pymilvus loaded", figures["opening"], "s")
    yield noted(22, "milvus: loading pymilvus", alone(loading), "s")
    file = settings.shared / "reference" / "efficientnet_lite0_photos.npz"
    if file.exists():
        found = alone(of_photos, settings.scratch / "photos", file)
        yield measured("milvus-photos", found, f"2,000 photos in the index, {_ASKED} of them asked")


def of_clusters(directory: Path, rows: int) -> dict[str, float]:
    """Measure with synthetic features: recalls by the kind of index, and seconds."""
    write(directory, features.chunks(rows, _DIMENSION))
    asked = features.queries(_ASKED, rows, _DIMENSION)
    figures = {"sending": send(directory, f"milvus+lite:{directory.parent / 'lite.db'}")}
    exact, seconds = scanned(directory, asked)
    figures["scan"] = median(seconds)
    started = time.perf_counter()
    candidates = opened(directory)
    figures["opening"] = time.perf_counter() - started
    figures["FLAT"] = recall(candidates, asked, exact)
    times = [timed_search(candidates, query[np.newaxis]) for query in asked[:30]]
    figures["asking"] = median(times[5:])
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(directory.parent / "server.db"))
    send(directory, f"milvus://127.0.0.1:{port}/rows")
    figures["HNSW"] = recall(opened(directory), asked, exact)
    server.stop(0).wait()
    database.close()
    return figures


def of_photos(directory: Path, file: Path) -> float:
    """Return the recall at 10 among the features of photos."""
    with np.load(file, allow_pickle=False) as stored:
        vectors = stored["features"].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write(directory, [vectors])
    send(directory, f"milvus+lite:{directory.parent / 'photos.db'}")
    asked = vectors[np.random.default_rng(1).choice(len(vectors), _ASKED, replace=False)]
    return recall(opened(directory), asked, scanned(directory, asked)[0])


def loading() -> float:
    """Return the seconds that pymilvus takes to load."""
    started = time.perf_counter()
    import pymilvus

    assert pymilvus.MilvusClient
    return time.perf_counter() - started


def write(directory: Path, chunks: Iterable[Floats]) -> None:
    """Write an index without candidates."""
    directory.mkdir(parents=True)
    model = {**describe("efficientnet_lite0", "untrained").to_json(), "dimension": _DIMENSION}
    writer = Writer(directory, Meta(model, _DIMENSION, str(directory), "2026", "2026"))
    for chunk in chunks:
        for feature in chunk:
            row = writer.meta.rows + writer.pending
            writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature)
        writer.commit()


def send(directory: Path, address: str) -> float:
    """Have the index keep its rows at an address, and return the seconds that it took to send them."""
    from cbir.indexing.rows_elsewhere import keep_rows

    keep_rows(directory, load_meta(directory), address, None)
    writer = Writer(directory, load_meta(directory))
    started = time.perf_counter()
    writer.tidy()
    seconds = time.perf_counter() - started
    assert writer.meta.candidates is not None
    assert writer.meta.candidates.backend == "milvus"
    return seconds


def opened(directory: Path) -> Any:
    """Return the candidates of an index in Milvus, however few rows it has."""
    from cbir.index.ann.milvus.backend import Milvus

    index = Index.open(directory)
    assert index.meta.store is not None
    assert index.meta.candidates is not None
    return Milvus(index.meta.store).open(directory, index.meta.candidates, index.dimension, index.valid)


def scanned(directory: Path, asked: Floats) -> tuple[np.ndarray, list[float]]:
    """Return the exact first rows of queries, and the seconds of each of some scans, the features in memory."""
    index = Index.open(directory)
    everything = np.concatenate([chunk for _, chunk in index.chunks()])
    seconds = []
    for query in asked[:20]:
        started = time.perf_counter()
        np.argpartition(-(everything @ query), _TOP)
        seconds.append(time.perf_counter() - started)
    return np.argpartition(-(asked @ everything.T), _TOP, axis=1)[:, :_TOP], seconds


def recall(candidates: Any, asked: Floats, exact: np.ndarray) -> float:
    """Return the share of the exact first rows that 200 candidates have."""
    found = candidates.search(asked, 200)
    hits = sum(len(set(wanted.tolist()) & set(near.tolist())) for wanted, near in zip(exact, found, strict=True))
    return hits / exact.size


def timed_search(candidates: Any, query: Floats) -> float:
    """Return the seconds of one question for candidates."""
    started = time.perf_counter()
    candidates.search(query, 200)
    return time.perf_counter() - started
