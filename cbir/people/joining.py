"""Albums of several indexes as one: for an index that has the pictures of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cbir.people.album import NOBODY, Album, Placed
from cbir.people.faces import same_faces


def joined_albums(albums: Sequence[Album]) -> Album:
    """Join albums. People of one name are one; others get new numbers, but for those of the first album.

    Where several place a face of one picture, the first counts. What one of them forgot is forgotten.
    """
    joined = albums[0]
    for album in albums[1:]:
        joined = _joined(joined, album)
    # faces of several indexes are to be grouped together
    return replace(joined, arranged="")


def _joined(first: Album, other: Album) -> Album:
    people, numbers, next_number = dict(first.people), {NOBODY: NOBODY}, first.next_number
    for number, entry in sorted(other.people.items()):
        known = first.named(entry.name) if entry.name else None
        if known is None:
            known, next_number = next_number, next_number + 1
            people[known] = entry
        numbers[number] = known
    pictures = dict(first.pictures)
    for sha256, faces in other.pictures.items():
        there = pictures.get(sha256, ())
        same = same_faces(np.array([one.box for one in faces], dtype=np.int32), [one.box for one in there])
        new = [
            Placed(one.box, numbers[one.person], one.by_hand, tuple(sorted({numbers[no] for no in one.barred})))
            for one, known in zip(faces, same, strict=True)
            if known is None
        ]
        pictures[sha256] = (*there, *new)
    forgotten = dict(first.forgotten)
    for sha256, boxes in other.forgotten.items():
        forgotten[sha256] = tuple(dict.fromkeys((*forgotten.get(sha256, ()), *boxes)))
    return Album(people, pictures, forgotten, next_number)
