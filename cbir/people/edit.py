"""Changes of an album by what users say: names, merges, splits, faces moved and taken out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from cbir.errors import CbirError
from cbir.people.album import NOBODY, Album, Entry, Key, Placed, check_person_name
from cbir.utils.printable import printable


def name_person(album: Album, number: int, name: str) -> Album:
    """Call a person so. CbirError where another has that name, or nobody can."""
    check_person_name(name)
    other = album.named(name)
    if other is not None and other != number:
        raise CbirError(
            f"Person {other} is called {printable(album.people[other].name)} already: `cbir people merge {other} "
            f"{number}` makes one of the two, or choose a name that tells them apart."
        )
    return replace(album, people={**album.people, number: Entry(name, kept=True)})


def merge_people(album: Album, numbers: Sequence[int]) -> Album:
    """Make one person of several: the first, with the first name that one of them has."""
    first, others = numbers[0], set(numbers[1:]) - {numbers[0]}
    name = next((album.people[number].name for number in numbers if album.people[number].name), "")
    changed = {}
    for key, face in album.faces():
        person = first if face.person in others else face.person
        # who belongs to the first already is not kept out of it by what was said of the others
        barred = {first if other in others else other for other in face.barred} - {person}
        # by hand, so that each of those who look different takes further faces
        by_hand = face.by_hand or person == first
        changed[key] = Placed(face.box, person, by_hand, _sorted(barred))
    people = {number: one for number, one in album.people.items() if number not in others}
    return replace(album.with_faces(changed), people={**people, first: Entry(name, kept=True)})


def put_faces(album: Album, faces: Iterable[Key], number: int) -> Album:
    """Say that faces are a person's; whose they were keeps what else it has."""
    known = dict(album.faces())
    changed, left = {}, set()
    for key in faces:
        one = known.get(key) or Placed(key.box, NOBODY)
        barred = {*one.barred, one.person} - {NOBODY, number}
        left.add(one.person)
        changed[key] = Placed(key.box, number, by_hand=True, barred=_sorted(barred))
    return kept(album.with_faces(changed), {number, *left})


def split_faces(album: Album, faces: Iterable[Key], name: str = "") -> tuple[Album, int]:
    """Make a person of faces, whoever they belonged to, and return its number. CbirError as of `name_person`."""
    number = album.next_number
    grown = replace(album, people={**album.people, number: Entry()}, next_number=number + 1)
    changed = put_faces(grown, faces, number)
    return (name_person(changed, number, name) if name else changed), number


def take_out(album: Album, faces: Iterable[Key]) -> Album:
    """Say that faces are not of the person whom they belong to. They may come to another, and never back."""
    known = dict(album.faces())
    changed = {}
    for key in faces:
        one = known.get(key)
        if one is None or one.person == NOBODY:
            raise CbirError("A face that belongs to nobody cannot be taken out.")
        changed[key] = one._replace(person=NOBODY, by_hand=False, barred=_sorted({*one.barred, one.person}))
    return kept(album.with_faces(changed), {known[key].person for key in changed})


def forget_person(album: Album, number: int) -> Album:
    """Forget a person: what stays is which boxes of which pictures are not to be looked at again."""
    forgotten = {sha256: list(boxes) for sha256, boxes in album.forgotten.items()}
    pictures: dict[str, tuple[Placed, ...]] = {}
    for sha256, its in album.pictures.items():
        gone = [one.box for one in its if one.person == number]
        if gone:
            forgotten.setdefault(sha256, []).extend(gone)
        rest = [
            one._replace(barred=tuple(other for other in one.barred if other != number))
            for one in its
            if one.person != number
        ]
        if rest := [one for one in rest if one.person != NOBODY or one.barred or one.by_hand]:
            pictures[sha256] = tuple(rest)
    return replace(
        album,
        people={other: one for other, one in album.people.items() if other != number},
        pictures=pictures,
        forgotten={sha256: tuple(dict.fromkeys(boxes)) for sha256, boxes in forgotten.items()},
    )


def kept(album: Album, numbers: Collection[int]) -> Album:
    """Return the same with some people whom the grouping does not change any more."""
    people: Mapping[int, Entry] = {
        number: one._replace(kept=one.kept or number in numbers) for number, one in album.people.items()
    }
    return replace(album, people=people)


def _sorted(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers))
