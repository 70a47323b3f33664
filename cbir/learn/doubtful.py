"""Labels that are likely wrong: those of which all the others say something else, clearly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cbir.index.store import Index
from cbir.learn.fitting import basis_of, fit_classes
from cbir.learn.labels import Labelled, kept_labels
from cbir.learn.pictures import Picture, Pictures
from cbir.notions.notion import NONE, PICTURES, Notion, fingerprint
from cbir.notions.ridge import Fit

#: By so much another class's score is above that of the class that a picture was given, where the label is told as
#: doubtful; scores of a class's own pictures are about 1.
CLEARLY = 0.5


class Doubtful(NamedTuple):
    """A labelled picture, the class it was given, the likelier one, and by how much that one's score is higher."""

    picture: Picture
    given: str
    likelier: str
    margin: float


def doubtful(labelled: Labelled, found: Fit, count: int | None = None) -> list[Doubtful]:
    """Return the labels that are likely wrong, the most doubtful first, at most `count`; none of one class alone."""
    if len(labelled.classes) < 2:
        return []
    scores = np.float32(found.scale) * found.left_out
    places = np.flatnonzero((labelled.numbers != NONE) & found.is_told)
    given = labelled.numbers[places]
    own = scores[places, given]
    others = scores[places].copy()
    others[np.arange(len(places)), given] = -np.inf
    likelier, margins = others.argmax(axis=1), others.max(axis=1) - own
    order = [one for one in np.argsort(-margins, kind="stable").tolist() if margins[one] >= CLEARLY]
    return [
        Doubtful(
            labelled.pictures[places[one]],
            labelled.classes[given[one]],
            labelled.classes[likelier[one]],
            float(margins[one]),
        )
        for one in order[:count]
    ]


def doubtful_of(index: Index, notion: Notion, pictures: Pictures, count: int | None = None) -> list[Doubtful]:
    """Return the same of the labels that a notion of an index keeps, as far as their pictures are still known.

    Of parts of pictures there are none.
    """
    if notion.of != PICTURES:
        return []
    is_current = notion.model == fingerprint(index.model)
    labelled = kept_labels(notion.labels, notion.classes, pictures.by_content, comparable=is_current)
    if notion.kind != "classes" or not len(labelled.pictures):
        return []
    found = fit_classes(basis_of(index, labelled), labelled.numbers, len(labelled.classes))
    return doubtful(labelled, found, count)
