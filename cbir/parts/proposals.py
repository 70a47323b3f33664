"""Proposers: where the boxes of an image's parts come from. Windows are the default, and need no word in an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError
from cbir.images.views import Size
from cbir.index.columns.parts import MOST
from cbir.parts.windows import Grid, grid, shares
from cbir.utils.boxes import overlaps
from cbir.utils.vectors import Floats, Rows

#: No boxes of objects.
NOTHING = np.zeros((0, 4), dtype=np.int32)

#: A window and a box that overlap so much (intersection over union) are the same part.
_SAME = 0.7


class Regions(Protocol):
    """The regions of one image that are its parts."""

    def __len__(self) -> int: ...

    def boxes(self) -> npt.NDArray[np.int32]:
        """Return x, y, width and height of each, in pixels of the image: shape (n, 4)."""

    def means(self, map_: Floats) -> Floats:
        """Return the means of a map of the image, shape (channels, rows, columns), in each: (n, channels)."""


class Proposer(Protocol):
    """Proposes the regions of an image that are its parts.

    An index remembers `name` and `version`, which is another as soon as it proposes others. There are `most` of an
    image at most, and one at least.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def most(self) -> int: ...

    def propose(self, size: Size, image: npt.NDArray[np.uint8], found: npt.NDArray[np.int32]) -> Regions:
        """Propose regions of an image of that width and height, whose pixels, (rows, columns, 3), may be fewer.

        `found` are the boxes of objects in it, shape (n, 4), the best score first; none where nobody has looked.
        """


@dataclass(frozen=True)
class Boxes:
    """Regions that are boxes: `array`, shape (n, 4), int32, x, y, width and height in pixels of an image of `size`."""

    size: Size
    array: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.array)

    def boxes(self) -> npt.NDArray[np.int32]:
        """Return the boxes."""
        return self.array

    def means(self, map_: Floats) -> Floats:
        """Return the means of a map in them; cells that a box covers in part count by that part."""
        channels, rows, columns = map_.shape
        x, y, width, height = self.array.T.astype(np.float32)
        across = shares(x, width[:, np.newaxis], self.size[0], columns)
        down = shares(y, height[:, np.newaxis], self.size[1], rows)
        weights = np.einsum("nr,nc->rcn", down, across).reshape(rows * columns, -1)
        return np.ascontiguousarray((map_.reshape(channels, -1) @ weights).T)


@dataclass(frozen=True)
class Among:
    """Some windows of an image, those at `places` of all, and boxes."""

    windows: Grid
    places: Rows
    others: Boxes

    def __len__(self) -> int:
        return len(self.places) + len(self.others)

    def boxes(self) -> npt.NDArray[np.int32]:
        """Return the windows' boxes, then the others."""
        return np.concatenate([self.windows.boxes()[self.places], self.others.boxes()])

    def means(self, map_: Floats) -> Floats:
        """Return the means of a map in each."""
        return np.concatenate([self.windows.means(map_)[self.places], self.others.means(map_)])


class Windows:
    """Square windows that overlap, in rows and columns over an image, the whole image, and boxes of objects among them.

    A window gives way to a box that is nearly the same; other boxes take the places that are left, the best first.
    """

    name, version, most = "windows", 1, MOST

    def propose(self, size: Size, image: npt.NDArray[np.uint8], found: npt.NDArray[np.int32]) -> Regions:
        """Propose the windows of an image of that size, and boxes."""
        windows = grid(*size)
        if not len(found):
            return windows
        shared = overlaps(windows.boxes(), found)
        # the whole picture stays, and a box that is nearly that shows nothing else
        distinct = np.flatnonzero(shared[0] < _SAME)
        gone = np.zeros(len(windows), dtype=np.bool_)
        taken: list[int] = []
        for place in distinct.tolist():
            same = shared[:, place] >= _SAME
            if len(windows) - (gone | same).sum() + len(taken) < MOST:
                gone |= same
                taken.append(place)
        return Among(windows, np.flatnonzero(~gone), Boxes(size, found[taken]))


WINDOWS = Windows()

_PROPOSERS: dict[str, Proposer] = {}


def remembered(name: str | None) -> str | None:
    """Return what an index remembers of the proposer of that name, None of windows; CbirError where it is unknown."""
    if name in (None, WINDOWS.name):
        return None
    for identity, proposer in _PROPOSERS.items():
        if proposer.name == name:
            return identity
    raise CbirError(f"There is no proposer of parts {name}: install what has it, or leave that to cbir.")


def proposer_of(identity: str | None, index: str) -> Proposer:
    """Return the proposer that an index remembers; CbirError where it is not here, or of another version."""
    if identity is None:
        return WINDOWS
    if identity not in _PROPOSERS:
        raise CbirError(
            f"The parts of the index {index} are those of {identity}, which is not here: install it, or make others "
            f"with `cbir index --index {index} --no-parts`, then the same with --parts."
        )
    return _PROPOSERS[identity]


def register(proposer: Proposer) -> None:
    """Make a plug-in's proposer known to this process; ValueError where it cannot be stored, or is there already."""
    if not 1 <= proposer.most <= MOST:
        raise ValueError(f"an index has 1 to {MOST} parts of an image, and not {proposer.most}")
    if proposer.name == WINDOWS.name or remembered_as(proposer) in _PROPOSERS:
        raise ValueError(f"there is a proposer {proposer.name} already")
    _PROPOSERS[remembered_as(proposer)] = proposer


@contextmanager
def registered(proposer: Proposer) -> Iterator[None]:
    """`register` a proposer while the block runs."""
    register(proposer)
    try:
        yield
    finally:
        del _PROPOSERS[remembered_as(proposer)]


def remembered_as(proposer: Proposer) -> str:
    """Return a proposer's name and version as one word."""
    return f"{proposer.name}-{proposer.version}"


def checked(
    proposer: Proposer, size: Size, image: npt.NDArray[np.uint8], found: npt.NDArray[np.int32] = NOTHING
) -> Regions:
    """Have an image's regions proposed; ValueError where they cannot be, which is a fault of the proposer.

    `found` are boxes of objects; what of them is not within the image is left out.
    """
    inside = (found[:, :2] >= 0).all(axis=1) & (found[:, 2:] > 0).all(axis=1)
    inside &= (found[:, :2].astype(np.int64) + found[:, 2:] <= size).all(axis=1)
    regions = proposer.propose(size, image, found[inside])
    if proposer is WINDOWS:
        return regions
    boxes = regions.boxes()
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not 1 <= len(boxes) <= proposer.most:
        raise ValueError(f"{proposer.name} proposes boxes of shape {boxes.shape}, and not 1 to {proposer.most}")
    if (boxes[:, :2] < 0).any() or (boxes[:, 2:] < 1).any() or (boxes[:, :2] + boxes[:, 2:] > size).any():
        raise ValueError(f"{proposer.name} proposes boxes outside of an image of {size[0]} x {size[1]} pixels")
    return regions
