"""Views: the arrays that a decoder makes of an image, by name.

Each view is a class in a file of its own (`fitted.Fitted`, `fingerprint.Fingerprint`, `large.Large`). It travels to the
process that decodes by the name by which its module is imported, with its fields, and so must be found there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.images.fit import Extent

#: Width and height in pixels.
Size = tuple[int, int]
Arrays = Mapping[str, npt.NDArray[Any]]


class Layout(NamedTuple):
    """The form that a view's array must have: its dtype, as numpy names it, and its longest sides.

    Its sides may be as short as `least`, which are by default the longest.
    """

    dtype: str
    most: tuple[int, ...]
    least: tuple[int, ...] | None = None

    def allows(self, dtype: str, shape: tuple[int, ...]) -> bool:
        """Tell whether an array of that dtype (`np.dtype.str`) and shape has this form."""
        if dtype != np.dtype(self.dtype).str or len(shape) != len(self.most):
            return False
        least = self.most if self.least is None else self.least
        return all(low <= side <= high for low, side, high in zip(least, shape, self.most, strict=True))


class View(Protocol):
    """Arrays that are made of an image where it is decoded."""

    @property
    def name(self) -> str:
        """The name by which `Viewed` has its arrays."""

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The form of each of its arrays: whatever a decoding process sends is held against it."""

    def at_least(self, size: Size | None) -> int | None:
        """Pixels that each side of an image of that size should keep when a JPEG is decoded at a reduced size.

        None takes whatever was decoded for the first view. `size` is None as long as it is not known.
        """

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        """Make the arrays of an upright RGB image of `size` pixels, which fills the `box` of `image`."""


class Notes(NamedTuple):
    """The parts of a picture's file that hold notes, as they are: EXIF, XMP, a text of its time, and its format."""

    exif: bytes = b""
    xmp: bytes = b""
    text: str = ""
    format: str = ""


class NotesView(Protocol):
    """Arrays that are made of what a picture's file says beside its pixels, which need not be decoded for them."""

    @property
    def name(self) -> str:
        """The name by which `Viewed` has its arrays."""

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """The form of each of its arrays, as in `View`."""

    def read(self, notes: Notes) -> Arrays:
        """Make the arrays of the notes in a picture's file."""


AnyView = View | NotesView


def is_of_notes(view: AnyView) -> TypeGuard[NotesView]:
    """Tell whether a view needs no pixels."""
    return hasattr(view, "read")


def needs_pixels(view: AnyView) -> TypeGuard[View]:
    """Tell whether a view is made of pixels."""
    return not is_of_notes(view)


@dataclass(frozen=True)
class Viewed:
    """An upright image's own width and height in pixels, and the arrays that were made of it, by their view's name."""

    size: Size
    arrays: Mapping[str, Arrays]


def distinct(views: Sequence[AnyView]) -> tuple[AnyView, ...]:
    """Return the views without repetitions, in order; ValueError where two that differ have one name."""
    found: dict[str, AnyView] = {}
    for view in views:
        if found.setdefault(view.name, view) != view:
            raise ValueError(f"two views are called {view.name}")
    return tuple(found.values())
