"""Tags by what tells names from features: a notion, or a list of words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from cbir.backbones.backbone import Backbone
from cbir.extract.extractor import Extractor
from cbir.images.source import ImageSource, NamedImage, name_of
from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.tags.tagger import Choice, Tagged
from cbir.utils.vectors import Floats
from cbir.words.tag import Tag

# Rows of an index whose names are found before the first of them is told.
_CHUNK = 1000


def named_tags(names: Sequence[str], probabilities: Floats, choice: Choice) -> list[Tag]:
    """Return the tags of one picture: the names that are probable enough, of their probabilities, shape (names,)."""
    order = np.argsort(-probabilities, kind="stable")[: choice.count]
    return [
        Tag(names[number], float(probabilities[number]), None, is_class=False)
        for number in order.tolist()
        if probabilities[number] >= choice.min_probability
    ]


def probabilities_of_rows(
    index: Index, probabilities: Callable[[Floats], Floats]
) -> Iterator[tuple[int, Location, Floats | None]]:
    """Yield the row and the place of each picture of an index, by path, and the probabilities of names.

    `probabilities` tells these, shape (n, names), of features; they are None where the index has no sound one.
    """
    paths = index.files().paths
    rows = sorted(np.flatnonzero(index.valid).tolist(), key=paths.__getitem__)
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        for row, found in zip(some, probabilities(index.features(some)), strict=True):
            yield row, index.root / paths[row], found if index.is_sound(row) else None


def tag_named(
    backbone: Backbone,
    pictures: Sequence[ImageSource | NamedImage],
    tags: Callable[[Floats], list[Tag]],
    engine: str | None,
) -> Iterator[Tagged]:
    """Yield the tags of pictures, in order, which `tags` tells of a feature, shape (dimension,).

    One that cannot be read has its error. Raises what opening the network raises.
    """
    extractor = Extractor(backbone, engine=engine, expected=len(pictures), isolated=len(pictures) > 1)
    found: dict[str, list[Tag]] = {}
    for result in extractor.run((picture, picture) for picture in pictures):
        if result.error is None and result.feature is not None:
            found[result.sha256] = tags(result.feature)
        source = result.key.source if isinstance(result.key, NamedImage) else result.key
        path = Path(source) if isinstance(source, (str, os.PathLike)) else None
        yield Tagged(name_of(result.key), path, None if result.error else found[result.sha256], result.error)
