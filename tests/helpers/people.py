"""Faces of made-up people, as an index has them: vectors around a centre for each person."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from cbir.people.faces import Faces
from cbir.utils.vectors import Floats, l2_normalize

#: One picture: the person of each of its faces, by name; the same again is the same face.
Picture = Sequence[str]

THRESHOLD = 0.36


def vector_of(person: str, shot: str, spread: float = 0.2) -> Floats:
    """Return the vector of a person's face in a picture, shape (128,): always the same."""
    centre, noise = (
        np.random.default_rng(list(hashlib.sha256(text.encode()).digest())).normal(size=128)
        for text in (person, f"{person} in {shot}")
    )
    found: Floats = l2_normalize((l2_normalize(centre) + spread * l2_normalize(noise)).astype(np.float32))
    return found


def sha256_of(picture: str) -> str:
    return hashlib.sha256(picture.encode()).hexdigest()


def faces_of(pictures: dict[str, Picture], *, moved: int = 0, small: Sequence[str] = ()) -> Faces:
    """Make the faces of some pictures. Boxes lie side by side, `moved` by so many pixels; `small` are too small to
    found a group.
    """
    names = list(pictures)
    each = [(number, place, who) for number, name in enumerate(names) for place, who in enumerate(pictures[name])]
    count = len(each)
    return Faces(
        [sha256_of(name) for name in names],
        np.arange(len(names), dtype=np.int64),
        np.array([number for number, _, _ in each], dtype=np.int64),
        np.array([place for _, place, _ in each], dtype=np.int64),
        np.array([(100 * place + moved, 10 + moved, 80, 90) for _, place, _ in each], np.int32).reshape(-1, 4),
        np.ones(count, dtype=np.float32),
        np.array([20 if who in small else 90 for _, _, who in each], dtype=np.int64),
        np.array([vector_of(who, names[number]) for number, _, who in each], np.float32).reshape(-1, 128),
    )
