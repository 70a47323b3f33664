"""cbir's side of the times and the memory of segmenting, for a process of its own (`harness.Worker`)."""

from __future__ import annotations

import logging
import os
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.cli.render import segment as rendering
from cbir.segment.segmenter import Segmenter


def load(name: str = BUNDLED, weights: Path | None = None, fast: bool = False) -> int:
    """Load the network for its stages, as the first picture would, and return this process's number.

    The first use on a machine converts the network; a process that has done so is not one to measure memory in.
    """
    logging.getLogger("cbir").setLevel(logging.ERROR)
    _segmenter(name, weights, fast).engine.stages(np.zeros((1, 32, 32, 3), dtype=np.uint8))
    return os.getpid()


class Took(NamedTuple):
    """One picture: seconds by the clock, those of them until it was segmented, seconds that all cores together
    worked for it (which other work on the machine hardly changes), and how many segments were found."""

    seconds: float
    segmented: float
    worked: float
    segments: int


def segment(
    path: Path,
    name: str = BUNDLED,
    weights: Path | None = None,
    fast: bool = False,
    folder: Path | None = None,
) -> Took:
    """From the file to labels and segments; with a `folder`, all that `cbir segment` does: overlay and label map are
    written there."""
    segmenter = _segmenter(name, weights, fast)
    started, worked = time.perf_counter(), time.process_time()
    segmentation = segmenter.segment(path)
    segmented = time.perf_counter()
    if folder is not None:
        rendering.Files(folder, [path]).write(segmentation, path, None)
    ended = time.perf_counter()
    return Took(ended - started, segmented - started, time.process_time() - worked, len(segmentation.segments))


@cache
def _segmenter(name: str, weights: Path | None, fast: bool) -> Segmenter:
    return Segmenter(describe(name, str(weights) if weights else None), fast=fast)
