"""The pictures of queries: what each is known by, in the index that is searched or by the network, as queries come."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbir.errors import ImageReadError, IndexDamagedError, RegionError
from cbir.extract.extractor import Extractor
from cbir.images.contents import read_bytes
from cbir.index.store import Index
from cbir.search.queries import AnyQuery, Query, RowQuery
from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.engines.lazy import LazyEngine
    from cbir.images.regions import Box
    from cbir.search.regions import RegionExtractor

#: Pictures that are remembered, so that one that comes again soon is not looked at again: 8 MB of most networks'
#: features. More than an extractor has under way, so that what it does not tell twice is still known.
REMEMBERED = 2048

# Queries without a picture that has to be looked at, which at most wait for one that has.
_GATHERED = 64


@dataclass(frozen=True)
class QueryPicture:
    """What is known of one picture of a query: its feature, of length 1, or where the index has its content.

    Of a picture of which only a region counts, the feature is that region's, which is in the `box`, in its pixels.
    Where pictures are to be found by parts, it has `part` instead, of length 1, and no feature.
    """

    rows: list[int]
    feature: Floats | None = None
    error: ImageReadError | RegionError | None = None
    box: Box | None = None
    part: Floats | None = None


class QueryPictures:
    """Looks at the pictures of queries for one index, with its backbone's extractor, and with the engine of that.

    Memory is bounded however many queries there are: some thousand pictures are remembered.
    """

    def __init__(self, index: Index, extractor: Extractor, engine: LazyEngine) -> None:
        self._index = index
        self._extractor = extractor
        self._engine = engine
        self._making = threading.Lock()
        self._regions: RegionExtractor | None = None
        self._rows_by_content: dict[str, list[int]] | None = None

    def of(self, queries: Iterable[AnyQuery | None]) -> Iterator[tuple[AnyQuery, list[QueryPicture]]]:
        """Each query with what is known of its pictures, in order. None is a pause, as in `Searcher.search`."""
        waiting: deque[tuple[AnyQuery, int]] = deque()  # with how many pictures are to be looked at until then
        found: dict[Query, QueryPicture] = {}
        asked: set[Query] = set()  # those that are found, and those under way
        looked, most = 0, REMEMBERED

        def needed() -> Iterator[Query | None]:
            total = gathered = 0
            for query in queries:
                if query is None:
                    yield None
                    asked.clear()  # a file that comes again after a pause may be another by then
                    found.clear()
                    continue
                new = [one for one in dict.fromkeys(query.images) if one not in asked]
                asked.update(new)
                for row in [one for one in new if isinstance(one, RowQuery)]:
                    found[row] = QueryPicture(self._rows_of(row.sha256), row.feature)
                    new.remove(row)
                for part in [one for one in new if one.region is not None or one.parts]:
                    found[part] = self._look_at_region(part)
                    new.remove(part)
                total += len(new)
                waiting.append((query, total))
                yield from new
                gathered = 0 if new else gathered + 1
                if total == looked or gathered == _GATHERED:  # where nothing is under way, a pause costs nothing
                    yield None
                    gathered = 0

        def answered() -> Iterator[tuple[AnyQuery, list[QueryPicture]]]:
            while waiting and waiting[0][1] <= looked:
                query, _ = waiting.popleft()
                yield query, [found[one] for one in query.images]

        for picture, what in self._look_at(needed()):
            if picture is not None and what is not None:
                found[picture] = what
                looked += 1
            yield from answered()
            if len(found) > most:
                asked.intersection_update([one for query, _ in waiting for one in query.images])
                for one in [one for one in found if one not in asked]:
                    del found[one]
                most = REMEMBERED + len(found)  # one query may need as many as it likes
        yield from answered()

    def _look_at(self, pictures: Iterable[Query | None]) -> Iterator[tuple[Query | None, QueryPicture | None]]:
        """What is known of each picture, in order; of a pause nothing."""
        known: dict[str, list[int]] = {}
        features: dict[str, Floats] = {}  # the one that was asked for longest ago first
        lock = threading.Lock()

        def columns_lacked(sha256: str) -> tuple[str, ...] | None:
            known[sha256] = rows = self._rows_with(sha256)
            if self._has_feature(rows):
                return ()
            with lock:
                feature = features.pop(sha256, None)
                if feature is not None:  # it must still be there when its result comes
                    features[sha256] = feature
            return None if feature is None else ()

        files = ((picture, None if picture is None else picture.source) for picture in pictures)
        for result in self._extractor.run(files, columns_lacked, remember=REMEMBERED):
            if result.key is None:
                yield None, None
                continue
            if result.error is not None:
                yield result.key, QueryPicture([], error=result.error)
                continue
            if result.feature is not None:
                self._check(result.feature)
                with lock:
                    features[result.sha256] = l2_normalize(result.feature)
                    if len(features) > 2 * REMEMBERED:
                        del features[next(iter(features))]
            rows = known.pop(result.sha256, None)
            if rows is None:  # the same content came twice at about the same time
                rows = self._rows_with(result.sha256)
            # without a feature and not in the index: the same content came before
            with lock:
                feature = None if self._has_feature(rows) else features[result.sha256]
            yield result.key, QueryPicture(rows, feature)

    def _look_at_region(self, picture: Query) -> QueryPicture:
        """What is known of a picture that is asked by a region or for parts: that is always computed."""
        from cbir.parts.learning import whitening_of_index
        from cbir.search.regions import RegionExtractor

        with self._making:
            if self._regions is None:
                backbone = self._engine.backbone
                self._regions = RegionExtractor(self._engine, lambda: whitening_of_index(self._index, backbone))
        try:
            data = picture.source if isinstance(picture.source, bytes) else read_bytes(picture.source)
            compute = self._regions.part if picture.parts else self._regions.feature
            made, region = compute(data, picture.name, picture.region)
        except (ImageReadError, RegionError) as error:
            return QueryPicture([], error=error)
        if not picture.parts:
            self._check(made)
        rows = self._index.find(hashlib.sha256(data).hexdigest())
        box = None if picture.region is None else region.box
        return QueryPicture(rows, None, None, box, made) if picture.parts else QueryPicture(rows, made, box=box)

    def _rows_with(self, sha256: str) -> list[int]:
        """The rows of a content, those with sound features first."""
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

    def _rows_of(self, sha256: str) -> list[int]:
        """`Index.find` for many contents: that reads the whole list of files each time."""
        with self._making:
            if self._rows_by_content is None:
                rows: dict[str, list[int]] = {}
                for row, (content, is_valid) in enumerate(
                    zip(self._index.files().sha256s, self._index.valid.tolist(), strict=True)
                ):
                    if is_valid:
                        rows.setdefault(content, []).append(row)
                self._rows_by_content = rows
        return self._rows_by_content.get(sha256, [])
