"""From picture files to features: read, hash and decode ahead in threads; run the network batch by batch.

Pillow lets go of Python's lock while it decodes and resizes, and an engine does while it computes, so threads keep
all cores busy.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone
from cbir.engines.lazy import LazyEngine, lazy_engine
from cbir.errors import ImageReadError, OwnOutputError
from cbir.images.budget import Share, budgets
from cbir.images.contents import read_bytes
from cbir.images.fingerprint import Fingerprint
from cbir.images.fitted import Fitted
from cbir.images.isolated import Decoders
from cbir.images.large import Large
from cbir.images.pipe import MAX_PIXELS, Wanted
from cbir.images.views import View, Viewed
from cbir.utils import stopping
from cbir.utils.marks import MADE_BY_CBIR, is_made_by_cbir
from cbir.utils.vectors import Floats, l2_normalize
from cbir.utils.workers import Workers, result_of

if TYPE_CHECKING:
    from cbir.backbones.head import Classifier, TopClasses
    from cbir.engines.engine import Engine
    from cbir.index.columns.parts import PartRows
    from cbir.parts.maker import PartMaker

#: Pictures that are read ahead of the network: of a CPU's, and of a GPU's, whose batches are larger.
AHEAD = 128
AHEAD_OF_CUDA = 512

#: The same where parts are made too, for which pictures of nearly a megabyte wait.
AHEAD_WITH_PARTS = 32

#: Pictures that are classified at a time. A classifier's 5 MB go through the processor's cache each time: for batches
#: of four, as suit some networks, that would cost five times as much.
CLASSIFIED_TOGETHER = 32

Key = TypeVar("Key")
#: A function (items, total) that passes items on as they come: the place for a progress bar.
Watch = Callable[[Iterator[Any], int], Iterator[Any]]


@dataclass(frozen=True)
class Extracted(Generic[Key]):
    """What became of one file.

    Exactly one holds: `feature`, shape (dimension,), not normalised; `error`, where it could not be read; or
    neither, where no network ran because its content (`sha256`) was known already. With a feature that is finite come
    the picture's most probable `classes`, shapes (count,), if the extractor was given a classifier. With whatever was
    decoded comes its `thumbnail`, if the extractor makes these, and with a feature its `parts`, if it makes those.
    """

    key: Key
    sha256: str
    feature: Floats | None = None
    error: ImageReadError | None = None
    classes: TopClasses | None = None
    thumbnail: Viewed | None = None
    parts: PartRows | None = None


@dataclass(frozen=True)
class _Prepared(Generic[Key]):
    result: Extracted[Key]
    picture: npt.NDArray[np.uint8] | None = None
    is_pause: bool = False
    large: Viewed | None = None


class Extractor:
    """Makes features of pictures with one backbone. The engine is opened when the first picture needs it.

    `engine` is as in `open_engine`, or one that is shared; `expected` is about how many there will be. Any number of
    threads may use it. With `isolated`, pictures are decoded in processes of their own, so that one on which a decoder
    crashes or hangs is an error like any other. Pictures of more than `max_pixels` are refused before they are decoded.
    With a `classifier`, which is the backbone's, each picture's most probable classes are told too, with `thumbnails`
    also each one's thumbnail, with `parts` the rows of its parts. With `leave_own`, pictures that cbir made
    (`utils.marks`) are refused.
    """

    def __init__(
        self,
        backbone: Backbone | str,
        *,
        engine: LazyEngine | str | None = None,
        expected: int = 1,
        isolated: bool = False,
        max_pixels: int = MAX_PIXELS,
        classifier: Classifier | None = None,
        thumbnails: bool = False,
        parts: PartMaker | None = None,
        leave_own: bool = False,
    ) -> None:
        self._engine = lazy_engine(backbone, engine, expected=expected)
        self.backbone = self._engine.backbone
        self._expected = expected
        self._isolated = isolated
        self._max_pixels = max_pixels
        self._classifier = classifier
        self._thumbnails = thumbnails
        self._parts = parts
        self._leave_own = leave_own

    @property
    def engine(self) -> Engine:
        """The engine that does the work, opened now if it was not yet."""
        return self._engine.opened()

    def feature(self, picture: Path | str | bytes, name: str = "the picture") -> Floats:
        """The feature of one picture, shape (dimension,), of length 1. Raises ImageReadError."""
        data = picture if isinstance(picture, bytes) else read_bytes(Path(picture))
        name = name if isinstance(picture, bytes) else str(picture)
        wanted = Wanted((Fitted(self.backbone.preprocessing),), max_pixels=self._max_pixels)
        pixels = _view_safely(data, name, wanted).arrays[Fitted.name]["pixels"]
        feature: Floats = self.engine.features(pixels[np.newaxis])[0]
        return l2_normalize(feature)

    def with_parts(self, parts: PartMaker | None) -> Extractor:
        """The same extractor, whose engine they share, with other parts to be made."""
        other = copy.copy(self)
        other._parts = parts
        return other

    def large_pictures(self, paths: Iterable[Path]) -> Iterator[tuple[str, Viewed | None]]:
        """Pictures as large as the network needs them to see their parts, with the SHA-256 of their contents, in order.

        Of those that cannot be read there is nothing.
        """
        for prepared in self._prepare(((path, path) for path in paths), large=True):
            yield prepared.result.sha256, prepared.large

    def run(
        self,
        files: Iterable[tuple[Key, Path | bytes | None]],
        known: Callable[[str], bool] = lambda sha256: False,
        only_decoded: Callable[[str], bool] = lambda sha256: False,
        *,
        remember: int | None = None,
    ) -> Iterator[Extracted[Key]]:
        """Extract the features of many pictures, in order. Each is given as a key, and a path or its bytes.

        Where `known` is true of a content's SHA-256, or the same content came earlier in this run, the picture is
        neither decoded nor sent through the network; where `only_decoded` is, it is decoded, for its thumbnail. With
        `remember`, only that many contents are remembered, the latest that went through the network.

        A key with None is a pause, because the next file may be long in coming: all that came before is told first,
        however small a batch that makes; then the pause comes out itself, with nothing.
        """
        results = self._extracted(files, known, only_decoded, remember)
        return results if self._classifier is None else self._classified(results, self._classifier)

    def _extracted(
        self,
        files: Iterable[tuple[Key, Path | bytes | None]],
        known: Callable[[str], bool],
        only_decoded: Callable[[str], bool],
        remember: int | None,
    ) -> Iterator[Extracted[Key]]:
        """As `run`, without classes."""
        # what was read and waits for its batch's features, in order, and how to get these
        under_way: deque[tuple[list[_Prepared[Key]], Callable[[], Floats]]] = deque()
        waiting: list[_Prepared[Key]] = []
        pictures = 0

        def finished() -> Iterator[Extracted[Key]]:
            nonlocal waiting, pictures
            if pictures:
                if len(under_way) == self.engine.depth:
                    yield from _finish(*under_way.popleft())
                under_way.append((waiting, self._start(waiting)))
                waiting, pictures = [], 0
            while under_way:
                yield from _finish(*under_way.popleft())
            yield from _finish(waiting)
            waiting = []

        # closed whatever ends this: what reads ahead is not to live as long as an error's traceback
        with closing(self._prepare(files, known, only_decoded, large=self._parts is not None)) as prepare:
            for prepared in self._with_parts(_once(prepare, remember)):
                if prepared.is_pause:
                    yield from finished()
                    yield prepared.result
                    continue
                pictures += prepared.picture is not None
                waiting.append(prepared)
                if pictures and pictures == self.engine.batch:
                    if len(under_way) == self.engine.depth:
                        yield from _finish(*under_way.popleft())
                    under_way.append((waiting, self._start(waiting)))
                    waiting, pictures = [], 0
                elif not pictures and not under_way:
                    yield from _finish(waiting)
                    waiting = []
            yield from finished()

    def _with_parts(self, prepared: Iterable[_Prepared[Key]]) -> Iterator[_Prepared[Key]]:
        """What was prepared, in order, with the parts of its pictures, if they are wanted."""
        if self._parts is None:
            yield from prepared
            return
        from cbir.parts.maker import Asked

        asked = (
            # the picture itself is let go as soon as the network has seen it: it has nearly a megabyte
            Asked(replace(one, large=None), one.result.sha256, one.large, one.is_pause)
            for one in prepared
        )
        for one, parts in self._parts.run(asked, lambda: self.engine):
            yield one if parts is None else replace(one, result=replace(one.result, parts=parts))

    def _start(self, waiting: list[_Prepared[Key]]) -> Callable[[], Floats]:
        return self.engine.start(np.stack([one.picture for one in waiting if one.picture is not None]))

    def _prepare(
        self,
        files: Iterable[tuple[Key, Path | bytes | None]],
        known: Callable[[str], bool] = lambda sha256: False,
        only_decoded: Callable[[str], bool] = lambda sha256: False,
        *,
        large: bool = False,
    ) -> Generator[_Prepared[Key], None, None]:
        """Read and fit `files` in threads, in order, only so many of them ahead; with `large`, for their parts too."""
        from cbir.engines.select import WORTH_CUDA, has_cuda

        most = AHEAD_OF_CUDA if self._expected >= WORTH_CUDA and has_cuda() else AHEAD
        if large:
            most = AHEAD_WITH_PARTS

        threads = max(2, _cores())
        for_decoding, for_contents = budgets()
        decoders = Decoders(threads, for_decoding)
        view = decoders.view if self._isolated else _view_safely
        views: list[View] = [Fitted(self.backbone.preprocessing)]
        if self._thumbnails:
            views.append(Fingerprint())
        if large:
            views.append(Large())
        wanted = Wanted(tuple(views), max_pixels=self._max_pixels)

        def prepare(key: Key, source: Path | bytes) -> _Prepared[Key]:
            digest, name = "", "the picture" if isinstance(source, bytes) else str(source)
            try:
                with Share(for_contents) as share:
                    data = source if isinstance(source, bytes) else read_bytes(source, share)
                    digest = hashlib.sha256(data).hexdigest()
                    if known(digest):
                        return _Prepared(Extracted(key, digest))
                    if self._leave_own and is_made_by_cbir(data):
                        raise OwnOutputError(name, MADE_BY_CBIR)
                    made = view(data, name, wanted)
            except ImageReadError as error:
                return _Prepared(Extracted(key, digest, error=error))
            except MemoryError:
                too_large = ImageReadError(name, "it does not fit into memory", transient=True)
                return _Prepared(Extracted(key, digest, error=too_large))
            result = Extracted(key, digest, thumbnail=made if self._thumbnails else None)
            if only_decoded(digest):
                return _Prepared(result)
            return _Prepared(result, made.arrays[Fitted.name]["pixels"], large=made if large else None)

        pool = Workers(threads, "decode")
        ahead: deque[Future[_Prepared[Key]]] = deque()
        try:
            for key, source in files:
                if source is None:
                    while ahead:
                        yield ahead.popleft().result()
                    yield _Prepared(Extracted(key, ""), is_pause=True)
                    continue
                if stopping.is_over():
                    break
                ahead.append(pool.submit(prepare, key, source))
                if len(ahead) >= most:
                    yield from result_of(ahead.popleft())
            while ahead:
                yield from result_of(ahead.popleft())
        finally:
            # an interrupted run waits neither for what was read ahead, nor for a decoder or a disk that hangs
            pool.stop()
            for_contents.close()
            decoders.close()

    def _classified(self, results: Iterable[Extracted[Key]], classifier: Classifier) -> Iterator[Extracted[Key]]:
        """`results` with their classes, in order."""
        waiting: list[Extracted[Key]] = []
        features: list[Floats] = []

        def finished() -> Iterator[Extracted[Key]]:
            found = iter(classifier.top_of_each(np.stack(features)) if features else ())
            for one in waiting:
                yield one if one.feature is None else replace(one, classes=next(found))

        for result in results:
            waiting.append(result)
            if result.feature is not None:
                features.append(result.feature)
            is_pause = not result.sha256 and result.error is None
            if is_pause or len(features) in (0, CLASSIFIED_TOGETHER):
                yield from finished()
                waiting, features = [], []
        yield from finished()


def _once(prepared: Iterable[_Prepared[Key]], remember: int | None) -> Iterator[_Prepared[Key]]:
    """What was prepared, in order, without the pictures of contents that came before. See `Extractor.run`."""
    seen: dict[str, None] = {}
    for one in prepared:
        if one.picture is not None and one.result.sha256 in seen:
            one = _Prepared(Extracted(one.result.key, one.result.sha256))
        elif one.picture is not None:
            seen[one.result.sha256] = None
            if remember is not None and len(seen) > remember:
                del seen[next(iter(seen))]
        yield one


def _finish(
    waiting: list[_Prepared[Key]], features: Callable[[], Iterable[Floats]] = tuple
) -> Iterator[Extracted[Key]]:
    """The results of what was waiting, those with pictures with the next of `features`, which is waited for."""
    found = iter(features())
    for one in waiting:
        if one.picture is None:
            yield one.result
        else:
            yield replace(one.result, feature=next(found))


def _view_safely(data: bytes, name: str, wanted: Wanted) -> Viewed:
    from cbir.images import safely  # which loads all that decodes, and a search of known pictures needs none of it

    return safely.view(data, name, wanted)


def _cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
