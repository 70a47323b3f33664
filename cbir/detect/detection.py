"""Detections: boxes with a class and a score, and perhaps a mask; and detectors, the networks that make them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from cbir.images.regions import Mask
from cbir.images.views import Size, View
from cbir.utils.vectors import Floats, Rows

#: Detections with a lower score are dropped before anybody sees them: there are thousands.
FLOOR = 0.05

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """A box with a class and a score: x, y, width and height in pixels of the upright picture.

    A `mask` has a row and a column for each pixel of `geometry.whole_pixels(box)`; it `is_approximate` where the
    detector did not tell it (`spreading`).
    """

    box: tuple[float, float, float, float]
    score: float
    name: str
    mask: Mask | None = None
    is_approximate: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object, without the mask."""
        return {"class": self.name, "score": round(self.score, 4), "box": [round(side, 1) for side in self.box]}


class Masks(Sequence[Mask]):
    """Masks of detections, each made when it is asked for, by a function of its number."""

    def __init__(self, make: Callable[[int], Mask], numbers: Sequence[int]) -> None:
        self._make = make
        self._numbers = tuple(numbers)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Mask: ...

    @overload
    def __getitem__(self, place: slice) -> Masks: ...

    def __getitem__(self, place: int | slice) -> Mask | Masks:
        """Make a mask, or return some of them, not made yet."""
        if isinstance(place, slice):
            return Masks(self._make, self._numbers[place])
        return self._make(self._numbers[place])


@dataclass(frozen=True)
class Detections:
    """All detections of a picture, the best score first.

    `boxes` are float32, (n, 4): x, y, width and height in pixels of the upright picture; `scores` float32, (n,);
    `classes` int64, (n,), numbers of `Detector.classes`; there are n `masks`, as in `Detection`, or none.
    """

    boxes: Floats
    scores: Floats
    classes: Rows
    masks: Sequence[Mask] | None = None
    are_approximate: bool = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.scores)

    def chosen(self, places: npt.NDArray[Any]) -> Detections:
        """Return those at some places, or where a mask of booleans is true, in that order."""
        numbers = np.arange(len(self))[places].tolist()
        masks = self.masks
        if masks is not None:
            of = masks
            masks = Masks(lambda number: of[number], numbers)
        kept = (self.boxes[numbers], self.scores[numbers], self.classes[numbers])
        return Detections(*kept, masks, self.are_approximate)

    def each(self, names: Sequence[str]) -> Iterator[Detection]:
        """Yield them one by one, `names` being the detector's classes."""
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.classes.tolist(), strict=True)
        for place, ((x, y, width, height), score, number) in enumerate(rows):
            mask = None if self.masks is None else self.masks[place]
            yield Detection((x, y, width, height), score, names[number], mask, self.are_approximate)

    @classmethod
    def none(cls) -> Detections:
        """Return no detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


class Detector(Protocol):
    """A network that finds objects, or whatever else makes boxes with a class and a score.

    `name` and `kind`, of network or layout, are for people; `identity`, which an index remembers, tells apart whatever
    makes other detections (`identity_of`). `classes` are the names of its classes, `least_score` is where its
    detections begin to be believed.
    `has_masks` tells whether they come with masks. Any number of threads may call its methods.
    """

    name: str
    kind: str
    identity: str
    classes: tuple[str, ...]
    least_score: float
    has_masks: bool

    @property
    def view(self) -> View:
        """The view of an image that it takes."""

    def start(self, pixels: Pixels, size: Size) -> Callable[[], Detections]:
        """Begin with the pixels of its view of an image of `size`; what is returned waits for the detections.

        They are all of FLOOR and more. Where much is under way, this waits until the oldest is done.
        """

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        """Find objects in images, each of shape (rows, columns, 3)."""
        return detect_with(self, images)


def identity_of(*facts: Any, classes: Sequence[str], overlap: float) -> str:
    """Return the identity of a detector with such names of classes, which suppresses boxes from that `overlap` on.

    `facts` are what else its detections depend on, such as weights and preprocessing: whatever JSON has.
    """
    return hashlib.sha256(json.dumps([*facts, list(classes), overlap], sort_keys=True).encode()).hexdigest()


def detect_with(detector: Detector, images: Sequence[Pixels]) -> list[Detections]:
    """Find objects in images, each of shape (rows, columns, 3), with a detector."""
    from PIL import Image

    def begin(pixels: Pixels) -> Callable[[], Detections]:
        image = Image.fromarray(pixels)
        arrays = detector.view.make(image, (0, 0, *image.size), image.size)
        return detector.start(arrays["pixels"], image.size)

    return [finish() for finish in [begin(pixels) for pixels in images]]
