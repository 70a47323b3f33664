"""The faces of an index as people are made of them: those of one content once, however many files have it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cbir.images.regions import Box
from cbir.people.album import Key
from cbir.utils.boxes import overlaps
from cbir.utils.vectors import Floats, Rows

#: Faces of fewer pixels in height, or with a lower score, join groups, and found none.
LEAST_HEIGHT, LEAST_SCORE = 32, 0.98

#: Boxes of a picture that overlap (IoU) by so much are of the same face.
_SAME_FACE = 0.5


@dataclass(frozen=True)
class Faces:
    """Faces of pictures of different contents: arrays of n, those of one picture together and in order.

    `sha256s` and `rows` are of the pictures, the first row where several have a content; `pictures` are the numbers of
    these, shape (n,), and `places` the number of each face within its picture. Boxes have shape (n, 4), vectors (n,
    dimension) and length 1; `heights` are in pixels of the source.
    """

    sha256s: Sequence[str]
    rows: Rows
    pictures: Rows
    places: Rows
    boxes: npt.NDArray[np.int32]
    scores: Floats
    heights: Rows
    vectors: Floats

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def may_found(self) -> npt.NDArray[np.bool_]:
        """The faces that are large and clear enough to found a group, as a mask of shape (n,)."""
        return np.asarray((self.heights >= LEAST_HEIGHT) & (self.scores >= LEAST_SCORE))

    @cached_property
    def state(self) -> str:
        """The SHA-256 of what faces there are, whatever their order."""
        boxes = self.boxes.astype("<i4")
        found = (
            sha256.encode("ascii") + boxes[its.start : its.stop].tobytes()
            for picture, sha256 in enumerate(self.sha256s)
            if (its := self.of_picture(picture))
        )
        return hashlib.sha256(b"".join(sorted(found))).hexdigest()

    def key(self, face: int) -> Key:
        """Return what a face is known by."""
        return Key(self.sha256s[self.pictures[face]], Box(*self.boxes[face].tolist()))

    def of_picture(self, picture: int) -> range:
        """Return the faces of a picture."""
        return range(self._bounds[picture], self._bounds[picture + 1])

    @cached_property
    def _bounds(self) -> list[int]:
        """The first face of each picture, and how many there are."""
        found: list[int] = np.searchsorted(self.pictures, np.arange(len(self.sha256s) + 1)).tolist()
        return found


def same_faces(boxes: npt.NDArray[np.int32], others: Iterable[Box]) -> list[int | None]:
    """Find which of the `others` each box of a picture is, the best pairs first; None where it is none of them."""
    kept = list(others)
    found: list[int | None] = [None] * len(boxes)
    if not kept:
        return found
    shares = overlaps(boxes, np.array(kept, dtype=np.int64))
    while shares.size and shares.max() >= _SAME_FACE:
        one, other = divmod(int(shares.argmax()), len(kept))
        found[one] = other
        shares[one], shares[:, other] = 0, 0
    return found
