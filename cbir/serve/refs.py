"""Requests as queries: pictures by id, content, path, feature or upload, and what a search asks of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cbir.images.regions import RegionOption, SegmentOption
from cbir.search.object_query import ObjectQuery
from cbir.search.queries import (
    AnyQuery,
    CombinedQuery,
    FaceQuery,
    FeedbackQuery,
    ImageQuery,
    PersonQuery,
    TextQuery,
    VectorQuery,
    WordQuery,
)
from cbir.serve.bodies import Ref, Search
from cbir.serve.files import check_inside
from cbir.serve.problems import ProblemError
from cbir.serve.service import ServedIndex
from cbir.serve.states import ServedState
from cbir.utils.vectors import Floats, l2_normalize


class Refs:
    """Resolves the pictures that a request names: those of an index, and the request's own `uploads`."""

    def __init__(self, served: ServedIndex, uploads: Sequence[tuple[str, bytes]] = ()) -> None:
        self.state: ServedState = served.state
        self._served = served
        self._uploads = uploads

    def row(self, ref: Ref) -> tuple[ServedState, int] | None:
        """Return the state and row of a picture of the index; None of another one. ProblemError."""
        if ref.picture is not None:
            return self._served.picture(ref.picture)
        if ref.sha256 is not None:
            return self.state, self.state.row_of_content(ref.sha256)
        if ref.path is not None:
            return self.state, self.state.row_of_path(ref.path)
        return None

    def query(self, ref: Ref) -> ImageQuery | VectorQuery:
        """Return the query by one picture. ProblemError where there is none."""
        query = self._query(ref)
        return query if ref.weight == query.weight else replace(query, weight=ref.weight)

    def _query(self, ref: Ref) -> ImageQuery | VectorQuery:
        if ref.face is not None:
            return self._face(ref, ref.face)
        asked = asked_of(ref)
        if (found := self.row(ref)) is not None:
            state, row = found
            if asked is None:
                return state.query(row)
            path = check_inside(state.index.root, state.record(row).path)
            return ImageQuery(path, str(path), region=asked)
        if ref.vector is not None:
            return VectorQuery(self.vector(ref), ref.name or "the picture")
        name, data = self._upload(ref)
        return ImageQuery(data, ref.name or name, region=asked)

    def _upload(self, ref: Ref) -> tuple[str, bytes]:
        """Return the name and the content of a picture of the request. ProblemError where it has none such."""
        assert ref.upload is not None
        if ref.upload >= len(self._uploads):
            raise ProblemError(422, "no-such-upload", f"The request has no picture {ref.upload} in `files`.")
        return self._uploads[ref.upload]

    def _face(self, ref: Ref, number: int) -> FaceQuery:
        """Return the query by a face of a picture. ProblemError where there is no such picture."""
        if (found := self.row(ref)) is not None:
            state, row = found
            record = state.record(row)
            path = check_inside(state.index.root, record.path)
            return FaceQuery(path, str(path), face=number, sha256=record.sha256)
        name, data = self._upload(ref)
        return FaceQuery(data, ref.name or name, face=number)

    def search(self, search: Search) -> AnyQuery:
        """Return the one query that a search is. ProblemError, WordError; ValueError where it cannot be."""
        if search.person is not None:
            return PersonQuery(search.person)
        like = tuple(self.query(ref) for ref in search.like)
        picture = CombinedQuery(like) if len(like) > 1 else like[0] if like else None
        if search.asks_objects_alone:
            return ObjectQuery.from_text(*search.objects, without=search.not_objects)
        beside: ImageQuery | VectorQuery | CombinedQuery | TextQuery | None = picture
        if search.all_texts or search.not_texts:
            beside = TextQuery.from_text(*search.all_texts, without=search.not_texts, picture=picture)
        start: ImageQuery | VectorQuery | CombinedQuery | WordQuery | TextQuery | None = beside
        if search.words or search.without:
            start = WordQuery.from_text(*search.words, without=search.without, picture=beside)
        if start is not None and not (search.more or search.less):
            return start
        more, less = (tuple(self.query(ref) for ref in refs) for refs in (search.more, search.less))
        return FeedbackQuery(start, more, less)

    def vector(self, ref: Ref) -> Floats:
        """Return the feature that a request brought, of length 1. ProblemError where it is none."""
        try:
            vector = np.frombuffer(base64.b64decode(ref.vector or "", validate=True), dtype="<f2").astype(np.float32)
        except (binascii.Error, ValueError) as error:
            raise ProblemError(422, "invalid", "A vector is base64 of numbers in float16.") from error
        if vector.shape != (self.state.index.dimension,):
            raise ProblemError(422, "other-network", f"A vector has {self.state.index.dimension} numbers here.")
        if not np.isfinite(vector).all() or not vector.any():
            raise ProblemError(422, "invalid", "A vector is neither zero nor infinite.")
        return l2_normalize(vector)


def asked_of(ref: Ref) -> RegionOption | SegmentOption | None:
    """Return the region that a picture is named with. ProblemError where it is none."""
    if ref.segment is not None:
        return SegmentOption(ref.segment)
    if ref.region is None:
        return None
    try:
        return RegionOption.parse(ref.region)
    except ValueError as error:
        raise ProblemError(422, "invalid", str(error)) from error
