"""The people of pictures as their sidecars have them: named faces, placed in the pictures as they are stored."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cbir.errors import ImageReadError
from cbir.images.contents import read_bytes
from cbir.images.ordinary import is_ordinary
from cbir.images.orientation import swaps_sides, turn_of, turned_back
from cbir.images.regions import Box
from cbir.images.safely import read_thumbnail
from cbir.people.album import NOBODY
from cbir.people.arrange import Arranged
from cbir.tags.xmp import Region

# Pixels of a side of a thumbnail that is made for the size of the picture alone.
_SMALL = 64


class FoundPeople(NamedTuple):
    """The named faces of a picture, and its width and height as it is stored."""

    regions: list[Region]
    size: tuple[int, int]


def named_faces(arranged: Arranged) -> dict[str, list[tuple[str, Box]]]:
    """Return the names and boxes of the faces that have names, by the content of their pictures."""
    found: dict[str, list[tuple[str, Box]]] = {}
    for face, number in enumerate(arranged.people.tolist()):
        if number != NOBODY and (name := arranged.album.people[number].name):
            key = arranged.faces.key(face)
            found.setdefault(key.sha256, []).append((name, key.box))
    return found


def find_people(picture: Path, sha256: str, faces: Sequence[tuple[str, Box]]) -> FoundPeople:
    """Place named faces in a picture. ImageReadError where it cannot be read, or has another content by now."""
    if not faces:
        return FoundPeople([], (0, 0))
    data = read_bytes(picture)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageReadError(str(picture), "it has changed since its faces were found")
    width, height, turn = _turned(data, str(picture))
    regions = []
    for name, box in faces:
        right, bottom = min(box.x + box.width, width), min(box.y + box.height, height)
        centre = (box.x + right) / 2 / width, (box.y + bottom) / 2 / height
        sides = (right - box.x) / width, (bottom - box.y) / height
        regions.append(Region(name, *turned_back(*centre, *sides, turn)))
    return FoundPeople(regions, (height, width) if swaps_sides(turn) else (width, height))


def _turned(data: bytes, name: str) -> tuple[int, int, Image.Transpose | None]:
    """Return the width and height of a picture when it is upright, and how it is turned for that.

    Files of rarer formats are turned by whoever reads them, or not at all.
    """
    if not is_ordinary(data):
        _, size = read_thumbnail(data, _SMALL, name=name)
        return *size, None
    try:
        with Image.open(io.BytesIO(data)) as image:
            turn = turn_of(image)
            width, height = image.size
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageReadError(name, "it is damaged") from error
    return (height, width, turn) if swaps_sides(turn) else (width, height, turn)
