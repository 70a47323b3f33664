"""Several pictures' features as one, and what judgements make of it.

A query that people have judged matches of moves towards the mean of the good ones and away from that of the others
(Rocchio, "Relevance Feedback in Information Retrieval", 1971; for pictures Rui, Huang, Ortega and Mehrotra, "Relevance
Feedback: A Power Tool for Interactive Content-Based Image Retrieval", 1998). docs/method/feedback.md has what it gains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cbir.utils.vectors import Floats, l2_normalize

#: The weights of what was asked, of the mean of pictures judged `more`, and of the mean of those judged `less`.
ASKED, MORE, LESS = 0.5, 1.0, 0.5


@dataclass(frozen=True)
class Combination:
    """Several pictures' features as one.

    Rows are ranked by `direction`, shape (dimension,), of length 1. The dot product of a row and `likeness`, of the
    same shape, is the row's score: the mean of its cosines with the pictures that it is to be like, by their shares.
    It is None where there are none.
    """

    direction: Floats
    likeness: Floats | None


def judged(asked: Combination | None, more: Sequence[Floats], less: Sequence[Floats]) -> Combination | None:
    """Return what was asked, moved by judgements of pictures; None where there is nothing of all three.

    `more` and `less` are features of shape (dimension,) and of length 1.
    """
    if asked is None and not len(more) and not len(less):
        return None
    if not len(more) and not len(less):
        return asked
    parts: list[Floats] = []
    likeness: list[Floats] = []
    share = 0.0
    if asked is not None:
        parts.append(np.float32(ASKED) * asked.direction)
        if asked.likeness is not None:
            likeness.append(np.float32(ASKED) * asked.likeness)
            share += ASKED
    if len(more):
        mean = np.asarray(np.mean(more, axis=0, dtype=np.float32))
        parts.append(np.float32(MORE) * l2_normalize(mean))
        likeness.append(np.float32(MORE) * mean)
        share += MORE
    direction = l2_normalize(np.sum(parts, axis=0)) if parts else np.zeros_like(less[0])
    if len(less):
        direction = direction - np.float32(LESS) * l2_normalize(np.asarray(np.mean(less, axis=0, dtype=np.float32)))
    its = np.asarray(np.sum(likeness, axis=0) / share, dtype=np.float32) if likeness else None
    return Combination(l2_normalize(np.asarray(direction, dtype=np.float32)), its)


def balanced(
    like: Sequence[tuple[Floats, float]],
    unlike: Sequence[tuple[Floats, float]],
    spread: Callable[[Floats], float],
    picture: Combination | None = None,
    weight_of_picture: float = 1.0,
) -> Combination:
    """Combine features of texts, and that of pictures, so that each has as much of a say as its weight says.

    `spread` tells how far apart the cosines of a feature with a collection's pictures lie: those of texts lie closer
    together than those of pictures, and would else hardly count. Those `unlike` move away from what all `like` make.
    """
    weighted = [(feature, feature, weight) for feature, weight in like]
    if picture is not None:
        its_likeness = picture.direction if picture.likeness is None else picture.likeness
        weighted.append((picture.direction, its_likeness, weight_of_picture))
    moved = np.sum([feature * (weight / spread(feature)) for feature, _, weight in weighted], axis=0)
    likeness = np.sum([feature * weight for _, feature, weight in weighted], axis=0)
    likeness = np.asarray(likeness / sum(weight for _, _, weight in weighted), dtype=np.float32)
    if not unlike and len(weighted) == 1:
        return Combination(weighted[0][0], likeness if picture is not None else weighted[0][0])
    moved = moved / spread(moved)
    for feature, weight in unlike:
        moved = moved - feature * (weight / spread(feature))
    return Combination(l2_normalize(np.asarray(moved, dtype=np.float32)), likeness)
