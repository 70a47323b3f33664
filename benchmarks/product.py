"""cbir's side of the comparisons, for a process of its own (`harness.Worker`)."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path

import numpy as np

import cbir.engines.select
from cbir.backbones.backbone import Backbone, describe
from cbir.engines.engine import Engine
from cbir.extract.extractor import Extractor
from cbir.images.fit import fit
from cbir.images.fitted import Fitted
from cbir.images.read import read_bytes, read_views
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import Target
from cbir.utils.vectors import Floats, l2_normalize


def index(
    folder: Path,
    directory: Path,
    name: str,
    weights: Path | None,
    engine: str | None,
    parts: bool | None = None,
    views: int = 1,
) -> float:
    """Seconds of a whole run of `cbir index` into a new index, but for importing and opening the engine."""
    keep_engine()
    shutil.rmtree(directory, ignore_errors=True)
    options = Options(model=name, weights=str(weights) if weights else None, engine=engine, parts=parts, views=views)
    started = time.perf_counter()
    report, _ = build_index(Target(directory, folder, is_new=True), options)
    seconds = time.perf_counter() - started
    if report.added != report.total or not report.is_complete:
        raise RuntimeError(f"not a clean run: {report.summary(directory.name)}")
    return seconds


def move(folder: Path, old: Path, directory: Path, name: str, engine: str | None) -> float:
    """Seconds in which a copy of an index is moved to another network, but for opening the engine."""
    keep_engine()
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(old, directory)
    started = time.perf_counter()
    report, _ = build_index(Target(directory, folder, is_new=False), Options(model=name, engine=engine))
    seconds = time.perf_counter() - started
    if not report.by_others[0].has_taken_over:
        raise RuntimeError(f"not moved: {report.summary(directory.name)}")
    return seconds


def features(name: str, weights: Path | None, files: Sequence[Path]) -> Floats:
    """Features as cbir makes them of files, of length 1."""
    extractor = Extractor(describe(name, str(weights) if weights else None), expected=len(files), isolated=True)
    found = {}
    for result in extractor.run((path, path) for path in files):
        if result.error is not None:
            raise result.error
        if result.feature is not None:
            found[result.key] = result.feature
    # two files of the same content have one feature
    return l2_normalize(np.stack([found[path] for path in files if path in found]))


def features_of_full_decode(name: str, files: Sequence[Path]) -> Floats:
    """Features that the same engine makes of pictures decoded at their full size, of length 1."""
    from PIL import Image

    backbone = describe(name)
    fitted = []
    for path in files:
        with Image.open(path) as image:
            fitted.append(fit(image.convert("RGB"), backbone.preprocessing))
    engine = opened(name, None, None, len(files))
    return l2_normalize(np.concatenate([engine.features(picture[np.newaxis]) for picture in fitted]))


def forward_rate(name: str, weights: Path | None, engine: str | None, count: int) -> float:
    """Pictures a second through the network alone, in the engine's own batches."""
    running = opened(name, weights, engine, count)
    backbone = describe(name, str(weights) if weights else None)
    crop = backbone.preprocessing.crop
    batch = np.random.default_rng(0).integers(256, size=(running.batch, crop, crop, 3), dtype=np.uint8)
    running.features(batch)
    batches = max(1, count // len(batch))
    under_way: deque[Callable[[], Floats]] = deque()
    started = time.perf_counter()
    for _ in range(batches):
        if len(under_way) == running.depth:
            under_way.popleft()()
        under_way.append(running.start(batch))
    for finish in under_way:
        finish()
    return batches * len(batch) / (time.perf_counter() - started)


def decode_rate(name: str, files: Sequence[Path]) -> float:
    """Pictures a second that one thread reads, hashes, decodes and fits."""
    views = [Fitted(describe(name, "untrained").preprocessing)]
    started = time.perf_counter()
    for path in files:
        data = read_bytes(path)
        hashlib.sha256(data)
        read_views(data, views, name=str(path))
    return len(files) / (time.perf_counter() - started)


def engine_name(name: str, weights: Path | None, engine: str | None, expected: int) -> str:
    """What runs the network here. The first use on a machine converts it; that is not measured."""
    return opened(name, weights, engine, expected).description


def keep_engine() -> None:
    """Let each engine be opened once in this process, as if a run of many pictures were a part of a longer one."""
    logging.getLogger("cbir").setLevel(logging.ERROR)
    if not hasattr(cbir.engines.select.open_engine, "__wrapped__"):
        really_open = cache(cbir.engines.select.open_engine)

        @wraps(cbir.engines.select.open_engine)
        def open_once(backbone: Backbone, *, engine: str | None = None, expected: int = 1) -> Engine:
            # all that the number decides is which of these it reaches
            select = cbir.engines.select
            bounds = (1, select.WORTH_STREAMS, select.WORTH_CUDA, select.WORTH_TRIAL)
            return really_open(backbone, engine=engine, expected=max(bound for bound in bounds if bound <= expected))

        cbir.engines.select.open_engine = open_once


def opened(name: str, weights: Path | None, engine: str | None, expected: int) -> Engine:
    """The engine that this process keeps for a network."""
    keep_engine()
    backbone = describe(name, str(weights) if weights else None)
    return cbir.engines.select.open_engine(backbone, engine=engine, expected=expected)
