"""Measures of detections: how well boxes with classes and scores agree with those that people drew.

Average precision (AP) is the mean of the precision over all recalls, of a class's boxes in the order of their scores.
COCO's rule (Lin et al. 2014) reads the precision at 101 recalls, of boxes that overlap (IoU) by .5 at least, and as the
mean of ten overlaps from .5 to .95; PASCAL VOC's (Everingham et al. 2010) at all recalls, by .5 at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.detect.formats.annotations import Annotated, Annotation
from cbir.utils.boxes import areas, intersections

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: The overlaps of COCO's mean; the first is that of precision, recall, and VOC's rule.
OVERLAPS = np.linspace(0.5, 0.95, 10)

#: The recalls at which COCO reads the precision.
_RECALLS = np.linspace(0, 1, 101)

#: Boxes of one class in one picture that COCO's rule looks at, the best ones.
_MOST = 100


class BoxScores(NamedTuple):
    """The measures of one class, or their means over classes; NaN where there is nothing to be measured.

    `objects` ought to be found, `found` are the boxes of all scores. `ap50` and `ap` are COCO's, at an overlap of .5
    and of .5 to .95, `voc` is VOC's. `precision` and `recall` are of the boxes that have the least score.
    """

    objects: int
    found: int
    ap50: float
    ap: float
    voc: float
    precision: float
    recall: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, with None for what is not known."""
        rounded = {name: round(value, 4) for name, value in self._asdict().items()}
        return {name: None if value != value else value for name, value in rounded.items()}


@dataclass(frozen=True)
class PictureBoxes:
    """One picture's boxes of the least score: which of them are `right`, and which objects are `missed`.

    `shown` are these boxes, the best first, `right` one flag each; boxes on what may be ignored are left out.
    """

    name: str
    shown: tuple[Annotation, ...]
    right: tuple[bool, ...]
    missed: tuple[Annotation, ...]

    @property
    def agreement(self) -> float:
        """The harmonic mean of precision and recall (F1), 1 where there is nothing and nothing was found."""
        right = sum(self.right)
        errors = len(self.right) - right + len(self.missed)
        return 2 * right / (2 * right + errors) if right or errors else 1.0


@dataclass(frozen=True)
class BoxEvaluation:
    """The measures over all classes of which there are objects, of each class, and of each picture."""

    overall: BoxScores
    classes: dict[str, BoxScores]
    pictures: list[PictureBoxes]
    least_score: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "least_score": self.least_score,
            **self.overall.to_json(),
            "classes": [{"class": name, **scores.to_json()} for name, scores in self.classes.items()],
        }


def evaluate_boxes(
    pictures: Sequence[tuple[Annotated, Annotated]], classes: Sequence[str], least_score: float
) -> BoxEvaluation:
    """Measure the boxes that were found in pictures against those that people drew, (drawn, found) of each picture.

    Only boxes of `classes` count, which have the same names in both; all found ones have a score.
    """
    scores = {}
    for name in classes:
        pairs = [_Pair.of(drawn.annotations, found.annotations, name) for drawn, found in pictures]
        scores[name] = _scores(pairs, least_score)
    shown = [_picture(drawn, found, frozenset(classes), least_score) for drawn, found in pictures]
    return BoxEvaluation(_means(list(scores.values()), shown), scores, shown, least_score)


@dataclass(frozen=True)
class _Pair:
    """The boxes of a class in a picture, drawn and found, those by their scores, the best first.

    `overlaps`, (found, drawn), are shares of the found box with a crowd, and IoU with others; what is `ignored` need
    not be found.
    """

    scores: Floats
    overlaps: Floats
    ignored: Flags
    crowd: Flags

    @classmethod
    def of(cls, drawn: Sequence[Annotation], found: Sequence[Annotation], name: str | None = None) -> _Pair:
        """Take the boxes of that class."""
        mine = [one for one in drawn if name in (None, one.name)]
        theirs = [one for one in found if name in (None, one.name)]
        scores = np.array([one.score for one in theirs], dtype=np.float64)
        order = np.argsort(-scores, kind="stable")
        boxes, others = _boxes([theirs[place] for place in order.tolist()]), _boxes(mine)
        crowd = np.array([one.crowd for one in mine], dtype=np.bool_)
        shared = intersections(boxes, others)
        own, its = areas(boxes)[:, np.newaxis], areas(others)
        union = np.where(crowd, own, own + its - shared)
        overlaps = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        ignored = np.array([one.crowd or one.difficult for one in mine], dtype=np.bool_)
        return cls(scores[order], overlaps, ignored, crowd)


class _Matched(NamedTuple):
    """Boxes that were found, (overlaps, n) flags each: those that are `right`, and those that do not count."""

    right: Flags
    uncounted: Flags


def _scores(pairs: Sequence[_Pair], least_score: float) -> BoxScores:
    objects = sum(int((~pair.ignored).sum()) for pair in pairs)
    scores, matched = _all_matched(pairs, _by_coco, _MOST)
    precisions = [
        _average_precision(scores, right, uncounted, objects, _at_recalls)
        for right, uncounted in zip(*matched, strict=True)
    ]
    own_scores, own = _all_matched(pairs, _by_voc)
    voc = _average_precision(own_scores, own.right[0], own.uncounted[0], objects, _at_all)
    shown = (scores >= least_score) & ~matched.uncounted[0]
    right = int((shown & matched.right[0]).sum())
    return BoxScores(
        objects,
        sum(len(pair.scores) for pair in pairs),
        precisions[0],
        float(np.mean(precisions)),
        voc,
        right / int(shown.sum()) if shown.any() else float("nan"),
        right / objects if objects else float("nan"),
    )


def _means(classes: Sequence[BoxScores], pictures: Sequence[PictureBoxes]) -> BoxScores:
    """Means of the precisions of classes that have objects; precision and recall are those of all boxes together."""
    some = [scores for scores in classes if scores.objects]
    right = sum(sum(picture.right) for picture in pictures)
    shown = sum(len(picture.right) for picture in pictures)
    missed = sum(len(picture.missed) for picture in pictures)
    nan = float("nan")
    ap50, ap, voc = np.mean([(one.ap50, one.ap, one.voc) for one in some], axis=0).tolist() if some else (nan, nan, nan)
    return BoxScores(
        sum(scores.objects for scores in classes),
        sum(scores.found for scores in classes),
        ap50,
        ap,
        voc,
        right / shown if shown else nan,
        right / (right + missed) if right + missed else nan,
    )


def _picture(drawn: Annotated, found: Annotated, classes: frozenset[str], least_score: float) -> PictureBoxes:
    shown = sorted(
        (one for one in found.annotations if one.name in classes and (one.score or 0) >= least_score),
        key=lambda one: -(one.score or 0),
    )
    objects = [one for one in drawn.annotations if one.name in classes]
    kept: list[tuple[Annotation, bool]] = []
    missed: list[Annotation] = []
    for name in dict.fromkeys(one.name for one in (*shown, *objects)):
        own, its = [one for one in shown if one.name == name][:_MOST], [one for one in objects if one.name == name]
        right, uncounted, taken = _match(_Pair.of(its, own), OVERLAPS[:1])
        kept += [(one, bool(right[0, at])) for at, one in enumerate(own) if not uncounted[0, at]]
        missed += [one for at, one in enumerate(its) if not (one.crowd or one.difficult or taken[0, at])]
    kept.sort(key=lambda one: -(one[0].score or 0))
    return PictureBoxes(
        drawn.name, tuple(one for one, _ in kept), tuple(is_right for _, is_right in kept), tuple(missed)
    )


def _all_matched(
    pairs: Sequence[_Pair], match: Callable[[_Pair], _Matched], most: int | None = None
) -> tuple[Floats, _Matched]:
    """Return the scores of all pictures' boxes, at most so many of each, the best first, and how they match."""
    scores = np.concatenate([pair.scores[:most] for pair in pairs]) if pairs else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    matched = [match(_Pair(pair.scores[:most], pair.overlaps[:most], pair.ignored, pair.crowd)) for pair in pairs]
    right = np.concatenate([one.right for one in matched], axis=1)[:, order]
    uncounted = np.concatenate([one.uncounted for one in matched], axis=1)[:, order]
    return scores[order], _Matched(right, uncounted)


def _by_coco(pair: _Pair) -> _Matched:
    right, uncounted, _ = _match(pair, OVERLAPS)
    return _Matched(right, uncounted)


def _match(pair: _Pair, least: Floats) -> tuple[Flags, Flags, Flags]:
    """Match boxes and objects by COCO's rule, for each least overlap: right, uncounted, and which objects are taken.

    From the best score on, each box takes the object that it overlaps most of those that are left; one that may be
    ignored only where there is no other, and a crowd as often as need be.
    """
    count, objects = pair.overlaps.shape
    taken = np.zeros((len(least), objects), dtype=np.bool_)
    right = np.zeros((len(least), count), dtype=np.bool_)
    uncounted = np.zeros_like(right)
    enough = np.minimum(least, 1 - 1e-10)[:, np.newaxis]
    each = np.arange(len(least))
    for place in range(count if objects else 0):
        overlaps = pair.overlaps[place]
        is_free = (~taken | pair.crowd) & (overlaps >= enough)
        is_settled = np.zeros(len(least), dtype=np.bool_)
        for may_be, flags in ((~pair.ignored, right), (pair.ignored, uncounted)):
            # of two that it overlaps alike, the later one
            ranked = np.where(is_free & may_be, overlaps, -1)[:, ::-1]
            best = objects - 1 - ranked.argmax(axis=1)
            is_match = (ranked.max(axis=1) >= 0) & ~is_settled
            flags[:, place] = is_match
            taken[each[is_match], best[is_match]] = True
            is_settled |= is_match
    return right, uncounted, taken


def _by_voc(pair: _Pair) -> _Matched:
    """Match by VOC's rule: a box counts for the object that it overlaps most, also where another box has it already."""
    count, objects = pair.overlaps.shape
    right = np.zeros((1, count), dtype=np.bool_)
    uncounted = np.zeros_like(right)
    taken = np.zeros(objects, dtype=np.bool_)
    for place in range(count if objects else 0):
        best = int(pair.overlaps[place].argmax())
        if pair.overlaps[place, best] >= OVERLAPS[0]:
            uncounted[0, place] = pair.ignored[best]
            right[0, place] = not (pair.ignored[best] or taken[best])
            taken[best] = True
    return _Matched(right, uncounted)


def _average_precision(
    scores: Floats, right: Flags, uncounted: Flags, objects: int, read: Callable[[Floats, Floats], float]
) -> float:
    """Return the area under precision by recall, as `read` has it, of boxes the best first; NaN without objects."""
    if not objects:
        return float("nan")
    hits = np.cumsum(right[~uncounted])
    recall = hits / objects
    precision = hits / (np.arange(len(hits)) + 1)
    # at each recall the best precision that can be had with it or with more
    return read(recall, np.maximum.accumulate(precision[::-1])[::-1])


def _at_recalls(recall: Floats, precision: Floats) -> float:
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(precision, 0)[places].mean())


def _at_all(recall: Floats, precision: Floats) -> float:
    return float((np.diff(recall, prepend=0) * precision).sum())


def _boxes(annotations: Sequence[Annotation]) -> Floats:
    return np.array([one.box for one in annotations], dtype=np.float64).reshape(-1, 4)
