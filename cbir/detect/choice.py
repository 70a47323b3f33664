"""The choice of a picture's detections that somebody wants to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cbir.detect.classes import numbers_of
from cbir.detect.detection import Detections
from cbir.detect.geometry import MOST_CANDIDATES


@dataclass(frozen=True)
class ClassRule:
    """A class that is wanted, by its name or any word for it, and the least score of its detections, if it has one."""

    text: str
    least_score: float | None = None


@dataclass(frozen=True)
class Choice:
    """The detections of the least score, of the classes that are wanted if some are, the best `most` of a picture."""

    least_score: float
    most: int = MOST_CANDIDATES
    #: The least scores of classes by their numbers; where there are any, other classes are left out.
    of_classes: dict[int, float] = field(default_factory=dict)

    @classmethod
    def by_rules(cls, rules: Sequence[ClassRule], classes: Sequence[str], least_score: float, most: int) -> Choice:
        """Make the choice of some rules. WordError where a detector of such classes knows none that a rule names.

        Where several rules mean one class, the last counts: `animal:0.3`, then `dog:0.6`.
        """
        of_classes: dict[int, float] = {}
        for rule in rules:
            score = least_score if rule.least_score is None else rule.least_score
            of_classes.update(dict.fromkeys(numbers_of(rule.text, classes), score))
        return cls(least_score, most, of_classes)

    def of(self, detections: Detections) -> Detections:
        """Return the detections that are wanted, the best first."""
        least = np.full(len(detections), self.least_score)
        if self.of_classes:
            least = np.array([self.of_classes.get(number, np.inf) for number in detections.classes.tolist()])
        return detections.chosen(np.flatnonzero(detections.scores >= least)[: self.most])
