"""Searching an index for people: by the distances of faces' vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cbir.errors import CbirError
from cbir.images.regions import Box
from cbir.index.facerows import FaceRows
from cbir.search.face_query import PERHAPS, FaceQuery, MatchedFace
from cbir.search.resolve import QueryPicture
from cbir.search.strategy import Found, Of, SearchRequest, Strategy
from cbir.utils.vectors import Floats, Rows


class OfFaces(Strategy[Of]):
    """The base of searches by faces: what they cannot be asked for, and matches of faces."""

    def check(self, query: Of, request: SearchRequest) -> None:
        """Raise CbirError where the index has no faces, or the request is about what faces do not have."""
        super().check(query, request)
        if request.limits.min_percentile is not None or request.limits.min_probability is not None:
            raise CbirError("Faces have neither percentiles nor probabilities here: give a least score, such as 0.93.")
        if request.class_name is not None:
            raise CbirError("--class-weights are for queries by whole pictures: leave them out, or the face.")
        self.searched.faces()

    def notices(self) -> tuple[str, ...]:
        """Return a sentence where the faces of some pictures are not there yet."""
        return self.searched.without_faces

    def found(
        self, places: Rows, distances: Floats, said: Sequence[str], own: list[int], request: SearchRequest
    ) -> Found:
        """Make matches of faces, by their places, in this order: of each picture the first one.

        `distances` and what is `said` are of all of these.
        """
        faces = self.searched.faces()
        rows = faces.rows[places]
        scores = np.asarray(1 - distances**2 / 2, np.float32)
        kept = self._counts(own, request, self.searched.index.valid)[rows] & self._keep(scores, request)
        firsts = np.flatnonzero(kept)
        firsts = firsts[np.sort(np.unique(rows[firsts], return_index=True)[1])]
        its = [
            _matched(faces, int(places[first]), float(distances[first]), said[first])
            for first in firsts[: request.last].tolist()
        ]
        wanted = firsts[: request.last]
        boxes = [one.box for one in its]
        return self._matches(rows[wanted], scores[wanted], request, total=len(firsts), alike=False, box=boxes, face=its)


class ByFace(OfFaces[FaceQuery]):
    """Search by a face: pictures by the one of their faces that is nearest to it."""

    def find(self, query: FaceQuery, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> Found:
        """Find the matches, those that strangers may be as near as left out."""
        vector, thresholds = images[0].face, self.searched.face_thresholds
        assert vector is not None
        distances = distances_to(self.searched.faces(), vector[np.newaxis])
        near = np.flatnonzero(distances <= thresholds.search)
        near = near[np.argsort(distances[near], kind="stable")]
        said = [PERHAPS if distance > thresholds.perhaps else "" for distance in distances[near].tolist()]
        return self.found(near, distances[near], said, own, request)


def distances_to(faces: FaceRows, vectors: Floats) -> Floats:
    """Compute the distance of each face to the nearest of some vectors of length 1, shape (m, dimension): (n,)."""
    if not len(vectors):
        return np.full(len(faces), np.inf, np.float32)
    cosines = faces.vectors @ vectors[0] if len(vectors) == 1 else (faces.vectors @ vectors.T).max(axis=1)
    return np.asarray(np.sqrt(np.maximum(2 - 2 * cosines, 0)), np.float32)


def _matched(faces: FaceRows, place: int, distance: float, said: str) -> MatchedFace:
    return MatchedFace(Box(*faces.boxes[place].tolist()), int(faces.numbers[place]) + 1, distance, said)
