"""Resolve images of queries to features: from the index if it has the content, else by the network."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cbir.errors import ImageReadError, IndexDamagedError, RegionError
from cbir.extract.extractor import Extractor
from cbir.images.contents import read_bytes
from cbir.images.sources.address import Address, Location
from cbir.index.store import Index
from cbir.search.queries import AnyQuery, FaceQuery, ImageQuery, IndexedQuery, Picture, TreatmentQuery, VectorQuery
from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.detect.detection import Detection
    from cbir.engines.lazy import LazyEngine
    from cbir.images.regions import Box
    from cbir.search.query_faces import QueryFaces
    from cbir.search.regions import RegionExtractor

#: Pictures that are remembered, so that one that comes again soon is not looked at again: 8 MB of most networks'
#: features. More than an extractor has under way, so that what it does not tell twice is still known.
REMEMBERED = 2048

# Queries without a picture that has to be looked at, which at most wait for one that has.
_GATHERED = 64


@dataclass(frozen=True)
class QueryPicture:
    """One picture of a query, resolved: its feature, of length 1, or the rows of the index that have its content.

    Where only a region of it counts, the feature is that region's, and `box` is its place in pixels. Where pictures are
    to be found by parts, it has `part` instead, of length 1, and no feature; where by their kind, `classes` as of
    `Kind`, and perhaps a `part`. `part_row` is what an index's row of that part would be. `shown` is the object that a
    region shows, where that is known and counts.
    `own` is the row that it is by its path, where its file is not there. `treatment` is the number of its treatment
    where searches go across these. Of a query by a face, `face` is that one's vector, and `box` its place. Of one by
    how a picture was treated, `treated` is that, of length 1.
    """

    rows: list[int]
    feature: Floats | None = None
    error: ImageReadError | RegionError | None = None
    box: Box | None = None
    part: Floats | None = None
    classes: Floats | None = None
    part_row: Floats | None = None
    shown: Detection | None = None
    own: int | None = None
    treatment: int = 0
    face: Floats | None = None
    treated: Floats | None = None


class Resolved(NamedTuple):
    """A query with what is known of its images, in order.

    `others_follow` where images of other queries are being looked at.
    """

    query: AnyQuery
    pictures: list[QueryPicture]
    others_follow: bool


class _Memory:
    """Features by the SHA-256 of contents, the `most` that were added or asked for last, for many threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._features: dict[str, Floats] = {}  # the one that was asked for longest ago first

    def add(self, sha256: str, feature: Floats) -> None:
        """Remember one more."""
        with self._lock:
            self._features.pop(sha256, None)
            self._features[sha256] = feature
            if len(self._features) > self._most:
                del self._features[next(iter(self._features))]

    def get(self, sha256: str) -> Floats | None:
        """Return a feature, which is now the last to be forgotten; None where it is not remembered."""
        with self._lock:
            feature = self._features.pop(sha256, None)
            if feature is not None:
                self._features[sha256] = feature
            return feature


class _Batch:
    """Queries that are under way, and what is known of their images by now.

    A file counts as looked at once in a batch: by the next one it may be another.
    """

    def __init__(self, pictures: QueryPictures, queries: Iterable[AnyQuery]) -> None:
        self._pictures = pictures
        self._queries = iter(queries)
        self._waiting: deque[tuple[AnyQuery, int]] = deque()  # with how many images are to be looked at until then
        self._found: dict[Picture, QueryPicture] = {}
        self._asked: set[Picture] = set()  # those that are found, and those under way
        self._needed = self._looked = 0
        self._most = REMEMBERED
        self.is_over = False

    def needed(self) -> Iterator[ImageQuery]:
        """Yield the images that are to be looked at, until there is nothing to be waited for, or no query any more."""
        gathered = 0
        for query in self._queries:
            new = [one for one in dict.fromkeys(query.images) if one not in self._asked]
            self._asked.update(new)
            for one in list(new):
                if (known := self._pictures.known(one)) is not None:
                    self._found[one] = known
                    new.remove(one)
            self._needed += len(new)
            self._waiting.append((query, self._needed))
            yield from (one for one in new if isinstance(one, ImageQuery))  # a vector is known
            gathered = 0 if new else gathered + 1
            if self._needed == self._looked or gathered == _GATHERED:
                return
        self.is_over = True

    def add(self, picture: ImageQuery, what: QueryPicture) -> None:
        """Note what is known of the next image that was needed."""
        self._found[picture] = what
        self._looked += 1

    def answered(self) -> Iterator[Resolved]:
        """Yield the queries of whose images all is known, in order."""
        while self._waiting and self._waiting[0][1] <= self._looked:
            query, _ = self._waiting.popleft()
            others_follow = bool(self._waiting) or self._needed > self._looked
            yield Resolved(query, [self._found[one] for one in query.images], others_follow)
        if len(self._found) > self._most:
            self._asked.intersection_update([one for query, _ in self._waiting for one in query.images])
            for one in [one for one in self._found if one not in self._asked]:
                del self._found[one]
            self._most = REMEMBERED + len(self._found)  # one query may need as many as it likes


class QueryPictures:
    """Looks at the pictures of queries for one index, with its backbone's extractor, and with the engine of that.

    Memory is bounded however many queries there are: some thousand pictures are remembered.
    """

    def __init__(self, index: Index, extractor: Extractor, engine: LazyEngine) -> None:
        self._index = index
        self._extractor = extractor
        self._engine = engine
        self._making = threading.Lock()
        self._remembered = _Memory(REMEMBERED)
        self._regions: RegionExtractor | None = None
        self._faces: QueryFaces | None = None
        self._paths: dict[str, int] | None = None

    def of(self, queries: Iterable[AnyQuery]) -> Iterator[Resolved]:
        """Yield each query with what is known of its images, in order."""
        batch = _Batch(self, queries)
        while not batch.is_over:
            for picture, what in self._look_at(batch.needed()):
                batch.add(picture, what)
                yield from batch.answered()
            yield from batch.answered()

    def known(self, picture: Picture) -> QueryPicture | None:
        """Resolve a picture whose file is not to be read ahead; None of one whose is."""
        if isinstance(picture, VectorQuery):
            return QueryPicture([], l2_normalize(picture.vector))
        if isinstance(picture.source, Address):
            from cbir.images.safely import decode_all_apart  # which loads all that decodes

            decode_all_apart()  # from a server of anybody's, and on pages it is decoded again
        if isinstance(picture, FaceQuery):
            return self._look_at_face(picture)
        if isinstance(picture, TreatmentQuery):
            return self._look_at_treatment(picture)
        if picture.region is not None or picture.parts or picture.kind:
            return self._look_at_region(picture)
        if isinstance(picture, IndexedQuery):
            return QueryPicture(self._index.rows_of_content(picture.sha256), picture.feature)
        return None

    def _look_at(self, pictures: Iterable[ImageQuery]) -> Iterator[tuple[ImageQuery, QueryPicture]]:
        """Yield each picture with what is known of it, in order."""
        pictures = iter(pictures)
        if (first := next(pictures, None)) is None:
            return  # an extractor would ask first how much memory there is
        known: dict[str, list[int]] = {}
        features = _Memory(2 * REMEMBERED)  # own ones, which no other thread makes this one forget

        def columns_lacked(sha256: str) -> tuple[str, ...] | None:
            known[sha256] = rows = self._rows_with(sha256)
            if self._has_feature(rows) or features.get(sha256) is not None:
                return ()
            feature = self._remembered.get(sha256)
            if feature is not None:
                features.add(sha256, feature)
            return None if feature is None else ()

        files = ((picture, picture.source) for picture in chain([first], pictures))
        for result in self._extractor.run(files, columns_lacked, remember=REMEMBERED):
            if result.error is not None:
                row = self._row_of(result.key.source)
                yield result.key, QueryPicture([], error=result.error) if row is None else QueryPicture([row], own=row)
                continue
            if result.feature is not None:
                self._check(result.feature)
                feature = l2_normalize(result.feature)
                features.add(result.sha256, feature)
                self._remembered.add(result.sha256, feature)
            rows = known.pop(result.sha256, None)
            if rows is None:  # the same content came twice at about the same time
                rows = self._rows_with(result.sha256)
            # without a feature and not in the index: the same content came before
            yield result.key, QueryPicture(rows, None if self._has_feature(rows) else features.get(result.sha256))

    def _look_at_region(self, picture: ImageQuery) -> QueryPicture:
        """Resolve a picture that is asked by a region, for parts or for its kind: that is always computed."""
        from cbir.parts.learning import whitening_of_index
        from cbir.search.regions import RegionExtractor

        with self._making:
            if self._regions is None:
                backbone = self._engine.backbone
                self._regions = RegionExtractor(self._engine, lambda: whitening_of_index(self._index, backbone))
        try:
            data = picture.source if isinstance(picture.source, bytes) else read_bytes(picture.source)
            rows = self._index.find(hashlib.sha256(data).hexdigest())
            asked = data, picture.name, picture.region
            if picture.kind:
                kind, region = self._regions.kind(*asked, parts=bool(picture.parts))
                made = QueryPicture(rows, part=kind.part, classes=kind.classes, part_row=kind.row)
            elif picture.parts:
                part, region = self._regions.part(*asked)
                made = QueryPicture(rows, part=part, part_row=part)
            else:
                feature, region = self._regions.feature(*asked)
                self._check(feature)
                made = QueryPicture(rows, feature)
        except (ImageReadError, RegionError) as error:
            return QueryPicture([], error=error)
        return made if picture.region is None else replace(made, box=region.box)

    def _look_at_face(self, picture: FaceQuery) -> QueryPicture:
        """Resolve a picture that is asked by a face: by that which the index knows, or which is found now."""
        from cbir.search.query_faces import QueryFaces

        with self._making:
            if self._faces is None:
                self._faces = QueryFaces(self._index, self._engine.asked)
        try:
            rows, face, box = self._faces.of(picture)
        except (ImageReadError, RegionError) as error:
            return QueryPicture([], error=error)
        return QueryPicture(rows, box=box, face=face)

    def _look_at_treatment(self, picture: TreatmentQuery) -> QueryPicture:
        """Resolve a picture that is asked by how it was treated: the index knows, or the network looks at it now."""
        from cbir.images.source import NamedImage
        from cbir.index.treatments import check_vector, treatment_of

        try:
            data = picture.source if isinstance(picture.source, bytes) else read_bytes(picture.source)
            rows = self._rows_with(hashlib.sha256(data).hexdigest())
            vector = treatment_of(self._index, rows[0]) if self._has_feature(rows) else None
            if vector is None:
                feature, vector = self._extractor.treated(NamedImage(data, picture.name))
                self._check(feature)
                check_vector(self._index, vector)
                return QueryPicture(rows, feature, treated=vector)
        except ImageReadError as error:
            row = self._row_of(picture.source)
            vector = None if row is None else treatment_of(self._index, row)
            if row is None or vector is None:
                return QueryPicture([], error=error)
            return QueryPicture([row], own=row, treated=vector)
        return QueryPicture(rows, treated=vector)

    def _row_of(self, source: Location | bytes) -> int | None:
        """Return the row of a file that is not there, in an index that was imported without its pictures."""
        if not self._index.meta.imported or not isinstance(source, Path) or os.path.lexists(source):
            return None
        if self._paths is None:
            names = self._index.files().paths
            self._paths = {names[row]: row for row in np.flatnonzero(self._index.comparable).tolist()}
        if isinstance(self._index.root, Address):
            return self._paths.get(source.as_posix())
        root = os.path.abspath(self._index.root)
        ways = (os.path.join(root, source), os.path.abspath(source))
        inside = (os.path.relpath(way, root).replace(os.sep, "/") for way in ways)
        return next((self._paths[name] for name in inside if name in self._paths), None)

    def _rows_with(self, sha256: str) -> list[int]:
        """Return the rows of a content, those with sound features first."""
        rows = self._index.find(sha256)
        if rows:
            self._index.features(rows)  # which tells whether they are
        return sorted(rows, key=lambda row: not self._index.is_sound(row))

    def _has_feature(self, rows: list[int]) -> bool:
        return bool(rows) and self._index.is_sound(rows[0])

    def _check(self, feature: Floats) -> None:
        """Raise IndexDamagedError where the network makes other features than the index says."""
        if feature.shape != (self._index.meta.dimension,):
            raise IndexDamagedError(
                f"{self._index.directory} holds {self._index.meta.dimension} numbers a row, but its network makes "
                f"{feature.size}: index the folder again."
            )
