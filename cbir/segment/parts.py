"""Segmenting a picture: whatever becomes of its parts later, this is where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.backbones.registry import Backbone, describe
from cbir.engines import Engine, open_engine
from cbir.images.read import open_image
from cbir.segment.clustering import kmeans, squared_distances
from cbir.segment.describe import Labels, Part, describe_parts
from cbir.segment.hypercolumns import hypercolumns

#: Parts of a picture unless somebody asks for another number.
DEFAULT_PARTS = 5

#: How often distances to the clusters are averaged over 3 × 3 cells.
SMOOTHING = 3

#: A label map is an indexed PNG, which has 256 colours.
MOST_PARTS = 256


@dataclass(frozen=True)
class Segmentation:
    """A picture (upright, RGB) and its `labels`, shape (height, width): 0 is the largest part."""

    image: Image.Image
    labels: Labels
    parts: list[Part]


class Segmenter:
    """Segments pictures with one backbone, which is loaded once, when the first picture needs it."""

    def __init__(self, backbone: Backbone | str, *, engine: str | None = None) -> None:
        self.backbone = describe(backbone) if isinstance(backbone, str) else backbone
        self._engine_name = engine
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """What runs the network; it is loaded now if it was not needed before."""
        if self._engine is None:
            self._engine = open_engine(self.backbone, engine=self._engine_name)
        return self._engine

    def segment(self, picture: Path | str | bytes | Image.Image, parts: int = DEFAULT_PARTS) -> Segmentation:
        """Divide a picture into at most `parts` parts (1 to 256).

        `picture` is a file, its bytes, or an upright RGB image. Raises ImageReadError.
        """
        if not 1 <= parts <= MOST_PARTS:
            raise ValueError(f"parts must be 1 to {MOST_PARTS}, not {parts}")
        image = picture if isinstance(picture, Image.Image) else open_image(picture)
        columns = hypercolumns(image, self.engine)
        points = columns.reshape(-1, columns.shape[2])
        distances = squared_distances(points, kmeans(points, parts)).reshape(*columns.shape[:2], -1)
        labels = _by_size(_full_size(_smoothed(distances), image.size))
        return Segmentation(image, labels, describe_parts(np.asarray(image), labels))


def _smoothed(distances: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Distances of shape (rows, columns, centres), each averaged with its neighbours': texture makes fewer specks."""
    for _ in range(SMOOTHING):
        for axis in (0, 1):
            edge = [(1, 1) if axis == other else (0, 0) for other in range(3)]
            padded = np.pad(distances, edge, mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=axis)
            distances = windows.mean(axis=-1, dtype=np.float32)
    return distances


def _full_size(distances: npt.NDArray[np.float32], size: tuple[int, int]) -> Labels:
    """Labels of shape (height, width) from each cell's distances to the centres, shape (rows, columns, centres).

    The distances are enlarged and not the labels, so that borders are smooth; one centre after another, so that
    memory stays at two numbers a pixel.
    """
    width, height = size
    labels = np.zeros((height, width), dtype=np.uint8)
    least: npt.NDArray[np.float32] | None = None
    for label in range(distances.shape[2]):
        enlarged = np.asarray(Image.fromarray(distances[:, :, label]).resize(size, Image.Resampling.BILINEAR))
        if least is None:
            least = enlarged.copy()
            continue
        nearer = enlarged < least
        labels[nearer] = label
        np.copyto(least, enlarged, where=nearer)
    return labels


def _by_size(labels: Labels) -> Labels:
    """The same parts numbered by size, the largest 0, without gaps."""
    present, counts = np.unique(labels, return_counts=True)
    numbers = np.zeros(MOST_PARTS, dtype=np.uint8)
    numbers[present[np.argsort(-counts, kind="stable")]] = np.arange(len(present))
    return numbers[labels]
