"""The region of a picture that a query is, and its features, to be compared with those of whole pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from cbir.backbones.head import open_classifier
from cbir.backbones.imagenet import CLASSES
from cbir.engines.joined import join
from cbir.errors import ModelError
from cbir.images.regions import Asked, Region, RegionOption, of_label, whole
from cbir.parts.reader import PartReader, mean_of, network_size
from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.backbones.head import Classifier
    from cbir.engines.lazy import LazyEngine
    from cbir.parts.whitening import Whitening
    from cbir.segment.segmenter import Segmenter

#: Pixels of a region's longer side when its features are compared with whole pictures'. docs/method/regions.md
#: has others.
_SIDE = 288

#: The same when its classes are looked for: docs/method/kinds.md.
_CLASSES_SIDE = 224


class Kind(NamedTuple):
    """A region's kind: `classes` are the roots of their probabilities, shape (CLASSES,), 0 beyond the first few.

    `part`, shape (dimension,), of length 1, is for comparison with rows of parts (`Whitening.kinds`), and `row` is
    what such a row of the region would be.
    """

    classes: Floats
    part: Floats | None
    row: Floats | None


class RegionFinder:
    """Finds regions that were asked for; segments are those of `cbir segment` with its own settings."""

    def __init__(self, engine: LazyEngine) -> None:
        self._engine = engine
        self._segmenter: Segmenter | None = None

    def find(self, image: Image.Image, asked: Asked | None, name: str) -> Region:
        """Find the region of an upright RGB picture called `name`, or all. RegionError where it has no such region."""
        if asked is None:
            return whole(image)
        if isinstance(asked, RegionOption):
            return asked.of(image, name)
        if self._segmenter is None:
            from cbir.segment.segmenter import Segmenter

            self._segmenter = Segmenter(self._engine.backbone, engine=self._engine)
        return of_label(self._segmenter.segment(image).labels, asked.label, name)


class RegionExtractor:
    """Makes features of regions that can be compared with those of whole pictures, by the same network.

    `whitening` finds what they are whitened with that are compared with rows of parts; it is called once, if at all.
    """

    def __init__(self, engine: LazyEngine, whitening: Callable[[], Whitening]) -> None:
        self._engine = engine
        self._finder = RegionFinder(engine)
        self._reader = PartReader(engine.backbone, engine=engine)
        self._find_whitening = whitening
        self._finding = threading.Lock()
        self._whitening: Whitening | None = None
        self._classifier: Classifier | None = None
        self._has_map = True

    def feature(self, data: bytes, name: str, asked: Asked | None) -> tuple[Floats, Region]:
        """Return the feature, shape (dimension,), of length 1, and the region. ImageReadError, RegionError.

        The mean of the network's last map where the region is; where features are no such mean, those of its box.
        """
        image = _decode(data, name)
        region = self._finder.find(image, asked, name)
        return l2_normalize(self._raw(image, region, _SIDE)), region

    def kind(self, data: bytes, name: str, asked: Asked | None, *, parts: bool) -> tuple[Kind, Region]:
        """Return what tells the kind of thing a region shows, and the region; the whole picture if `asked` is None.

        Raises ImageReadError, RegionError; ModelError where the network knows no classes; with `parts`, what finding
        the whitening raises.
        """
        with self._finding:
            if self._classifier is None:
                self._classifier = open_classifier(self._engine.backbone)
        image = _decode(data, name)
        region = self._finder.find(image, asked, name)
        top = self._classifier.top(self._raw(image, region, _CLASSES_SIDE)[np.newaxis])
        classes = np.zeros(CLASSES, dtype=np.float32)
        classes[top.numbers[0]] = np.sqrt(top.probabilities[0])
        means = self._reader.region(image, None if asked is None else region) if parts else None
        if means is None:
            return Kind(classes, None, None), region
        whitening = self._opened_whitening()
        return Kind(classes, whitening.kinds(means)[0], whitening.rows(means)[0]), region

    def part(self, data: bytes, name: str, asked: Asked | None) -> tuple[Floats, Region]:
        """Return a region's feature for comparison with rows of parts, shape (dimension,), of length 1, and the region.

        The whole picture if `asked` is None. Raises ImageReadError, RegionError, and what finding the whitening raises.
        """
        whitening = self._opened_whitening()
        image = _decode(data, name)
        region = self._finder.find(image, asked, name)
        return whitening.rows(self._reader.region(image, None if asked is None else region))[0], region

    def _raw(self, image: Image.Image, region: Region, side: int) -> Floats:
        """Return a region's feature as the network makes it, shape (dimension,), the longer side of its box `side`."""
        crop = region.crop(image)
        if self._has_map:
            try:
                pixels = np.asarray(crop.resize(network_size(crop.size, side), Image.Resampling.BICUBIC))
                maps = [one.opened().last_map(pixels[np.newaxis])[0] for one in self._engine.members]
                return np.asarray(join([mean_of(map_, region)[np.newaxis] for map_ in maps])[0])
            except ModelError:
                self._has_map = False
        fitted = self._engine.backbone.view.make(crop, (0, 0, *crop.size), crop.size)["pixels"]
        return np.asarray(self._engine.opened().features(fitted[np.newaxis])[0])

    def _opened_whitening(self) -> Whitening:
        with self._finding:
            if self._whitening is None:
                self._whitening = self._find_whitening()
            return self._whitening


def _decode(data: bytes, name: str) -> Image.Image:
    from cbir.images.safely import decode  # which loads all that decodes, and a search of known pictures needs none

    return decode(data, name=name)
