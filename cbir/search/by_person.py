"""Searching an index for a person whom it knows: by the faces that are this person's, and what is near to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cbir.errors import CbirError
from cbir.images.regions import Box
from cbir.index.columns.column import Mask
from cbir.people.album import Album, Placed
from cbir.people.faces import same_faces
from cbir.people.of_index import read_album
from cbir.people.person import number_of
from cbir.search.by_faces import OfFaces, distances_to
from cbir.search.face_query import CONFIRMED, GROUPED, PERHAPS, PersonQuery
from cbir.search.resolve import QueryPicture
from cbir.search.searched import SearchedIndex
from cbir.search.strategy import Found, SearchRequest
from cbir.utils.vectors import Floats, Rows

#: Faces of a person at most that others are compared with, from first to last.
MOST_COMPARED = 32

# People whose faces are kept in order.
_KEPT = 16


class Ranked(NamedTuple):
    """Faces by their places, best first, with their distances and what is said of each."""

    places: Rows
    distances: Floats
    said: list[str]


class ByPerson(OfFaces[PersonQuery]):
    """Search by the faces of a person: those that somebody put there, those that were grouped, then others nearby."""

    def __init__(self, searched: SearchedIndex) -> None:
        super().__init__(searched)
        self._album: Album | None = None
        self._kept: dict[int, Ranked] = {}

    def check(self, query: PersonQuery, request: SearchRequest) -> None:
        """Raise CbirError where the index has no faces, or nobody called so."""
        super().check(query, request)
        if self.searched.index.directories:
            raise CbirError("People are known to one index each: name one with --index.")
        number_of(self._people(), query.who)

    def find(self, query: PersonQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> Found:
        """Find the matches: of each picture one, as a person is there once."""
        number = number_of(self._people(), query.who)
        ranked = self._kept.get(number) or self._ranked(number)
        self._kept[number] = ranked
        if len(self._kept) > _KEPT:
            self._kept = {number: ranked}
        return self.found(*ranked, own, request)

    def _ranked(self, number: int) -> Ranked:
        """Rank all faces that are a person's, or may be."""
        faces, album, thresholds = self.searched.faces(), self._people(), self.searched.face_thresholds
        its, by_hand = self._faces_of(album, number)
        compared = its[np.linspace(0, len(its) - 1, min(len(its), MOST_COMPARED)).astype(np.int64)]
        distances = distances_to(faces, faces.vectors[compared])
        distances[its] = self._to_others(its, compared)
        others = np.setdiff1d(np.flatnonzero(distances <= thresholds.search), its)
        # where the person is already, nobody else is it
        others = others[~np.isin(faces.rows[others], faces.rows[its])]
        may_be = [self._may_be(album, place, number) for place in others.tolist()]
        others = others[np.array(may_be, dtype=np.bool_)]
        places = np.concatenate([its[by_hand], its[~by_hand], others])
        rank = np.repeat([0, 1, 2], [by_hand.sum(), (~by_hand).sum(), len(others)])
        order = np.lexsort((places, distances[places], rank))
        said = [
            (CONFIRMED, GROUPED, PERHAPS if distances[place] > thresholds.perhaps else "")[one]
            for one, place in zip(rank[order].tolist(), places[order].tolist(), strict=True)
        ]
        return Ranked(places[order], distances[places[order]], said)

    def _people(self) -> Album:
        """Return what the index knows of people, read once."""
        if self._album is None:
            self._album = read_album(self.searched.index)
        return self._album

    def _faces_of(self, album: Album, number: int) -> tuple[Rows, Mask]:
        """Return the places of a person's faces, in all files that have their pictures, and which were put by hand."""
        places: list[int] = []
        by_hand: list[bool] = []
        for sha256, placed in album.pictures.items():
            if any(one.person == number for one in placed):
                for row in self.searched.index.find(sha256):
                    for place, one in self._placed(row, placed):
                        if one.person == number:
                            places.append(place)
                            by_hand.append(one.by_hand)
        order = np.argsort(np.array(places, dtype=np.int64), kind="stable")
        return np.array(places, dtype=np.int64)[order], np.array(by_hand, dtype=np.bool_)[order]

    def _placed(self, row: int, placed: Sequence[Placed]) -> list[tuple[int, Placed]]:
        """Return the places of a row's faces that the album knows, each with what it says."""
        faces = self.searched.faces()
        first, stop = np.searchsorted(faces.rows, [row, row + 1]).tolist()
        same = same_faces(faces.boxes[first:stop], [Box(*one.box) for one in placed])
        return [(first + face, placed[other]) for face, other in enumerate(same) if other is not None]

    def _may_be(self, album: Album, place: int, number: int) -> bool:
        """Tell whether a face may be a person's: nobody said that it is not, or is somebody else's."""
        faces = self.searched.faces()
        row = int(faces.rows[place])
        sha256 = self.searched.index.record(row).sha256
        known = dict(self._placed(row, album.pictures.get(sha256, ()))).get(place)
        return known is None or (known.person in (0, number) and number not in known.barred)

    def _to_others(self, its: Rows, compared: Rows) -> Floats:
        """Return the distance of each of a person's faces to the nearest other one, 0 where there is no other."""
        vectors = self.searched.faces().vectors
        cosines = vectors[its] @ vectors[compared].T
        cosines[its[:, np.newaxis] == compared] = -1
        if len(its) < 2:
            return np.zeros(len(its), np.float32)
        return np.asarray(np.sqrt(np.maximum(2 - 2 * cosines.max(axis=1), 0)))
