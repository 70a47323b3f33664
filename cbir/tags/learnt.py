"""A user's own classes of pictures, by a notion: of the pictures of its index, and of files by the index's network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cbir.extract.of_index import backbone_of
from cbir.images.source import ImageSource, NamedImage
from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.notions.notion import NONE, Notion
from cbir.tags.named import named_tags, probabilities_of_rows, tag_named
from cbir.tags.tagger import Choice, Tagged
from cbir.utils.vectors import Floats
from cbir.words.tag import Tag


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
        tags = None if probabilities is None else named_tags(notion.classes, probabilities, choice)
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
    """Yield the tags of pictures, in order, by a notion of an index and its network, as of `tag_named`."""

    def tags(feature: Floats) -> list[Tag]:
        return named_tags(notion.classes, _claimed(notion, feature[np.newaxis])[0], choice)

    return tag_named(backbone_of(index, weights=weights), pictures, tags, engine)


def _probabilities(index: Index, notion: Notion) -> Iterator[tuple[Location, Floats | None]]:
    """Yield each picture of an index, by path, with the probabilities of classes; None where its feature is unsound."""
    labels, sha256s = _labels(notion), index.files().sha256s
    for row, path, probabilities in probabilities_of_rows(index, lambda features: _claimed(notion, features)):
        given = labels.get(sha256s[row])
        if given is not None and probabilities is not None:
            probabilities[:] = 0
            if given != NONE:
                probabilities[given] = 1
        yield path, probabilities


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
