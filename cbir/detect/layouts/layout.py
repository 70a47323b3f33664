"""A layout: the shape and meaning of a detector's outputs; and how pictures enter a network of its kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cbir.detect.detection import FLOOR
from cbir.detect.geometry import MOST_CANDIDATES
from cbir.utils.vectors import Floats, Rows

Shape = tuple[int, ...]

#: Pixels between the cells of a grid, fine to coarse: the first three are usual, a fourth of large pictures.
STRIDES = (8, 16, 32, 64)

#: Numbers that describe a mask in networks of YOLO's kind: weights of as many maps.
COEFFICIENTS = 32


@dataclass(frozen=True)
class Input:
    """The way of pixels into a network: the order of `colours`, the `range` of values, the place in the frame.

    Words of `images.entering.COLOURS`, of its RANGES, and of `images.framed.PLACES`.
    """

    colours: str
    range: str
    place: str


class Found(NamedTuple):
    """The candidates of one picture, before suppression: n boxes.

    `corners` are left, top, right and bottom in pixels of the network's input, float32, (n, 4); `scores` (n,);
    `classes` (n,); `coefficients`, (n, COEFFICIENTS), and `maps`, (COEFFICIENTS, rows, columns), are of masks.
    """

    corners: Floats
    scores: Floats
    classes: Rows
    coefficients: Floats | None = None
    maps: Floats | None = None


class Layout(Protocol):
    """The layout of a network's outputs, a dataclass of whole numbers and truth values, so that a file can hold it."""

    @property
    def name(self) -> str:
        """Its name for people."""

    @property
    def usual(self) -> Input:
        """The way of pixels into networks of this layout, as a rule."""

    @property
    def least_score(self) -> float:
        """The score from which on its detections are to be believed."""

    @property
    def classes(self) -> int:
        """The number of classes."""

    @property
    def has_masks(self) -> bool:
        """True if it has masks."""

    def decode(self, outputs: Sequence[Floats]) -> Found:
        """Read the candidates of a picture with a score of FLOOR and more, the best MOST_CANDIDATES of them."""


class LayoutFamily(Protocol):
    """A kind of layouts: recognises its own by their outputs' shapes, and by their values on one picture."""

    def recognise(self, outputs: Sequence[Floats], side: tuple[int, int], names: int | None) -> Layout | None:
        """Return the layout of `outputs` for an input of that width and height; None where they are none of it.

        `names` is how many names of classes there are, if there are any.
        """


class Grid(NamedTuple):
    """The cells of all strides, those of a stride row by row: their upper left corners, (n, 2), and strides, (n,)."""

    corners: Floats
    strides: Floats


def cells(side: tuple[int, int], strides: Sequence[int]) -> int:
    """Count the cells of an input of that width and height."""
    return sum(math.ceil(side[0] / stride) * math.ceil(side[1] / stride) for stride in strides)


def strides_of(count: int, side: tuple[int, int], anchors: int = 1) -> tuple[int, ...] | None:
    """Return the strides by which an input of that width and height has so many cells, or boxes of so many anchors."""
    for number in (3, 4):
        if count == anchors * cells(side, STRIDES[:number]):
            return STRIDES[:number]
    return None


def grid(side: tuple[int, int], strides: Sequence[int]) -> Grid:
    """Return the cells of an input of that width and height."""
    corners, all_strides = [], []
    for stride in strides:
        rows, columns = math.ceil(side[1] / stride), math.ceil(side[0] / stride)
        down, across = np.mgrid[:rows, :columns]
        corners.append(np.stack([across.ravel(), down.ravel()], axis=1))
        all_strides.append(np.full(rows * columns, stride))
    joined = np.concatenate(corners) * np.concatenate(all_strides)[:, np.newaxis]
    return Grid(joined.astype(np.float32), np.concatenate(all_strides).astype(np.float32))


def best(scores: Floats, objectness: Floats | None = None) -> tuple[Rows, Floats, Rows]:
    """Choose the boxes to look at by the scores of their classes, shape (n, classes), times their objectness, (n,).

    Returns their numbers, scores and classes, each shape (m,). What is no number has no score.
    """
    rows = np.arange(len(scores))
    if objectness is not None:
        rows = np.flatnonzero(objectness >= FLOOR)  # classes' scores are not above 1
        scores = scores[rows] * objectness[rows, np.newaxis]
    classes = scores.argmax(axis=1) if len(scores) else np.zeros(0, dtype=np.int64)
    highest = scores[np.arange(len(scores)), classes]
    chosen = np.flatnonzero(highest >= FLOOR)
    if len(chosen) > MOST_CANDIDATES:
        chosen = chosen[np.argsort(-highest[chosen], kind="stable")[:MOST_CANDIDATES]]
    return rows[chosen], highest[chosen], np.asarray(classes[chosen], dtype=np.int64)


def corners_of(centred: Floats) -> Floats:
    """Turn boxes of centre, width and height into corners; both of shape (n, 4)."""
    half = centred[:, 2:] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)


def without_batch(output: Floats) -> npt.NDArray[np.float32]:
    """Return an output without its first side where that is 1, as of one picture."""
    return output[0] if output.ndim > 2 and output.shape[0] == 1 else output
