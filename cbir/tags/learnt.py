"""A user's own classes of pictures, by a notion: of the pictures of its index, and of files by the index's network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cbir.extract.extractor import Extractor
from cbir.extract.of_index import backbone_of
from cbir.images.source import ImageSource, NamedImage, name_of
from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.notions.notion import NONE, Notion
from cbir.tags.tagger import Choice, Tagged
from cbir.utils.vectors import Floats
from cbir.words.tag import Tag

# Rows of an index whose classes are found before the first of them is told.
_CHUNK = 1000


@dataclass(frozen=True)
class Classified:
    """A picture of an index and the class that a notion gives it, by its number; None where no class claims it.

    `probability` is that of the class. `is_sound` is False where the index has no sound feature of the picture.
    """

    path: Location
    number: int | None
    probability: float
    is_sound: bool = True


def classify_index(index: Index, notion: Notion, min_probability: float = 0.0) -> Iterator[Classified]:
    """Yield the class of each picture of an index, by path; one that has a label has the class of its label.

    A class that is less probable than `min_probability` does not claim a picture.
    """
    for path, probabilities in _probabilities(index, notion):
        if probabilities is None:
            yield Classified(path, None, 0.0, is_sound=False)
            continue
        number = int(probabilities.argmax())
        probability = float(probabilities[number])
        claims = probability > 0 and probability >= min_probability
        yield Classified(path, number if claims else None, probability if claims else 0.0)


def classes_of_rows(index: Index, notion: Notion, rows: Sequence[int]) -> list[str | None]:
    """Return the class that claims each of some rows of an index, None where there is none."""
    found = _claimed(notion, index.features(rows))
    return [notion.classes[its.argmax()] if its.any() else None for its in found]


def tag_index_learnt(index: Index, notion: Notion, choice: Choice) -> Iterator[Tagged]:
    """Yield the tags of all pictures of an index by path: classes of a notion that are probable enough."""
    for path, probabilities in _probabilities(index, notion):
        tags = None if probabilities is None else _tags(notion, probabilities, choice)
        yield Tagged(str(path), path, tags)


def tag_learnt(
    index: Index,
    notion: Notion,
    pictures: Sequence[ImageSource | NamedImage],
    choice: Choice,
    *,
    engine: str | None = None,
    weights: str | None = None,
) -> Iterator[Tagged]:
    """Yield the tags of pictures, in order, by a notion of an index and its network.

    One that cannot be read has its error. Raises what opening the network raises.
    """
    backbone = backbone_of(index, weights=weights)
    extractor = Extractor(backbone, engine=engine, expected=len(pictures), isolated=len(pictures) > 1)
    found: dict[str, list[Tag]] = {}
    for result in extractor.run((picture, picture) for picture in pictures):
        if result.error is None and result.feature is not None:
            found[result.sha256] = _tags(notion, _claimed(notion, result.feature[np.newaxis])[0], choice)
        source = result.key.source if isinstance(result.key, NamedImage) else result.key
        path = Path(source) if isinstance(source, (str, os.PathLike)) else None
        yield Tagged(name_of(result.key), path, None if result.error else found[result.sha256], result.error)


def _probabilities(index: Index, notion: Notion) -> Iterator[tuple[Location, Floats | None]]:
    """Yield each picture of an index, by path, with the probabilities of classes; None where its feature is unsound."""
    labels = _labels(notion)
    files = index.files()
    rows = sorted(np.flatnonzero(index.valid).tolist(), key=files.paths.__getitem__)
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        for row, probabilities in zip(some, _claimed(notion, index.features(some)), strict=True):
            given = labels.get(files.sha256s[row])
            if given is not None:
                probabilities[:] = 0
                if given != NONE:
                    probabilities[given] = 1
            yield index.root / files.paths[row], probabilities if index.is_sound(row) else None


def _labels(notion: Notion) -> Mapping[str, int]:
    """Return the class of each content that has a label, unless it was learnt from pairs, whose groups are guesses."""
    if notion.kind == "pairs":
        return {}
    contents = (bytes(one).hex() for one in notion.labels.sha256s)
    return dict(zip(contents, notion.labels.classes.tolist(), strict=True))


def _claimed(notion: Notion, features: Floats) -> Floats:
    """Return the probabilities of classes, shape (n, classes), zeros where none of them claims a picture."""
    probabilities = notion.probabilities(features)
    probabilities[~notion.claims(notion.scores(features))] = 0
    return probabilities


def _tags(notion: Notion, probabilities: Floats, choice: Choice) -> list[Tag]:
    order = np.argsort(-probabilities, kind="stable")[: choice.count]
    return [
        Tag(notion.classes[number], float(probabilities[number]), None, is_class=False)
        for number in order.tolist()
        if probabilities[number] >= choice.min_probability
    ]
