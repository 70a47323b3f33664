"""The way of the notebook that `cbir segment` descends from, for a process of its own (`harness.Worker`).

All stages of the network, whose zero padding nothing is done about, enlarged to the picture's size, joined, and
clustered by scikit-learn.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.backbones.network import Stages

PARTS = 4
STARTS = 10


def load() -> None:
    """Import and load all that segmenting needs, and run the network once."""
    import sklearn.cluster  # noqa: F401

    _hypercolumns(np.zeros((321, 481, 3), dtype=np.uint8))


def segment(path: Path) -> tuple[float, float]:
    """Seconds to the array of hypercolumns, and from there to the label of each pixel."""
    from sklearn.cluster import KMeans

    started = time.perf_counter()
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    columns = _hypercolumns(pixels)
    gathered = time.perf_counter()
    KMeans(n_clusters=PARTS, n_init=STARTS, random_state=0).fit_predict(columns)
    return gathered - started, time.perf_counter() - gathered


def _hypercolumns(pixels: np.ndarray) -> np.ndarray:
    """Shape (height · width, all channels)."""
    with torch.inference_mode():
        stages = _stages()(torch.from_numpy(pixels[np.newaxis]))
        enlarged = [torch.nn.functional.interpolate(one, size=pixels.shape[:2], mode="bilinear") for one in stages]
        columns = torch.cat(enlarged, dim=1)[0].permute(1, 2, 0)
    return columns.reshape(-1, columns.shape[2]).contiguous().numpy()


@cache
def _stages() -> Stages:
    return Stages(describe(BUNDLED).build())
