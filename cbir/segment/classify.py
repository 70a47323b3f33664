"""Classes of a picture's segments, by the head that a network was trained with.

Where a network's features are the mean of its last map, a segment's features are the mean of the map where it is
(masked pooling), and the head takes them as it takes a whole picture's. Where they are not, the segment is cut out, and
shown to the network on the mean colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.backbones.head import open_classifier
from cbir.backbones.imagenet import classes
from cbir.errors import ModelError
from cbir.images.fit import fit
from cbir.images.large import MULTIPLE
from cbir.segment.describe import Segment
from cbir.segment.segmentation import Segmentation
from cbir.segment.segmenter import Segmenter
from cbir.utils.vectors import Floats

#: Classes that are told.
TOP = 3

#: The shorter sides at which a picture enters the network, in units of its usual crop (224 pixels). A segment is read
#: at the scale where its side comes nearest to _SEGMENT_SIDE of these: larger, and the network does not see it as a
#: whole; smaller, and its surroundings are mixed in. docs/method/segment-classes.md has the figures.
_SCALES = (1.0, 2**0.5, 2.0, 8**0.5)
_SEGMENT_SIDE = 0.65

#: Points of the label map on each side of a map's cell, by which it is told how much of the cell a segment covers.
_POINTS = 8

_LONGEST = 2048  # pixels of a side that enters the network, for pictures that are all width


class Likely(NamedTuple):
    """A class that a picture or a segment may be of: its name, WordNet id and probability."""

    name: str
    wordnet_id: str
    probability: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"name": self.name, "wordnet_id": self.wordnet_id, "probability": round(self.probability, 4)}


class Classified(NamedTuple):
    """The likeliest classes of a whole picture, and of each of its segments in the labels' order."""

    whole: list[Likely]
    segments: list[list[Likely]]


class SegmentClassifier:
    """Classifies pictures and their segments with a segmenter's network, which is loaded when it is first needed.

    ModelError where its head is none of ImageNet's.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._preprocessing = segmenter.backbone.preprocessing
        self._segmenter = segmenter
        self._classifier = open_classifier(segmenter.backbone)
        self._has_map = True

    def classify(self, segmentation: Segmentation, count: int = TOP) -> Classified:
        """Return the `count` likeliest classes of the picture and of each segment."""
        whole, segments = self._features(segmentation)
        return Classified(self._likeliest(whole[np.newaxis], count)[0], self._likeliest(segments, count))

    def _features(self, segmentation: Segmentation) -> tuple[Floats, Floats]:
        if self._has_map:
            try:
                return self._pooled(segmentation)
            except ModelError:
                self._has_map = False
        return self._of_cut_outs(segmentation)

    def _likeliest(self, features: Floats, count: int) -> list[list[Likely]]:
        top = self._classifier.top(features, count)
        names = classes()
        return [
            [
                Likely(names[number].name, names[number].wordnet_id, float(share))
                for number, share in zip(*row, strict=True)
            ]
            for row in zip(top.numbers, top.probabilities, strict=True)
        ]

    def _pooled(self, segmentation: Segmentation) -> tuple[Floats, Floats]:
        """Features of the picture, shape (dimension,), and of its segments, (n, dimension), by masked pooling."""
        image, crop = segmentation.image, self._preprocessing.crop
        maps: dict[float, Floats] = {}

        def at(scale: float) -> Floats:
            if scale not in maps:
                pixels = np.asarray(image.resize(_network_size(image.size, scale * crop), Image.Resampling.BICUBIC))
                maps[scale] = self._segmenter.engine.last_map(pixels[np.newaxis])[0]
            return maps[scale]

        whole = at(_SCALES[0]).mean(axis=(1, 2))
        scales = [_scale_for(segment, image.size) for segment in segmentation.segments]
        segments = np.empty((len(scales), len(whole)), dtype=np.float32)
        for scale in set(scales):
            shares = cover(segmentation.labels, at(scale).shape[1:], len(scales))
            chosen = [number for number, its in enumerate(scales) if its == scale]
            segments[chosen] = masked_means(at(scale), shares[chosen])
        return whole, segments

    def _of_cut_outs(self, segmentation: Segmentation) -> tuple[Floats, Floats]:
        """Return the same by cut-outs, for networks whose features are no mean of a map."""
        whole = self._segmenter.engine.features(fit(segmentation.image, self._preprocessing)[np.newaxis])[0]
        pictures = [fit(cut, self._preprocessing) for cut in self._squares(segmentation)]
        size = max(1, self._segmenter.engine.batch)
        batches = [
            self._segmenter.engine.features(np.stack(pictures[i : i + size])) for i in range(0, len(pictures), size)
        ]
        return whole, np.concatenate(batches)

    def _squares(self, segmentation: Segmentation) -> Iterator[Image.Image]:
        """Each segment in the middle of a square of the mean colour, as large as fitting will leave it whole."""
        preprocessing = self._preprocessing
        red, green, blue = (round(value) for value in preprocessing.mean)
        for segment in segmentation.segments:
            x, y, width, height = segment.box
            side = -(-max(width, height) * preprocessing.resize // preprocessing.crop)
            square = Image.new("RGB", (side, side), (red, green, blue))
            inside = segmentation.labels[y : y + height, x : x + width] == segment.label
            cut = segmentation.image.crop((x, y, x + width, y + height))
            square.paste(cut, ((side - width) // 2, (side - height) // 2), Image.fromarray(inside))
            yield square


def cover(labels: npt.NDArray[np.integer], grid: Sequence[int], count: int) -> Floats:
    """Return the share of each cell of a grid (rows, columns) that each segment covers, 0 to 1: (segments, rows,
    columns).

    A segment too small for the points that are looked at has the one cell at its middle.
    """
    rows, columns = grid
    down = ((np.arange(rows * _POINTS) + 0.5) * labels.shape[0] / (rows * _POINTS)).astype(int)
    across = ((np.arange(columns * _POINTS) + 0.5) * labels.shape[1] / (columns * _POINTS)).astype(int)
    points = labels[down[:, np.newaxis], across].reshape(rows, _POINTS, columns, _POINTS)
    cells = np.arange(rows)[:, np.newaxis, np.newaxis, np.newaxis] * columns + np.arange(columns)[:, np.newaxis]
    flat = (points.astype(np.intp) * rows * columns + cells).ravel()
    shares = np.bincount(flat, minlength=count * rows * columns).reshape(count, rows, columns) / _POINTS**2
    for label in np.flatnonzero(~shares.any(axis=(1, 2))):
        y, x = (int(np.median(places)) for places in np.nonzero(labels == label))
        shares[label, y * rows // labels.shape[0], x * columns // labels.shape[1]] = 1
    return shares.astype(np.float32)


def masked_means(map_: Floats, shares: Floats) -> Floats:
    """Average a map, shape (channels, rows, columns), under each of the masks (n, rows, columns): (n, channels)."""
    flat = shares.reshape(len(shares), -1)
    means: Floats = flat @ map_.reshape(len(map_), -1).T / flat.sum(axis=1, keepdims=True)
    return means


def _scale_for(segment: Segment, size: tuple[int, int]) -> float:
    """Return the scale at which a segment is nearest to _SEGMENT_SIDE, if it were a square."""
    side = segment.area**0.5 / min(size)
    return min(_SCALES, key=lambda scale: abs(np.log(scale * side / _SEGMENT_SIDE)))


def _network_size(size: tuple[int, int], shorter: float) -> tuple[int, int]:
    """Width and height with that shorter side, as multiples of 32."""
    width, height = (min(max(round(side * shorter / min(size) / MULTIPLE), 2) * MULTIPLE, _LONGEST) for side in size)
    return width, height
