"""The feature of a picture that a request brings, whole or a region of it."""

from __future__ import annotations

from cbir.images.facts import facts_of
from cbir.images.source import NamedImage
from cbir.parts.learning import whitening_of_index
from cbir.search.regions import RegionExtractor
from cbir.serve.bodies import Ref
from cbir.serve.refs import asked_of
from cbir.serve.service import ServedIndex
from cbir.utils.vectors import Floats


def encode(index: ServedIndex, ref: Ref, name: str, data: bytes) -> tuple[Floats, tuple[int, int]]:
    """Return the feature, shape (dimension,), of length 1, and the picture's width and height.

    Raises ImageReadError, RegionError, ProblemError.
    """
    state, asked = index.state, asked_of(ref)
    size = facts_of(data, name).size
    if asked is None:
        return index.collection.encode([NamedImage(data, name)])[0], size
    regions = RegionExtractor(index.collection.engine, lambda: whitening_of_index(state.index, state.backbone))
    feature, _ = regions.feature(data, name, asked)
    return feature, size
