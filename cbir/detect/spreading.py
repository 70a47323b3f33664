"""Approximate masks for boxes that came without: where in its box a thing is, by what belongs together.

A box votes for the superpixels in its middle, and the votes spread to those that people would see as one with them, by
the probabilities from which `cbir segment` makes its regions: random walks with restart, as in interactive
segmentation (Grady, "Random Walks for Image Segmentation", PAMI 2006). They are no masks of a network that learnt any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.linalg import solve

from cbir.detect.detection import Detections, Masks
from cbir.detect.geometry import whole_pixels
from cbir.detect.masks import interpolated
from cbir.engines.lazy import LazyEngine
from cbir.images.large import Large
from cbir.images.regions import Mask
from cbir.images.views import Size
from cbir.segment.merging import together, working_copy
from cbir.segment.superpixels import Superpixels

Doubles = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]

#: How much of a thing's box it fills, from the box's middle (0, 0) to its corners (±1, ±1): the mean of 52 masks that
#: people drew is within .07 of _MIDDLE + _ACROSS x² + _DOWN y² + _CORNERS x² y².
_MIDDLE, _ACROSS, _DOWN, _CORNERS = 0.811, -0.546, -0.444, 0.281

#: The power of a probability by which votes spread.
_POWER = 4

#: How much a superpixel holds to what its place says, in units of the mean weight of all that it is joined to; and how
#: many times as much where less than a share of it lies in the box.
_HOLD, _HOLD_OUTSIDE, _INSIDE = 0.03, 5, 0.3


@dataclass(frozen=True)
class Spread:
    """A picture's n superpixels and the weights between them, (n, n), for masks of its boxes.

    `size` is the picture's own width and height; the superpixels' `areas`, shape (n,), have the mean 1.
    """

    labels: npt.NDArray[np.int64]
    areas: Doubles
    weights: Doubles
    size: Size

    @classmethod
    def of(cls, cut: Superpixels, probabilities: npt.NDArray[np.float32], size: Size) -> Spread:
        """Weigh each two superpixels by the probability that they are of one region."""
        areas = cut.shares.astype(np.float64) / cut.shares.mean()
        weights = probabilities.astype(np.float64) ** _POWER * np.sqrt(np.outer(areas, areas))
        np.fill_diagonal(weights, 0)
        return cls(cut.labels, areas, weights, size)

    def mask(self, box: Box) -> Mask:
        """Return the mask of what is in a box, in pixels of the picture, one for each of `whole_pixels(box)`."""
        across, down = (self._places(axis, box) for axis in (0, 1))
        inside = np.outer(np.abs(down) <= 1, np.abs(across) <= 1)
        x, y = across[np.newaxis] ** 2, down[:, np.newaxis] ** 2
        prior = np.clip(_MIDDLE + _ACROSS * x + _DOWN * y + _CORNERS * x * y, 0, 1) * inside
        place = whole_pixels(box, self.size)
        belongs = self._belongs(self._means(prior), self._means(inside))
        # a superpixel ends where its pixels do in the small picture: between these, smoothly
        height, width = self.labels.shape
        columns = (np.arange(place.x, place.x + place.width) + 0.5) * width / self.size[0] - 0.5
        rows = (np.arange(place.y, place.y + place.height) + 0.5) * height / self.size[1] - 0.5
        return np.asarray(interpolated(belongs[self.labels].astype(np.float32), rows, columns) > 0.5)

    def _belongs(self, prior: Doubles, inside: Doubles) -> npt.NDArray[np.bool_]:
        """Tell which superpixels belong to what is in a box, of the means of its prior and of its pixels in each."""
        degrees = self.weights.sum(axis=1)
        hold = _HOLD * degrees.mean() * self.areas * np.where(inside < _INSIDE, _HOLD_OUTSIDE, 1)
        hold = np.maximum(hold, np.finfo(np.float64).tiny)
        votes = solve(np.diag(degrees + hold) - self.weights, hold * prior, assume_a="pos")
        parts = [share for share in (self.areas * inside, self.areas * (1 - inside)) if share.any()]
        level = float(np.mean([np.average(votes, weights=share) for share in parts]))
        return np.asarray(votes >= level * (1 - 1e-9))

    def _places(self, axis: int, box: Box) -> Doubles:
        """Return where the middles of pixels along an axis are in a box: -1 and 1 are its edges."""
        count = self.labels.shape[1 - axis]
        middles = (np.arange(count) + 0.5) * self.size[axis] / count
        return np.asarray((middles - box[axis]) / max(box[2 + axis], 1e-6) * 2 - 1)

    def _means(self, values: npt.NDArray[np.generic]) -> Doubles:
        """Return the mean of values of pixels in each superpixel."""
        flat = self.labels.ravel()
        return np.asarray(np.bincount(flat, values.ravel()) / np.bincount(flat))


def with_masks(detections: Detections, image: Image.Image, engine: LazyEngine) -> Detections:
    """Return the detections of an upright RGB image with approximate masks, each made when it is asked for."""
    if not len(detections):
        return replace(detections, masks=(), are_approximate=True)
    pixels = Large().make(image, (0, 0, *image.size), image.size)["pixels"]
    cut, probabilities = together(working_copy(Image.fromarray(pixels)), engine.opened(), engine.backbone, fast=True)
    spread = Spread.of(cut, probabilities, image.size)
    boxes = [(x, y, width, height) for x, y, width, height in detections.boxes.tolist()]
    masks = Masks(lambda number: spread.mask(boxes[number]), range(len(boxes)))
    return replace(detections, masks=masks, are_approximate=True)
