"""Finding faces: MTCNN's three networks one after the other, each on what the one before has left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from cbir.faces.layers import Start
from cbir.faces.mtcnn import LAST, REFINED
from cbir.faces.pyramid import pyramid_of
from cbir.utils.vectors import Floats, Rows

#: Pixels of a picture's longer side in which faces are looked for, and of the smallest face there.
SIDE, SMALLEST = 640, 20

#: What each size of the picture is of the one before.
FACTOR = 0.709

#: The score from which on each network passes a box on.
THRESHOLDS = (0.6, 0.7, 0.7)

#: Overlaps from which on the lesser box goes: of one size of the picture, and of all; of the last, of the smaller one.
OVERLAPS = (0.5, 0.7, 0.7, 0.7)

# Windows that are looked at further, the best ones: a picture of a crowd has some hundreds.
_MOST = 2_000

# Batches have so many crops, or a multiple: a graph is prepared anew for each number.
_BATCHES = {REFINED: 16, LAST: 4}

# What is much larger than it is to be is first reduced by a whole factor, to so many times the size at least.
_REDUCING_GAP = 1.0


@dataclass(frozen=True)
class Faces:
    """The faces in an image, the best score first: corners (n, 4), five points (n, 5, 2), and scores (n,)."""

    corners: Floats
    points: Floats
    scores: Floats

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.scores)


class Cascade:
    """MTCNN: finds faces with the networks that it is given, opened."""

    def __init__(self, proposer: Start, refiner: Start, last: Start) -> None:
        self._proposer, self._refiner, self._last = proposer, refiner, last

    def find(self, image: Image.Image) -> Faces:
        """Find faces in an RGB image, which is looked at with a longer side of SIDE; never enlarged."""
        scale = min(1.0, SIDE / max(image.size))
        small = image
        if scale < 1:
            width, height = (max(round(side * scale), 1) for side in image.size)
            small = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
        found = self._checked(small, self._refined(small, self._proposed(small)))
        across, down = image.width / small.width, image.height / small.height
        factors = np.array([across, down], np.float32)
        return Faces(found.corners * np.tile(factors, 2), found.points * factors, found.scores)

    def _proposed(self, image: Image.Image) -> Floats:
        """Return squares that may show a face: (n, 4)."""
        pyramid = pyramid_of(image.size, SMALLEST, FACTOR)
        if pyramid.is_empty:
            return np.zeros((0, 4), np.float32)
        moves, scores = self._proposer(pyramid.sheet(image))()
        likely = np.where(pyramid.levels >= 0, scores[0, 0], 0)
        rows, columns = np.nonzero(likely > THRESHOLDS[0])
        score = likely[rows, columns]
        if len(score) > _MOST:
            best = np.argsort(-score, kind="stable")[:_MOST]
            rows, columns, score = rows[best], columns[best], score[best]
        corners = pyramid.windows(rows, columns)
        levels = pyramid.levels[rows, columns]
        each = [np.flatnonzero(levels == level) for level in sorted(set(levels.tolist()))]
        kept = np.concatenate(
            [np.zeros(0, np.int64), *(its[_suppressed(corners[its], score[its], OVERLAPS[0])] for its in each)]
        )
        kept = kept[_suppressed(corners[kept], score[kept], OVERLAPS[1])]
        return _squares(_moved(corners[kept], moves[0][:, rows[kept], columns[kept]].T))

    def _refined(self, image: Image.Image, corners: Floats) -> Floats:
        if not len(corners):
            return corners
        moves, scores = _run(self._refiner, image, corners, REFINED)
        likely = np.flatnonzero(scores[:, 0] > THRESHOLDS[1])
        kept = likely[_suppressed(corners[likely], scores[likely, 0], OVERLAPS[2])]
        return _squares(_moved(corners[kept], moves[kept]))

    def _checked(self, image: Image.Image, corners: Floats) -> Faces:
        if not len(corners):
            return Faces(corners, np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))
        moves, points, scores = _run(self._last, image, corners, LAST)
        likely = np.flatnonzero(scores[:, 0] > THRESHOLDS[2])
        squares, score = corners[likely], scores[likely, 0]
        places = points[likely].reshape(-1, 2, 5).transpose(0, 2, 1)
        places = squares[:, np.newaxis, :2] + places * (squares[:, 2:] - squares[:, :2])[:, np.newaxis]
        boxes = _moved(squares, moves[likely])
        kept = _suppressed(boxes, score, OVERLAPS[3], is_of_smaller=True)
        return Faces(boxes[kept], places[kept], score[kept])


def _run(network: Start, image: Image.Image, corners: Floats, side: int) -> list[Floats]:
    """Run a network on what squares show, brought to its size; black where they reach beyond the image."""
    whole = np.concatenate([np.floor(corners[:, :2]), np.ceil(corners[:, 2:])], axis=1).astype(np.int64)
    batch = -(-len(whole) // _BATCHES[side]) * _BATCHES[side]
    crops = Image.new("RGB", (side, side * batch))
    width, height = image.size
    for number, (left, top, right, bottom) in enumerate(whole.tolist()):
        if left >= 0 and top >= 0 and right <= width and bottom <= height:
            box = (left, top, right, bottom)
            crop = image.resize((side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=_REDUCING_GAP)
        else:
            crop = image.crop((left, top, right, bottom)).resize((side, side), Image.Resampling.BILINEAR)
        crops.paste(crop, (0, side * number))
    pixels = np.asarray(crops).reshape(batch, side, side, 3)
    return [output[: len(whole)] for output in network(pixels)()]


def _moved(corners: Floats, moves: Floats) -> Floats:
    """Move the corners of boxes by shares of their sides."""
    sides = corners[:, 2:] - corners[:, :2]
    return corners + moves * np.tile(sides, 2)


def _squares(corners: Floats) -> Floats:
    """Return the squares around the same middles that have the longer sides; those of finite numbers, with an area."""
    usable = np.isfinite(corners).all(axis=1) & (corners[:, 2:] - corners[:, :2] >= 1).all(axis=1)
    corners = corners[usable]
    middles = (corners[:, :2] + corners[:, 2:]) / 2
    half = (corners[:, 2:] - corners[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([middles - half, middles + half], axis=1)


def _suppressed(corners: Floats, scores: Floats, overlap: float, *, is_of_smaller: bool = False) -> Rows:
    """Choose the boxes that stay in non-maximum suppression, the best score first: their numbers.

    An overlap is a share of the union, or of the smaller box.
    """
    order = np.argsort(-scores, kind="stable")
    left, top, right, bottom = corners[order].T
    across = np.minimum(right[:, np.newaxis], right) - np.maximum(left[:, np.newaxis], left)
    down = np.minimum(bottom[:, np.newaxis], bottom) - np.maximum(top[:, np.newaxis], top)
    common = np.maximum(across, 0) * np.maximum(down, 0)
    areas = (right - left) * (bottom - top)
    of = np.minimum(areas[:, np.newaxis], areas) if is_of_smaller else areas[:, np.newaxis] + areas - common
    hides = common > overlap * of
    stays = np.ones(len(order), np.bool_)
    for number in range(len(order)):
        if stays[number]:
            stays[number + 1 :][hides[number, number + 1 :]] = False
    return np.asarray(order[stays], np.int64)
