"""Boxes of pictures as files have them: drawn by people, or found by a detector."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from cbir.errors import CbirError, reason_of
from cbir.images.regions import Mask
from cbir.utils.opening import read_regular
from cbir.utils.text import decode

#: No side of a picture and no place in one is larger, in pixels.
LARGEST = 1_000_000

#: Characters of a class's name.
LONGEST = 500


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


class PackedMask(NamedTuple):
    """A mask as the compressed bits of its pixels, a hundredth of its bytes: a run may have many until its end."""

    shape: tuple[int, ...]
    bits: bytes

    @classmethod
    def of(cls, mask: Mask) -> PackedMask:
        """Pack a mask."""
        return cls(mask.shape, zlib.compress(np.packbits(mask).tobytes(), 1))

    def opened(self) -> Mask:
        """Return the mask again."""
        bits = np.frombuffer(zlib.decompress(self.bits), dtype=np.uint8)
        return np.unpackbits(bits, count=math.prod(self.shape)).reshape(self.shape).astype(np.bool_)


@dataclass(frozen=True)
class Annotation:
    """A box of a picture with its class's name: x, y, width and height in pixels of the upright picture.

    One that a detector found has a `score`; a `mask` has a row and a column for each pixel of `whole_pixels(box)`, and
    `is_approximate` where nobody drew and no detector told it. A `crowd` is a box around many, and neither that nor
    what is `difficult` needs to be found.
    """

    box: tuple[float, float, float, float]
    name: str
    score: float | None = None
    mask: Mask | PackedMask | None = None
    crowd: bool = False
    difficult: bool = False
    is_approximate: bool = False

    def opened_mask(self) -> Mask | None:
        """Return the mask as pixels, if there is one."""
        return self.mask.opened() if isinstance(self.mask, PackedMask) else self.mask


@dataclass(frozen=True)
class Annotated:
    """A picture's annotations. `name` is as in the file; where `size` is None, boxes are shares of width and height."""

    name: str
    size: Size | None
    annotations: tuple[Annotation, ...] = ()

    def of_size(self, size: Size | None) -> Annotated:
        """Return the same in pixels of a picture of that size, where they are shares."""
        if self.size is not None or size is None:
            return self
        x, y = size
        scaled = (
            replace(one, box=(one.box[0] * x, one.box[1] * y, one.box[2] * x, one.box[3] * y))
            for one in self.annotations
        )
        return Annotated(self.name, size, tuple(scaled))


@dataclass(frozen=True)
class Annotations:
    """The pictures of a file or folder of boxes, and the classes that it knows, whether any box is of them or not.

    `ids` and `class_ids` are the numbers of COCO's pictures and categories, in the same order.
    """

    pictures: tuple[Annotated, ...]
    classes: tuple[str, ...]
    ids: tuple[int | str, ...] = ()
    class_ids: tuple[int, ...] = ()


class Names:
    """Finds pictures by name: by the whole of it, else by its last part, else without the ending; if that is only one.

    Programs name a picture by its path or without its folders, YOLO's files by what stands before its ending.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._places: list[dict[str, int | None]] = []
        for short in _SHORTER:
            places: dict[str, int | None] = {}
            for place, name in enumerate(names):
                key = short(name)
                places[key] = None if key in places else place
            self._places.append(places)

    def find(self, name: str) -> int | None:
        """Return the place of the picture of that name; None where there is none, or nobody can tell which."""
        for short, places in zip(_SHORTER, self._places, strict=True):
            if (place := places.get(short(name))) is not None:
                return place
        return None


_SHORTER: tuple[Callable[[str], str], ...] = (
    lambda name: name.replace("\\", "/"),
    lambda name: PurePosixPath(name.replace("\\", "/")).name,
    lambda name: PurePosixPath(name.replace("\\", "/")).stem,
)


def numbered(names: Iterable[str]) -> tuple[str, ...]:
    """Return classes' names, each once, in the order in which they come."""
    return tuple(dict.fromkeys(names))


def class_name(value: object) -> str:
    """Return a class's name without spaces around it; ValueError where it is none."""
    name = value.strip() if isinstance(value, str) else ""
    if not name or len(name) > LONGEST or "\n" in name or "\0" in name:
        raise ValueError(f"no name of a class: {str(value)[:60]!r}")
    return name


def read_text(path: Path, most: int) -> str:
    """Read a text of at most `most` bytes; CbirError where it cannot be."""
    try:
        return decode(read_regular(path, most=most))
    except OSError as error:
        raise CbirError(f"Cannot read the boxes {path}: {reason_of(error)}.") from error
    except UnicodeDecodeError as error:
        raise unusable(path, "they begin as UTF-16 and do not go on so") from error


def unusable(path: Path, reason: object) -> CbirError:
    """Return the error that says why a file's boxes cannot be used."""
    return CbirError(f"The boxes {path} cannot be used: {reason}.")
