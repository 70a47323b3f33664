"""Segmenting a picture: whatever becomes of its segments later, this is where they come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.engines.engine import Engine
from cbir.engines.lazy import LazyEngine, lazy_engine
from cbir.images import safely
from cbir.images.source import ImageSource
from cbir.segment.clusters import clusters
from cbir.segment.describe import Labels, describe_segments
from cbir.segment.enlarge import enlarged, enlarged_labels
from cbir.segment.kmeans import SEED
from cbir.segment.merging import hierarchy, threshold_at, working_copy
from cbir.segment.segmentation import Segmentation

METHODS = ("regions", "kmeans")

#: Segments by k-means unless somebody asks for another number.
DEFAULT_CLUSTERS = 5

#: A label map is an indexed PNG, which has 256 colours.
MOST_SEGMENTS = 256


class Segmenter:
    """Segments pictures with a backbone's first network, which is loaded once, when the first picture needs it.

    `engine` is as in `open_engine`, or one that is shared. `method` is one of METHODS: "regions" merges superpixels,
    "kmeans" clusters hypercolumns. With `fast`, "regions" reads the picture at one size instead of two.
    `layer_weights`, one a stage from fine to coarse, and `seed` are for "kmeans".
    """

    def __init__(
        self,
        backbone: Backbone | str,
        *,
        engine: LazyEngine | str | None = None,
        method: str = "regions",
        fast: bool = False,
        layer_weights: Sequence[float] | None = None,
        seed: int = SEED,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"there is no method {method!r}: choose from {', '.join(METHODS)}")
        self._engine = lazy_engine(backbone, engine).first
        self.backbone = self._engine.backbone
        self.method = method
        self._fast = fast
        self._layer_weights = layer_weights
        self._seed = seed

    @property
    def engine(self) -> Engine:
        """The engine that does the work, opened now if it was not yet."""
        return self._engine.opened()

    def segment(self, picture: ImageSource, count: int | None = None, *, scale: float = 1.0) -> Segmentation:
        """Divide a picture into segments.

        `picture` is a file, its bytes, a stream, a Pillow image or an array. `count` is their number, 1 to 256:
        exactly, unless the picture is too small or, with "kmeans", too uniform. Without it "regions" finds a number
        that suits the picture, fewer where `scale` is above 1, more where it is below; "kmeans" makes DEFAULT_CLUSTERS.
        Raises ImageReadError.
        """
        if count is not None and not 1 <= count <= MOST_SEGMENTS:
            raise ValueError(f"count must be 1 to {MOST_SEGMENTS}, not {count}")
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale must be above 0, not {scale}")
        image = safely.open_image(picture)
        if self.method == "kmeans":
            likelihoods = -clusters(image, self.engine, count or DEFAULT_CLUSTERS, self._layer_weights, self._seed)
            labels = enlarged(likelihoods, image.size)
        else:
            labels = self._regions(image, count, scale)
        labels = _by_size(labels)
        return Segmentation(image, labels, describe_segments(np.asarray(image), labels))

    def _regions(self, image: Image.Image, count: int | None, scale: float) -> Labels:
        cut, merged = hierarchy(working_copy(image), self.engine, self.backbone, fast=self._fast)
        wanted = merged.count_at(threshold_at(scale)) if count is None else count
        return enlarged_labels(merged.regions(min(wanted, MOST_SEGMENTS))[cut.labels].astype(np.uint8), image.size)


def _by_size(labels: Labels) -> Labels:
    """Return the same segments numbered by size, the largest 0, without gaps."""
    counts = np.array(Image.fromarray(labels).histogram())  # of 12 megapixels, many times quicker than NumPy's
    order = np.argsort(-counts, kind="stable")
    numbers = np.zeros(MOST_SEGMENTS, dtype=np.uint8)
    numbers[order] = np.arange(MOST_SEGMENTS)
    return numbers[labels]
