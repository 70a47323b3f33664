"""People of a served index: who there is, what is said of them, and how a face is called between two requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from cbir.faces.of_index import thresholds_of_index
from cbir.images.regions import Box
from cbir.index.store import Index
from cbir.people import edit
from cbir.people.album import NOBODY, Album, Key
from cbir.people.arrange import Arranged
from cbir.people.of_index import change_people, people_of
from cbir.people.person import Person, people_in
from cbir.serve.bodies import Said
from cbir.serve.jobs import Job
from cbir.serve.problems import ProblemError
from cbir.serve.service import ServedIndex, Service
from cbir.serve.states import ServedState

# Seconds for which it is waited until another writer of the index has done.
_WAIT = 2.0

_FACE = re.compile(r"([0-9a-f]{64}):(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})")


@dataclass(frozen=True)
class ServedPeople:
    """The people of a state of an index, in the order in which they are listed."""

    arranged: Arranged

    @cached_property
    def people(self) -> list[Person]:
        """All of them."""
        return people_in(self.arranged)

    def person(self, number: int) -> Person:
        """Return a person by its number; NOBODY has the faces that belong to none. ProblemError where there is none."""
        if number == NOBODY:
            its = [face for face, one in enumerate(self.arranged.people.tolist()) if one == NOBODY]
            return Person(NOBODY, "", tuple(its), len({int(self.arranged.faces.pictures[face]) for face in its}))
        for one in self.people:
            if one.number == number:
                return one
        raise ProblemError(404, "no-such-person", f"The index has no person {number}.")

    def row(self, face: int) -> int:
        """Return the row of a face's picture."""
        return int(self.arranged.faces.rows[self.arranged.faces.pictures[face]])

    def name(self, face: int) -> str:
        """Return what a face is called in requests: the content of its picture, and its box."""
        key = self.arranged.faces.key(face)
        return f"{key.sha256}:{','.join(map(str, key.box))}"


def people_job(service: Service, state: ServedState) -> Job:
    """Return the job that finds the people of a state of an index, as `ServedPeople`. CbirError without faces."""
    index = state.index
    if index.meta.faces is None:
        index.faces()  # which says what to do
    entry, threshold = index.meta.people, thresholds_of_index(index.meta.faces).group
    name = "people", "" if entry is None else entry.sha256
    return service.jobs.of(state, name, lambda told: ServedPeople(people_of(index, threshold=threshold)))


def say(index: ServedIndex, said: Said) -> int:
    """Do what somebody says of people and faces. Returns the number of the person whom it is about, or NOBODY.

    Raises ProblemError and CbirError where that cannot be, IndexLockedError where another run is writing.
    """
    found = NOBODY

    def change(arranged: Arranged, now: Index) -> Album:
        nonlocal found
        album, found = _changed(arranged, said)
        return album

    with index.keeping:
        threshold = thresholds_of_index(index.state.index.meta.faces).group
        change_people(index.directory, change, threshold=threshold, wait=_WAIT)
        index.look()
    return found


def _changed(arranged: Arranged, said: Said) -> tuple[Album, int]:
    album = arranged.album
    for number in (said.person, said.into):
        if number is not None and number not in album.people:
            raise ProblemError(404, "no-such-person", f"The index has no person {number}.")
    faces = _keys(arranged, said.faces)
    if said.action == "name":
        return edit.name_person(album, _given(said.person, "person"), said.name or ""), _given(said.person, "person")
    if said.action == "merge":
        into = _given(said.into, "into")
        return edit.merge_people(album, [into, _given(said.person, "person")]), into
    if not faces:
        raise ProblemError(422, "invalid", "No face is chosen.")
    if said.action == "add":
        into = _given(said.into, "into")
        return edit.put_faces(album, faces, into), into
    if said.action == "split":
        former = "" if said.person is None else album.people[said.person].name
        return edit.split_faces(album, faces, "" if said.name == former else said.name or "")
    return edit.take_out(album, faces), said.person or NOBODY


def _given(number: int | None, name: str) -> int:
    if number is None:
        raise ProblemError(422, "invalid", f"The request is not understood: {name} is missing.")
    return number


def _keys(arranged: Arranged, names: Sequence[str]) -> list[Key]:
    """Return the faces of some names. ProblemError, with 410, where one is not there any more."""
    known = {sha256: picture for picture, sha256 in enumerate(arranged.faces.sha256s)} if names else {}
    keys = []
    for name in dict.fromkeys(names):
        match = _FACE.fullmatch(name)
        key = Key(match[1], Box(*map(int, match.groups()[1:]))) if match else None
        picture = None if key is None else known.get(key.sha256)
        its: Callable[[int], Key] = arranged.faces.key
        if key is None or picture is None or key not in map(its, arranged.faces.of_picture(picture)):
            raise ProblemError(410, "face-gone", "A face is not in the index any more: look at its people again.")
        keys.append(key)
    return keys
