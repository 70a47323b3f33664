"""The page of `cbir people`: the faces of each, cut out of their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cbir.index.store import Index
from cbir.people.arrange import Arranged
from cbir.people.named import FaceNames
from cbir.people.person import Person, faces_without
from cbir.report.card import Card, Group
from cbir.report.page import write_page

#: Faces of each that are shown where all people are: those most like the others, and as many that are least like them.
_SHOWN = 24


def write_people_page(
    people: Sequence[Person], arranged: Arranged, names: FaceNames, index: Index, html: Path, *, force: bool
) -> None:
    """Write a page of people, of all faces where it is one. CbirError where it cannot be written."""
    shown = [one for one in people if one.faces]
    groups = [_group(one, arranged, names, all_faces=len(people) == 1) for one in shown]
    if not groups:
        groups = [Group("Nobody", [], problem=f"No face in {index.directory.name} is like another.")]
    without = faces_without(arranged)
    write_page(
        "search.html",
        groups,
        html,
        advice="Ask for one person: `cbir people list NUMBER --html PAGE`.",
        force=force,
        heading=f"People in {index.directory.name}",
        navigation="People",
        about=[
            f"{len(arranged.faces):,} faces; {without:,} of them belong to nobody yet. The first face of each person "
            "is most like the others, the last least.",
            "`cbir people name NUMBER NAME` gives a name, `merge NUMBER NUMBER` makes one person of two, `not FACE` "
            "takes a face out; faces are named as under their pictures.",
        ],
        alt="Face",
    )


def _group(person: Person, arranged: Arranged, names: FaceNames, *, all_faces: bool) -> Group:
    faces = person.faces
    number = f"Person {person.number}, " if person.name else ""
    notes = [f"{number}{_count(len(faces), 'face')} in {_count(person.pictures, 'picture')}."]
    if not all_faces and len(faces) > 2 * _SHOWN:
        more = f"{len(faces) - 2 * _SHOWN:,} in between are not shown"
        notes.append(f"{more}: `cbir people list {person.number} --html PAGE` shows all.")
        faces = (*faces[:_SHOWN], *faces[-_SHOWN:])
    cards = [Card(names.name(face), names.path(face), crop=arranged.faces.key(face).box) for face in faces]
    return Group(person.title, cards, notes=notes)


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
