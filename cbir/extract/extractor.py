"""Extracting features from picture files, and whatever else is made of them: batch by batch, read ahead."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone
from cbir.engines.engine import Engine
from cbir.engines.lazy import LazyEngine, lazy_engine
from cbir.engines.select import WORTH_CUDA, has_cuda
from cbir.extract.batches import Batches
from cbir.extract.loader import Key, Known, Loaded, Loader, decoders_here, once, view_safely
from cbir.extract.records import RecordMaker, needs_treatment, with_records
from cbir.extract.results import Extracted
from cbir.images.contents import read_bytes
from cbir.images.fitted import Fitted
from cbir.images.isolated import Decoders
from cbir.images.pipe import MAX_PIXELS, Wanted
from cbir.images.source import ImageSource, NamedImage, is_one, name_of, open_source
from cbir.images.sources.address import Location
from cbir.images.views import AnyView, View, Viewed, distinct, is_of_notes
from cbir.utils.vectors import Floats, l2_normalize

#: A function (items, total) that passes items on as they come: the place for a progress bar.
Watch = Callable[[Iterator[Any], int], Iterator[Any]]


def nothing_known(sha256: str) -> None:
    """Know nothing of a content."""


class Extractor:
    """Makes features of images with one backbone. The engine is opened when the first image needs it.

    `engine` is as in `open_engine`, or one that is shared; `expected` is about how many there will be. Any number of
    threads may use it. With `isolated`, images are decoded in processes of their own, so that one on which a decoder
    crashes or hangs is an error like any other. Images of more than `max_pixels` are refused before they are decoded.
    With each feature come the records of `makers`. With `leave_own`, pictures that cbir made (`utils.marks`) are
    refused.
    """

    def __init__(
        self,
        backbone: Backbone | str,
        *,
        engine: LazyEngine | str | None = None,
        expected: int = 1,
        isolated: bool = False,
        max_pixels: int = MAX_PIXELS,
        makers: Sequence[RecordMaker] = (),
        leave_own: bool = False,
    ) -> None:
        self._engine = lazy_engine(backbone, engine, expected=expected)
        self.backbone = self._engine.backbone
        self._expected = expected
        self._isolated = isolated
        self._max_pixels = max_pixels
        self._makers = tuple(makers)
        self._leave_own = leave_own
        self._decoders: Decoders | None = None

    @property
    def engine(self) -> Engine:
        """The engine that does the work, opened now if it was not yet."""
        return self._engine.opened()

    def with_makers(self, makers: Sequence[RecordMaker]) -> Extractor:
        """Return the same extractor, whose engine they share, with other makers."""
        other = copy.copy(self)
        other._makers = tuple(makers)
        return other

    def keeping_decoders(self) -> Extractor:
        """Return the same extractor with decoders that stay from run to run, until this process ends."""
        other = copy.copy(self)
        other._decoders = decoders_here()
        return other

    def encode(
        self, images: Iterable[ImageSource | NamedImage], *, normalize: bool = True, batch: int | None = None
    ) -> Floats:
        """Make the features of images, float32 of shape (n, dimension), in order.

        They have length 1 unless `normalize` is false. The network sees as many images at a time as suits the engine,
        or `batch`. Raises ImageReadError for the first image that cannot be read.
        """
        if is_one(images):
            raise TypeError("encode takes several images: put the one into a list")
        digests: list[str] = []
        features: dict[str, Floats] = {}
        for result in self._run(((None, image) for image in images), nothing_known, None, batch):
            if result.error is not None:
                raise result.error
            digests.append(result.sha256)
            if result.feature is not None:
                features[result.sha256] = result.feature
        found = np.empty((len(digests), self.backbone.dimension), dtype=np.float32)
        for row, digest in enumerate(digests):
            found[row] = features[digest]
        return l2_normalize(found) if normalize else found

    def feature(self, image: ImageSource | NamedImage) -> Floats:
        """Make the feature of one image, shape (dimension,), of length 1. Raises ImageReadError."""
        feature: Floats = self.engine.features(self._pixels(image))[0]
        return l2_normalize(feature)

    def treated(self, image: ImageSource | NamedImage) -> tuple[Floats, Floats]:
        """Make the feature of one image, and how it was treated, as `Engine.treated` does.

        Shapes (dimension,) and (numbers,), of length 1. Raises ImageReadError; ModelError where the network has no
        early maps.
        """
        (feature,), (treatment,) = self.engine.treated(self._pixels(image))
        return l2_normalize(feature), l2_normalize(treatment)

    def count_treatment_numbers(self) -> int:
        """Find out how many numbers a treatment has, by a grey image. ModelError where the network makes none."""
        layout = self.backbone.view.layouts["pixels"]
        _, treatments = self.engine.treated(np.full((1, *layout.most), 127, dtype=np.uint8))
        return int(treatments.shape[1])

    def _pixels(self, image: ImageSource | NamedImage) -> npt.NDArray[np.uint8]:
        """Decode one image as the network takes it, in a batch of its own."""
        content, name = open_source(image), name_of(image)
        data = content if isinstance(content, bytes) else read_bytes(content)
        wanted = Wanted((self.backbone.view,), max_pixels=self._max_pixels)
        return np.asarray(view_safely(data, name, wanted).arrays[Fitted.name]["pixels"][np.newaxis], dtype=np.uint8)

    def views(self, paths: Iterable[Location], view: View) -> Iterator[tuple[str, Viewed | None]]:
        """Make a view of images, without the network: yield the SHA-256 of each content, and the view, in order.

        Images that cannot be read are left out.
        """
        with self._loader([view]) as loader:
            for one in loader.load(((path, path) for path in paths), nothing_known):
                yield one.sha256, Viewed(one.size, one.arrays) if one.arrays else None

    def run(
        self,
        files: Iterable[tuple[Key, ImageSource | NamedImage]],
        known: Known = nothing_known,
        *,
        remember: int | None = None,
    ) -> Iterator[Extracted[Key]]:
        """Extract the features and records of many images, in order, each given with a key.

        Where `known` says, by its SHA-256, that a content's feature is known already, only the records of the columns
        that it lacks are made; where it lacks none, nothing is decoded. Nothing is made of contents that came earlier
        in this run either. With `remember`, only the latest so many of these are remembered.
        """
        return self._run(files, known, remember, None)

    def _run(
        self,
        files: Iterable[tuple[Key, ImageSource | NamedImage]],
        known: Known,
        remember: int | None,
        batch: int | None,
    ) -> Iterator[Extracted[Key]]:
        made = frozenset(column for maker in self._makers for column in maker.columns)

        def lacking(sha256: str) -> frozenset[str] | None:
            return None if (found := known(sha256)) is None else made.intersection(found)

        with self._loader([maker.view for maker in self._makers if maker.view is not None]) as loader:
            for one in self._made(once(loader.load(files, lacking), remember), batch):
                precision = None if one.feature is None else self.engine.precision
                yield Extracted(one.key, one.sha256, one.feature, one.error, one.records, precision)

    def _made(self, stream: Iterator[Loaded[Key]], batch: int | None) -> Iterator[Loaded[Key]]:
        """Add features and records to what was loaded, in order."""
        for_features = [maker for maker in self._makers if maker.needs_features]
        by_views = [maker for maker in self._makers if not maker.needs_features]
        needed = [Fitted.name, *(maker.view.name for maker in for_features if maker.view is not None)]
        for number, maker in enumerate(by_views):
            later = [*needed, *(one.view.name for one in by_views[number + 1 :] if one.view is not None)]
            drop = maker.view is not None and maker.view.name not in later
            stream = with_records(stream, maker, self._engine, drop_view=drop)

        def needs_feature(one: Loaded[Key]) -> bool:
            return one.lacking is None or any(one.lacks(maker.columns) for maker in for_features)

        treated = [maker for maker in for_features if needs_treatment(maker)]

        def is_treated(one: Loaded[Key]) -> bool:
            return any(one.lacks(maker.columns) for maker in treated)

        stream = Batches(self._engine, needs_feature, size=batch, needs_treatment=is_treated).run(stream)
        for maker in for_features:
            stream = with_records(stream, maker, self._engine, drop_view=False)
        return stream

    def _views_for(self, lacking: Collection[str]) -> Sequence[AnyView]:
        """Return the views of a content that lacks some columns: without pixels, if none of their makers needs any."""
        makers = [maker for maker in self._makers if any(column in lacking for column in maker.columns)]
        views = [maker.view for maker in makers if maker.view is not None]
        if views and all(map(is_of_notes, views)) and not any(maker.needs_features for maker in makers):
            return distinct(views)
        return distinct([self.backbone.view, *views])

    def _loader(self, views: Sequence[AnyView]) -> Loader:
        return Loader(
            distinct([self.backbone.view, *views]),
            views_for=self._views_for,
            isolated=self._isolated,
            max_pixels=self._max_pixels,
            leave_own=self._leave_own,
            for_cuda=self._expected >= WORTH_CUDA and has_cuda(),
            decoders=self._decoders,
        )
