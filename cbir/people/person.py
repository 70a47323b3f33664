"""People as they are listed: each with its faces, those that are most like the others first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbir.errors import CbirError
from cbir.people.album import NOBODY, Album
from cbir.people.arrange import Arranged
from cbir.people.groups import by_value
from cbir.utils.printable import printable


@dataclass(frozen=True)
class Person:
    """A person of an index: its number, its name, empty where it has none, and its faces by their places in `Faces`."""

    number: int
    name: str
    faces: tuple[int, ...]
    pictures: int

    @property
    def title(self) -> str:
        """Its name, or its number where it has none."""
        return self.name or f"Person {self.number}"


def people_in(arranged: Arranged) -> list[Person]:
    """List all people: those with names first, by these, then the others, those of most faces first."""
    faces, found = arranged.faces, []
    members = dict(by_value(arranged.people))
    for number, entry in arranged.album.people.items():
        its = members.get(number, np.zeros(0, dtype=np.int64))
        if len(its):
            likeness = faces.vectors[its] @ faces.vectors[its].mean(axis=0)
            its = its[np.argsort(-likeness, kind="stable")]
        pictures = len(set(faces.pictures[its].tolist()))
        found.append(Person(number, entry.name, tuple(its.tolist()), pictures))
    return sorted(found, key=lambda one: (not one.name, one.name.casefold(), -len(one.faces), one.number))


def number_of(album: Album, who: str) -> int:
    """Return the number of the person that is meant by a number or a name. CbirError where there is none."""
    number = int(who) if who.isdecimal() else album.named(who)
    if number is None or number not in album.people:
        names = ", ".join(sorted(printable(one.name) for one in album.people.values() if one.name))
        raise CbirError(
            f"There is no person {printable(who)}: `cbir people` lists them by number"
            + (f", and by name {names}." if names else "; none has a name yet.")
        )
    return number


def faces_without(arranged: Arranged) -> int:
    """Count the faces that belong to nobody."""
    return int((arranged.people == NOBODY).sum())
