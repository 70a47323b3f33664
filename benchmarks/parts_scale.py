"""What searching the parts of many pictures costs, in an index whose rows are those of a small one with noise."""

from __future__ import annotations

import logging
import os
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks import processes
from benchmarks.collection import made_up
from cbir.index.ann.codes import SCALE, quantised, signs
from cbir.index.columns.parts import MOST, NUMBERS, PARTS, SIGNS, PartRows, pack
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search.by_parts import find_parts
from cbir.utils.vectors import Floats, l2_normalize

#: Pictures that are committed at a time.
_COMMIT = 2048

#: What is added to numbers of which most are within ±30: windows of other pictures are less alike than that.
_NOISE = 15

_SEED = 3


class Cost(NamedTuple):
    """Of searches by parts: milliseconds each in the middle, and of scans of all signs; megabytes of private memory
    before them and at the peak of them, and the shares that they find of the first ten pictures of a scan of signs, and
    of an exact one."""

    milliseconds: float
    scan: float
    before: float
    peak: float
    of_scan: float
    recall: float


class Built(NamedTuple):
    """Of lists of windows: seconds, the share of them that a search reads, and the recall that was measured."""

    seconds: float
    share: float
    recall: float


def write(directory: Path, real: Path, pictures: int) -> int:
    """Write an index of so many pictures with MOST windows each, and return the bytes of its files of parts."""
    logging.getLogger("cbir").setLevel(logging.ERROR)
    source = Index.open(real)
    known = source.stored(PARTS, range(source.rows))
    windows = known["numbers"][known["box"][..., 2] > 0]
    random = np.random.default_rng(_SEED)
    features = random.normal(size=(64, source.meta.dimension)).astype(np.float32)
    boxes = np.tile(np.array([0, 0, 100, 100], dtype=np.int32), (MOST, 1))
    directory.mkdir(parents=True)
    writer = Writer(directory, source.meta.but(blocks=(), candidates=None, cosines=None, next_number=1, parts=None))
    entry = source.meta.parts
    if entry is not None and entry.file is not None:
        entry = writer.keep_whitening((real / entry.file.name).read_bytes(), entry.pictures)
    for number, record in enumerate(islice(made_up(), pictures)):
        numbers = windows[random.integers(0, len(windows), MOST)].astype(np.float32)
        numbers[numbers != 0] += random.normal(0, _NOISE, int((numbers != 0).sum()))
        rows = quantised(l2_normalize(numbers))
        parts, its_signs = pack(PartRows(boxes, rows, signs(rows)))
        feature = features[number % len(features)] + np.float32(0.1) * random.normal(size=features.shape[1])
        writer.add(record, feature, {PARTS.name: parts, SIGNS.name: its_signs})
        if writer.pending >= _COMMIT:
            writer.commit(parts=entry)
    writer.commit(parts=entry)
    return sum(block.columns[column.name].bytes for block in writer.meta.blocks for column in (PARTS, SIGNS))


def build(directory: Path) -> Built:
    """Build the lists of an index's windows, and before what else it has of its rows."""
    writer = Writer(directory, load_meta(directory))
    parts = writer.meta.parts
    writer.replace(writer.meta.but(parts=None))
    writer.tidy()
    writer.replace(writer.meta.but(parts=parts))
    began = time.perf_counter()
    writer.tidy()
    seconds, entry = time.perf_counter() - began, writer.meta.part_lists
    assert entry is not None
    return Built(seconds, entry.settings["probed"] / entry.settings["lists"], entry.recall)


def search(directory: Path, queries: int) -> Cost:
    """Search by windows of the index's own pictures, with as much noise again."""
    index = Index.open(directory)
    random = np.random.default_rng(_SEED + 1)
    asked = []
    for row in random.integers(0, index.rows, queries + 1).tolist():
        numbers = index.stored(PARTS, [row])["numbers"][0, 5].astype(np.float32)
        numbers[numbers != 0] += random.normal(0, _NOISE, int((numbers != 0).sum()))
        asked.append(numbers / np.linalg.norm(numbers))
    scanned = Index(directory, index.meta.but(part_lists=None))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    found: dict[bool, list[set[int]]] = {True: [], False: []}

    def ask(is_scan: bool, queries: list[Floats]) -> None:
        for query in queries:
            began = time.perf_counter()
            answer = find_parts(scanned if is_scan else index, query, 10, [])
            seconds[is_scan].append(time.perf_counter() - began)
            found[is_scan].append(set(answer.rows.tolist()))

    before, most = processes.peak_while(os.getpid(), lambda: ask(False, asked))
    seconds[False], found[False] = [], []
    for query in asked:  # by turns
        ask(True, [query])
        ask(False, [query])
    best = np.full((len(asked), index.rows), -2, dtype=np.float32)
    for start, chunk in index.stored_chunks(PARTS):
        scores = chunk["numbers"].reshape(-1, NUMBERS).astype(np.float32) @ np.stack(asked).T / np.float32(SCALE)
        best[:, start : start + len(chunk)] = scores.reshape(len(chunk), MOST, -1).max(axis=1).T
    wanted = [set(np.argsort(-scores, kind="stable")[:10].tolist()) for scores in best]
    of_scan, recall = (
        float(np.mean([len(one & other) / 10 for one, other in zip(found[False], others, strict=True)]))
        for others in (found[True], wanted)
    )
    return Cost(1000 * median(seconds[False]), 1000 * median(seconds[True]), before, most, of_scan, recall)
