"""Indexes of synthetic features, and what is asked of them, each side in a process of its own (`harness.Worker`)."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, count, islice, repeat, starmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import features, processes
from cbir.backbones.backbone import describe
from cbir.backbones.head import Classifier
from cbir.backbones.imagenet import CLASSES
from cbir.images.fingerprint import SIDE
from cbir.index.columns.classes import pack
from cbir.index.columns.thumbnails import pack as pack_thumbnail
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats

#: The network that an index says it was made with has features of the same dimension.
BACKBONE = "resnet50"

#: Rows that are committed at a time.
COMMIT_ROWS = 50_000

_LOGITS = 4

_FIRST = "2026-01-01T00:00:00Z"


def write(
    directory: Path,
    rows: int,
    root: Path,
    records: Iterable[FileRecord] = (),
    name: str = BACKBONE,
    weights: Path | None = None,
    classified: bool = False,
    thumbnails: bool = False,
) -> float:
    """Write an index of `rows` clustered features, and return the seconds that its shortlist took.

    `records` are the first rows' files; the others have made-up ones. If they are to be `classified`, rows have the
    most probable classes of a last layer of random numbers, so that those of a cluster have the same. With `thumbnails`
    they have drawn ones; each hundredth row is the one before it again, a little noisier.
    """
    logging.getLogger("cbir").setLevel(logging.ERROR)
    backbone = describe(name, str(weights) if weights else None if name != BACKBONE else "untrained")
    directory.mkdir(parents=True)
    writer = Writer(directory, Meta(backbone.to_json(), backbone.dimension, str(root), _FIRST, _FIRST))
    files = chain(records, made_up())
    classifier = _random_classifier(backbone.dimension) if classified else None
    for chunk in features.chunks(rows, backbone.dimension):
        if thumbnails:
            chunk[99::100] = chunk[98::100]
        classes = repeat(None) if classifier is None else starmap(pack, zip(*classifier.top(chunk), strict=True))
        for record, feature, its in zip(islice(files, len(chunk)), chunk, classes, strict=False):
            stored = {} if its is None else {"classes": its}
            if thumbnails:
                grey = _thumbnail(writer.count_valid())
                stored["thumbnails"] = pack_thumbnail((4000, 3000), grey)
            writer.add(record, feature, stored)
        if writer.pending >= COMMIT_ROWS:
            writer.commit()
    writer.commit()
    started = time.perf_counter()
    writer.tidy()
    return time.perf_counter() - started


def _thumbnail(row: int) -> npt.NDArray[np.uint8]:
    """Soft shapes and a little noise; those of rows 99, 199 … are those of the rows before them."""
    rng = np.random.default_rng(row - 1 if row % 100 == 99 else row)
    waves = np.arange(1, 5)[:, np.newaxis] * np.linspace(0, np.pi, SIDE)
    grey = np.cos(waves).T @ rng.normal(0, 30, (4, 4)) @ np.cos(waves) + 128
    noise = np.random.default_rng(row).normal(0, 2, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def _random_classifier(dimension: int) -> Classifier:
    # logits spread as widely as on photos: the first of a thousand classes has about half of all probability
    weights = np.random.default_rng(1).normal(0, _LOGITS, (CLASSES, dimension)).astype(np.float32)
    return Classifier(weights, np.zeros(CLASSES, dtype=np.float32))


def build_candidates(directory: Path) -> float:
    """Seconds in which the candidates of a large index are made anew: directions, trees, calibration, files."""
    index = Index.open(directory)
    writer = Writer(directory, index.meta)
    writer.replace(index.meta.but(candidates=None))
    started = time.perf_counter()
    writer.tidy()
    return time.perf_counter() - started


def made_up() -> Iterator[FileRecord]:
    """Files that are not there, with names of usual length."""
    for number in count():
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        yield FileRecord(f"2026/{number // 250:04}/IMG_{number:07}.jpg", 2_000_000, 10**18 + number, digest)


def record_of(path: Path, root: Path) -> FileRecord:
    """A file as the index knows it."""
    status, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
    return FileRecord(path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns, digest)


def open_for_search(directory: Path) -> dict[str, float]:
    """Milliseconds until an index can answer, in a process that has imported all it needs, and its memory in MB."""
    started = time.perf_counter()
    index = Index.open(directory)
    opened = time.perf_counter()
    index.candidates()
    ready = time.perf_counter()
    return {
        "open_ms": 1000 * (opened - started),
        "ready_ms": 1000 * (ready - started),
        "resident_mb": processes.memory("self", "VmRSS"),
        "private_mb": processes.memory("self", "RssAnon"),
    }


def search(directory: Path, queries: Floats, top: int, reranked: bool) -> tuple[float, list[list[int]]]:
    """Seconds a query, and the rows that were found."""
    searcher = _searcher(directory)
    found = []
    started = time.perf_counter()
    for query in queries:
        found.append(searcher.ranked(query, top, reranked=reranked)[0])
    seconds = (time.perf_counter() - started) / len(queries)
    return seconds, [rows.tolist() for rows in found]


def memory() -> dict[str, float]:
    """This process's memory in MB: private now, resident at its peak."""
    return {"private_mb": processes.memory("self", "RssAnon"), "peak_mb": processes.memory("self", "VmHWM")}


def exact(rows: int, queries: Floats, top: int) -> tuple[float, list[list[int]]]:
    """Seconds a query of the plain scan, one product of matrix and vector in float32, and the rows that it found."""
    everything = _everything(rows)
    found = []
    started = time.perf_counter()
    for query in queries:
        cosines = everything @ query
        first = np.argpartition(-cosines, top)[:top]
        found.append(first[np.argsort(-cosines[first])])
    seconds = (time.perf_counter() - started) / len(queries)
    return seconds, [rows_.tolist() for rows_ in found]


def recall(found: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]) -> float:
    """The share of wanted rows that were found."""
    hits = sum(len(set(one) & set(other)) for one, other in zip(found, wanted, strict=True))
    return hits / sum(map(len, wanted))


def hnsw_build(rows: int, neighbours: int, construction: int) -> float:
    """Seconds of hnswlib's build over the same rows."""
    import hnswlib

    everything = _everything(rows)
    index = hnswlib.Index("ip", everything.shape[1])
    started = time.perf_counter()
    index.init_index(rows, M=neighbours, ef_construction=construction, random_seed=1)
    index.add_items(everything)
    seconds = time.perf_counter() - started
    _hnsw["index"] = index
    return seconds


def hnsw_search(queries: Floats, top: int, ef: int) -> tuple[float, list[list[int]]]:
    """Seconds a query of the index that `hnsw_build` made in this process, and the rows that it found."""
    index = _hnsw["index"]
    index.set_ef(ef)
    started = time.perf_counter()
    found = [index.knn_query(query, top, num_threads=1)[0][0].tolist() for query in queries]
    return (time.perf_counter() - started) / len(queries), found


_hnsw: dict[str, Any] = {}


@cache
def _searcher(directory: Path) -> Searcher:
    return Searcher(Index.open(directory))


@cache
def _everything(rows: int) -> Floats:
    return features.collection(rows)
