"""Faces of rows, as a block's `faces-….npy`, `face_boxes-….npy` and `face_vectors-….npy` have them: up to 256 each.

`FOUND` says of each picture how many there are, `FACES` where they are, and `VECTORS` what they are compared by, the
largest face first. A picture that nobody has looked at yet is 0 in the first, and has nothing in the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cbir.index.columns.column import Column, Records
from cbir.index.columns.ragged import RaggedColumn, are_missing
from cbir.index.entries import MOST_FACE_NUMBERS
from cbir.utils.vectors import Floats, Rows

#: Faces of a picture at most.
MOST = 256

#: A face: x, y, width and height in pixels of the upright picture, its score times 65,535, and its height in pixels of
#: the picture as it is stored.
FACE = np.dtype([("box", "<u4", (4,)), ("score", "<u2"), ("height", "<u4")])

#: A face's box, shape (4,), its score, its height in pixels, and its vector, shape (dimension,).
Packed = tuple[npt.ArrayLike, float, int, npt.ArrayLike]

#: Boxes of faces, their scores, and their heights.
Places = tuple[npt.NDArray[np.int32], Floats, npt.NDArray[np.int32]]

_UNAVAILABLE = 0xFFFF
_ONE = 0xFFFF

# Pixels of a picture's side at most: a place and a length together fit into 32 bits.
_LARGEST = 1 << 28

# The most that the square of a vector's length may be from 1.
_MOST_OFF = 1e-3


def pack(faces: Sequence[Packed]) -> dict[str, Records]:
    """Pack the faces of one picture, the largest first, as they are stored: the records of each column, by its name.

    Of more than MOST the first are kept, and none whose vector does not have length 1: a network made nothing of it.
    ValueError where vectors differ in length.
    """
    faces = [face for face in faces if _are_sound(np.asarray(face[3], dtype=np.float32)[np.newaxis])][:MOST]
    records = np.zeros((len(faces), 1), dtype=FACE)
    vectors = np.zeros((len(faces), len(np.asarray(faces[0][3])) if faces else 0), dtype=np.float32)
    for number, (box, score, height, vector) in enumerate(faces):
        corner, size = np.asarray(box)[:2], np.asarray(box)[2:]
        places = [*np.clip(corner, 0, _LARGEST - 1), *np.clip(size, 1, _LARGEST)]
        records[number, 0] = places, min(max(round(score * _ONE), 1), _ONE), min(max(int(height), 1), _LARGEST)
        vectors[number] = np.asarray(vector)
    found = np.array([1 + len(faces)], dtype=FOUND.dtype)
    return {FOUND.name: found, FACES.name: records, VECTORS.name: vectors}


def count_faces(records: Records) -> Rows:
    """Return how many faces rows have, by their records of FOUND, shape (rows, 1); -1 where nobody has looked.

    Raises ValueError where they are unsound.
    """
    found = records[:, 0].astype(np.int64)
    found[found == _UNAVAILABLE] = 1
    if found.max(initial=0) > 1 + MOST:
        raise ValueError(f"a picture has more than {MOST} faces")
    return found - 1


def are_known(records: Records) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows, by their records of FOUND, of which it is known what faces they have."""
    return np.asarray((records[:, 0] != 0) & (records[:, 0] != _UNAVAILABLE))


def unpack(records: Records) -> Places:
    """Check and unpack the places of faces, shape (n, 1): boxes, shape (n, 4), scores and heights, both (n,).

    Raises ValueError where they are unsound.
    """
    boxes, scores, heights = (records.reshape(-1)[name] for name in ("box", "score", "height"))
    if len(records) and (boxes.max() > _LARGEST or not boxes[:, 2:].all()):
        raise ValueError("a box is none")
    if len(records) and not (scores.all() and heights.all() and heights.max() <= _LARGEST):
        raise ValueError("a face has no score or no height")
    return boxes.astype(np.int32), scores.astype(np.float32) / np.float32(_ONE), heights.astype(np.int32)


def check_vectors(records: Records, dimension: int | None = None) -> None:
    """Raise ValueError where vectors of faces, shape (n, numbers), are not of length 1, or of another `dimension`."""
    if not len(records):
        return
    if dimension not in (None, records.shape[1]):
        raise ValueError(f"a face has {records.shape[1]} numbers instead of {dimension}")
    if not _are_sound(records):
        raise ValueError("a vector does not have length 1")


def _are_sound(vectors: Records) -> bool:
    squares = np.einsum("ij,ij->i", vectors, vectors)
    return bool((np.abs(squares - 1) < _MOST_OFF).all())


#: The number of faces and 1, of each picture.
FOUND = Column(
    "faces",
    np.dtype("<u2"),
    1,
    np.array([_UNAVAILABLE], dtype="<u2"),
    is_missing=lambda records: np.asarray(records[:, 0] == 0),
    is_unavailable=lambda records: np.asarray(records[:, 0] == _UNAVAILABLE),
    check=count_faces,
    of_image=True,
    group="faces",
    advice="`cbir index --index {index}` looks for those of the others",
    offer="none: `cbir index --index {index} --faces` looks for them",
)

#: Their places.
FACES = RaggedColumn(
    "face_boxes",
    FACE,
    1,
    np.zeros((0, 1), dtype=FACE),
    is_missing=are_missing,
    is_unavailable=lambda records: np.zeros(len(records), dtype=np.bool_),
    check=unpack,
    of_image=True,
    group="faces",
    counted_by=FOUND,
    counts=count_faces,
    most=MOST,
)

#: Their vectors.
VECTORS = RaggedColumn(
    "face_vectors",
    np.dtype("<f4"),
    MOST_FACE_NUMBERS,
    np.zeros((0, 0), dtype="<f4"),
    is_missing=are_missing,
    is_unavailable=lambda records: np.zeros(len(records), dtype=np.bool_),
    check=check_vectors,
    of_image=True,
    group="faces",
    counted_by=FOUND,
    counts=count_faces,
    most=MOST,
)
