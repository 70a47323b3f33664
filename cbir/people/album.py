"""Names of people and corrections of their groups, as an index keeps them: `people-….json`.

Faces are known by the content of their picture and by their box, so that all of it outlives moves, copies, and a run
that finds a face anew, a few pixels off. Vectors are in the index, and not here.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from cbir.errors import CbirError
from cbir.images.regions import Box
from cbir.index.entries import MOST_PEOPLE_BYTES
from cbir.index.values import flag, read_json, sequence, sha256, text, whole
from cbir.utils.printable import shortened

#: The number of nobody: a face with it belongs to no person.
NOBODY = 0

#: A name has so many characters at most, an index so many people, and a picture so many faces.
LONGEST_PERSON, MOST_PEOPLE, MOST_FACES = 64, 1_000_000, 1024

_FORMAT = 1

# Pixels of a picture's side at most.
_LARGEST_BOX = 1 << 28


class Key(NamedTuple):
    """A face by the SHA-256 of its picture's content, and its box."""

    sha256: str
    box: Box


class Placed(NamedTuple):
    """A face that was put to a person, or to NOBODY: `by_hand`, or by its vector. It is none of the people `barred`."""

    box: Box
    person: int
    by_hand: bool = False
    barred: tuple[int, ...] = ()


class Entry(NamedTuple):
    """A person: its name, empty where it has none, and whether somebody said anything of it: it is `kept` then.

    A person that is not is only what the grouping has found, and may be found otherwise by the next one.
    """

    name: str = ""
    kept: bool = False


@dataclass(frozen=True)
class Album:
    """All that is kept of the people of an index.

    `people` are by their numbers, which are never used again; `pictures` are their faces, and `forgotten` are boxes of
    faces that are not to be found again, by the contents of their pictures. `arranged` is the `state` of the faces that
    were last arranged (`cbir.people.arrange`).
    """

    people: Mapping[int, Entry] = field(default_factory=dict)
    pictures: Mapping[str, tuple[Placed, ...]] = field(default_factory=dict)
    forgotten: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)
    next_number: int = 1
    arranged: str = ""

    def faces(self) -> Iterator[tuple[Key, Placed]]:
        """Yield all faces that are kept."""
        for content, faces in self.pictures.items():
            for one in faces:
                yield Key(content, one.box), one

    def named(self, name: str) -> int | None:
        """Return the number of the person of that name, in any case; None where there is none."""
        wanted = _folded(name)
        return next((number for number, one in self.people.items() if one.name and _folded(one.name) == wanted), None)

    def with_faces(self, changed: Mapping[Key, Placed]) -> Album:
        """Return the same with some faces put otherwise, or added."""
        pictures = dict(self.pictures)
        for key, placed in changed.items():
            others = tuple(one for one in pictures.get(key.sha256, ()) if one.box != key.box)
            pictures[key.sha256] = (*others, placed)
        return replace(self, pictures=pictures)


def check_person_name(name: str) -> None:
    """Raise CbirError where nobody may be called so."""
    if not is_person_name(name):
        raise CbirError(
            f"A person cannot be called {shortened(name)}: take 1 to {LONGEST_PERSON} characters that are not only "
            "digits, without line breaks, and without spaces at the ends."
        )


def is_person_name(name: str) -> bool:
    """Tell whether a person may be called so: whatever people are called, but no number, which stands for another."""
    return (
        0 < len(name) <= LONGEST_PERSON
        and name == name.strip()
        and name.isprintable()
        and not name.startswith("-")
        and not name.isdecimal()
    )


def dump(album: Album) -> bytes:
    """Return the file of an album, the same each time. CbirError where it has more than a file may have."""
    content = {
        "format": _FORMAT,
        "next": album.next_number,
        "arranged": album.arranged,
        "people": [[number, *one] for number, one in sorted(album.people.items())],
        "pictures": {
            content: [[*one.box, one.person, one.by_hand, sorted(one.barred)] for one in sorted(faces)]
            for content, faces in sorted(album.pictures.items())
            if faces
        },
        "forgotten": {content: sorted(boxes) for content, boxes in sorted(album.forgotten.items()) if boxes},
    }
    data = (json.dumps(content, separators=(",", ":")) + "\n").encode("ascii")
    if len(data) > MOST_PEOPLE_BYTES:
        raise CbirError(
            f"The people of the index would take {len(data):,} bytes, more than the {MOST_PEOPLE_BYTES:,} allowed."
        )
    return data


def load(data: bytes) -> Album:
    """Read what `dump` made; ValueError, TypeError, KeyError or RecursionError where it is something else."""
    if len(data) > MOST_PEOPLE_BYTES:
        raise ValueError(f"{len(data):,} bytes are more than it may have")
    record = read_json(data.decode("ascii"))
    if whole(record["format"]) != _FORMAT:
        raise ValueError(f"it has format {record['format']}, which this cbir does not know")
    people = {}
    for number, name, kept in sequence(record["people"], MOST_PEOPLE):
        if name and not is_person_name(text(name)):
            raise ValueError(f"nobody is called {shortened(name)}")
        people[whole(number, 1)] = Entry(text(name), flag(kept))
    if len(people) < len(record["people"]):
        raise ValueError("two people have one number")
    names = [_folded(one.name) for one in people.values() if one.name]
    if len(set(names)) < len(names):
        raise ValueError("two people have one name")
    next_number = whole(record["next"], 1)
    if max(people, default=0) >= next_number:
        raise ValueError("a person has a number that is not given yet")
    known = {NOBODY, *people}
    return Album(
        people,
        {sha256(content): _faces(faces, known) for content, faces in _object(record["pictures"]).items()},
        {
            sha256(content): tuple(map(_box, sequence(boxes, MOST_FACES)))
            for content, boxes in _object(record["forgotten"]).items()
        },
        next_number,
        sha256(record["arranged"]) if record["arranged"] else "",
    )


def _faces(value: object, known: set[int]) -> tuple[Placed, ...]:
    found = []
    for x, y, width, height, person, by_hand, barred in sequence(value, MOST_FACES):
        others = tuple(whole(one, 1) for one in sequence(barred, MOST_PEOPLE))
        if person not in known or not known.issuperset(others):
            raise ValueError("it has a face of a person that it has not")
        found.append(Placed(_box([x, y, width, height]), whole(person), flag(by_hand), others))
    return tuple(found)


def _box(value: object) -> Box:
    x, y, width, height = sequence(value, 4)
    place = whole(x, 0, _LARGEST_BOX), whole(y, 0, _LARGEST_BOX)
    return Box(*place, whole(width, 1, _LARGEST_BOX), whole(height, 1, _LARGEST_BOX))


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is no object of pictures")
    return value


def _folded(name: str) -> str:
    """Return a name as it is compared: in any case, its accents written in either of the two ways."""
    return unicodedata.normalize("NFC", name).casefold()
