"""cbir's side of the times and the memory of segmenting, for a process of its own (`harness.Worker`)."""

from __future__ import annotations

import logging
import os
import time
from functools import cache
from pathlib import Path

import numpy as np

from cbir.backbones.registry import BUNDLED, describe
from cbir.cli import segment_output
from cbir.segment.parts import Segmentation, Segmenter


def load(name: str = BUNDLED, weights: Path | None = None, fast: bool = False) -> int:
    """Load the network for its stages, as the first picture would, and return this process's number.

    The first use on a machine converts the network; a process that has done so is not one to measure memory in.
    """
    logging.getLogger("cbir").setLevel(logging.ERROR)
    _segmenter(name, weights, fast).engine.stages(np.zeros((1, 32, 32, 3), dtype=np.uint8))
    return os.getpid()


def segment(path: Path, name: str = BUNDLED, weights: Path | None = None, fast: bool = False) -> tuple[float, int]:
    """Seconds from the file to labels and parts, and the number of parts."""
    segmenter = _segmenter(name, weights, fast)
    started = time.perf_counter()
    segmentation = segmenter.segment(path)
    return time.perf_counter() - started, len(segmentation.parts)


def segment_and_write(path: Path, folder: Path) -> tuple[float, float, int]:
    """Seconds of all that `cbir segment` does of a picture (the file read, overlay and label map written), those of
    the segmentation alone, and the number of parts."""
    segmenter = _segmenter(BUNDLED, None, False)
    started = time.perf_counter()
    segmentation = segmenter.segment(path)
    segmented = time.perf_counter()
    _write(segmentation, path, folder)
    return time.perf_counter() - started, segmented - started, len(segmentation.parts)


def _write(segmentation: Segmentation, path: Path, folder: Path) -> None:
    written = segment_output.Files(folder, [path]).write(segmentation, path, None)
    if set(written) != {"overlay", "labels"}:
        raise RuntimeError(f"overlay and labels were to be written, not {', '.join(written)}")


@cache
def _segmenter(name: str, weights: Path | None, fast: bool) -> Segmenter:
    return Segmenter(describe(name, str(weights) if weights else None), fast=fast)
