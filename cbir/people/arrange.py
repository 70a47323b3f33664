"""Putting the faces of an index to people: what users have said stays as it is, and all else is grouped around it.

A person of whom something was said keeps all faces. These are split into what looks alike, since a child and the
adult whom it became are one person by a user's word alone, and each such part takes further faces as a group does. A
part of a few faces among many takes none: they may well be somebody else's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cbir.images.regions import Box
from cbir.people.album import NOBODY, Album, Entry, Placed
from cbir.people.faces import Faces, same_faces
from cbir.people.groups import ALONE, Told, by_value, group
from cbir.utils.vectors import Rows

#: A person is compared by so many faces at most, from first to last.
_MOST_COMPARED = 500

#: A part of a person takes further faces if it is the largest one, has this share of all, or one put there by hand.
_ENOUGH = 0.25

_NOBODY, _NOWHERE = Entry(), Box(0, 0, 1, 1)


@dataclass(frozen=True)
class Arranged:
    """An album and the faces of an index that it is about: the person of each, shape (n,), by number, or NOBODY."""

    album: Album
    faces: Faces
    people: Rows


def of_album(faces: Faces, album: Album) -> Arranged:
    """Return who the faces are by an album as it is; those that it does not know are NOBODY's."""
    placed = _placed(faces, album)
    return Arranged(album, faces, np.array([one.person if one else NOBODY for one in placed], dtype=np.int64))


def arrange(faces: Faces, album: Album, *, threshold: float) -> Arranged:
    """Put all faces to people: to those of the album, and to new ones.

    Faces of the album that are not here stay in it as far as somebody said something of them.
    """
    placed = _placed(faces, album)
    kept = {number for number, one in album.people.items() if one.kept}
    owners = np.array([one.person if one and one.person in kept else NOBODY for one in placed], dtype=np.int64)
    loose = owners == NOBODY
    units = _units(faces, owners, placed, threshold)
    chosen = np.flatnonzero(loose | (units >= 0))
    apart = _apart(faces, owners, units, placed)
    place_of = np.full(len(faces), -1, dtype=np.int64)
    place_of[chosen] = np.arange(len(chosen))
    told = Told(
        faces.pictures[chosen],
        owners[chosen],
        # a loose face is a unit of its own, which no other has
        np.where(units[chosen] >= 0, units[chosen], len(faces) + chosen),
        place_of[apart],
    )
    # one that was taken out would draw those who look like it after itself
    taken_out = np.array([one is not None and bool(one.barred) for one in placed], dtype=np.bool_)
    may_found = ~loose | (faces.may_found & ~taken_out)
    groups = np.full(len(faces), ALONE, dtype=np.int64)
    groups[chosen] = group(faces.vectors[chosen], may_found[chosen], threshold=threshold, told=told)
    return _settled(faces, album, placed, owners, groups)


def _placed(faces: Faces, album: Album) -> list[Placed | None]:
    """Return what the album has of each face."""
    found: list[Placed | None] = [None] * len(faces)
    for picture, sha256 in enumerate(faces.sha256s):
        its = faces.of_picture(picture)
        if len(its) and (known := album.pictures.get(sha256)):
            same = same_faces(faces.boxes[its.start : its.stop], [one.box for one in known])
            for face, other in zip(its, same, strict=True):
                found[face] = None if other is None else known[other]
    return found


def _units(faces: Faces, owners: Rows, placed: list[Placed | None], threshold: float) -> Rows:
    """Return the part of its person that each face belongs to, shape (n,), -1 where it has no say in who joins."""
    found = np.full(len(faces), -1, dtype=np.int64)
    by_hand = np.array([one is not None and one.by_hand for one in placed], dtype=np.bool_)
    for person in np.unique(owners[owners != NOBODY]).tolist():
        its = np.flatnonzero(owners == person)
        compared = its[faces.may_found[its] | by_hand[its]]
        compared = compared if len(compared) else its
        compared = compared[np.linspace(0, len(compared) - 1, min(len(compared), _MOST_COMPARED)).astype(np.int64)]
        parts = group(faces.vectors[compared], np.ones(len(compared), dtype=np.bool_), threshold=threshold)
        parts = np.where(parts == ALONE, len(compared) + np.arange(len(compared)), parts)
        sizes = Counter(parts.tolist())
        least = min(max(sizes.values()), _ENOUGH * len(compared))
        for part, size in sizes.items():
            members = compared[parts == part]
            if size >= least or by_hand[members].any():
                found[members] = members[0]
    return _without_lookalikes(faces, owners, found, threshold)


def _without_lookalikes(faces: Faces, owners: Rows, units: Rows, threshold: float) -> Rows:
    """Return the same units but for those that look like a larger one of somebody else: a face moved by hand, say."""
    kept, sizes = np.unique(units[units >= 0], return_counts=True)
    if len(kept) < 2:
        return units
    means = np.stack([faces.vectors[units == one].mean(axis=0) for one in kept])
    # by the mean of squares, which is near to the mean, and never below it
    near = 1 - means @ means.T < threshold**2 / 2
    smaller = sizes[:, np.newaxis] < sizes
    others = owners[kept][:, np.newaxis] != owners[kept]
    found = units.copy()
    found[np.isin(units, kept[(near & smaller & others).any(axis=1)])] = -1
    return found


def _apart(faces: Faces, owners: Rows, units: Rows, placed: list[Placed | None]) -> Rows:
    """Return pairs of a loose face and one of a unit that it is not to join, shape (m, 2)."""
    first_of = defaultdict(list)
    for unit in np.unique(units[units >= 0]).tolist():
        first_of[int(owners[unit])].append(unit)
    barred: dict[int, set[int]] = {face: set(one.barred) for face, one in enumerate(placed) if one and one.barred}
    # a person is on a picture once, whichever part of it that is
    for face in np.flatnonzero(owners != NOBODY).tolist():
        for other in faces.of_picture(int(faces.pictures[face])):
            barred.setdefault(other, set()).add(int(owners[face]))
    pairs = [
        (face, unit)
        for face, people in barred.items()
        if owners[face] == NOBODY
        for person in people
        for unit in first_of[person]
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _settled(faces: Faces, album: Album, placed: list[Placed | None], owners: Rows, groups: Rows) -> Arranged:
    """Return the people after grouping: groups join their owners, and the others are numbered."""
    people = owners.copy()
    entries = {number: one for number, one in album.people.items() if one.kept}
    unowned: list[Rows] = []
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for one, members in by_value(groups):
        if one == ALONE:
            continue
        owner = int(owners[members].max())
        if owner == NOBODY:
            unowned.append(members)
            continue
        likeness = faces.vectors[members] @ faces.vectors[members].mean(axis=0)
        for face, like in zip(members.tolist(), likeness.tolist(), strict=True):
            # a person is on a picture once, by whichever of its parts
            seat = owner, int(faces.pictures[face])
            if owners[face] == NOBODY and like > best.get(seat, (-1.0, 0))[0]:
                best[seat] = like, face
    for (owner, _), (_, face) in best.items():
        people[face] = owner
    next_number = album.next_number
    for members, former in zip(unowned, _former_numbers(unowned, placed), strict=True):
        number = former or next_number
        next_number = max(next_number, number + 1)
        people[members] = number
        entries[number] = Entry()
    pictures = _pictures(faces, album, placed, people)
    arranged = replace(album, people=entries, pictures=pictures, next_number=next_number, arranged=faces.state)
    return Arranged(arranged, faces, people)


def _former_numbers(groups: Sequence[Rows], placed: Sequence[Placed | None]) -> list[int]:
    """Return the number that most of each group had, where no other group has more of that; else NOBODY.

    Such numbers are of people that nobody has said anything of: all others have an owner.
    """
    found = [NOBODY] * len(groups)
    shares = []
    for one, members in enumerate(groups):
        former = Counter(had.person for had in map(placed.__getitem__, members.tolist()) if had is not None)
        shares += [(count, -one, number) for number, count in former.items() if number != NOBODY]
    taken: set[int] = set()
    for _, one, number in sorted(shares, reverse=True):
        if found[-one] == NOBODY and number not in taken:
            found[-one] = number
            taken.add(number)
    return found


def _pictures(
    faces: Faces, album: Album, placed: Sequence[Placed | None], people: Rows
) -> dict[str, tuple[Placed, ...]]:
    """Return the faces that the album keeps, by picture: with a person, or of which something was said."""
    # also of pictures that are not here, or whose faces are not found now: they may come back
    kept = {
        sha256: [one for one in its if one.by_hand or one.barred or album.people.get(one.person, _NOBODY).kept]
        for sha256, its in album.pictures.items()
    }
    for picture, sha256 in enumerate(faces.sha256s):
        for face in faces.of_picture(picture):
            had = placed[face]
            if had is not None and had in kept.get(sha256, ()):
                kept[sha256].remove(had)
            one = (had or Placed(_NOWHERE, NOBODY))._replace(box=faces.key(face).box, person=int(people[face]))
            if one.person != NOBODY or one.by_hand or one.barred:
                kept.setdefault(sha256, []).append(one)
    return {sha256: tuple(its) for sha256, its in kept.items() if its}
