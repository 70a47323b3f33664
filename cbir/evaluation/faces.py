"""Measuring how well faces tell people apart, by a folder of photos for each person.

Of each photo the largest face counts. All pairs of faces are compared: those of one person ought to be near, those of
two people far. Thresholds for a network are where it is as sure as dlib's is at its own (`faces.likeness`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError, ImageReadError
from cbir.faces.compare import CANNOT_SAY, DIFFERENT, SAME
from cbir.faces.face import Face
from cbir.faces.finder import FaceFinder
from cbir.faces.likeness import DEFAULT, Thresholds, distances
from cbir.faces.run import find_in_files
from cbir.images.scan import pictures_in
from cbir.utils.vectors import Floats

#: Shares of strangers' pairs at which the share of one person's pairs is told that are as near.
FALSE_ACCEPTS = (0.01, 0.005, 0.001)

#: Pairs that thresholds need: of one person, and of two.
LEAST_SAME, LEAST_DIFFERENT = 50, 1000

#: The shares of strangers' pairs that may be as near as what is called the same person, and as what a search shows.
MOST_STRANGERS, MOST_SHOWN = 0.001, 0.01

# Faces that are compared at most: pairs are kept in memory.
_MOST_FACES = 6000

# Rounds of Newton's method at most, and a step that ends it: some ten are enough.
_ROUNDS, _DONE = 100, 1e-9

Distances = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PeopleFaces:
    """The faces of people: vectors (n, dimension) and whose they are (n,), numbers of `people`.

    `without` are photos in which no face was found, `errors` those that could not be read.
    """

    people: tuple[str, ...]
    vectors: Floats
    owners: npt.NDArray[np.int64]
    without: tuple[str, ...]
    errors: tuple[ImageReadError, ...]


@dataclass(frozen=True)
class FaceScores:
    """Measures of pairs: how many there are, and how they lie.

    `equal_error` is the share of wrong answers where both kinds of pairs have it. `accepted` has for each of
    FALSE_ACCEPTS the distance within which so many strangers are, and the share of one person's pairs within it.
    `answers` are the shares of what `verify` says of one person's pairs and of strangers', without thresholds none.
    """

    same: int
    different: int
    equal_error: float
    accepted: tuple[tuple[float, float, float], ...]
    answers: dict[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "same_pairs": self.same,
            "different_pairs": self.different,
            "equal_error": round(self.equal_error, 5),
            "accepted": [
                {"false": share, "distance": round(distance, 4), "true": round(true, 5)}
                for share, distance, true in self.accepted
            ],
            "answers": {
                answer: {"same": round(same, 5), "different": round(different, 5)}
                for answer, (same, different) in self.answers.items()
            },
        }


def people_in(folder: Path) -> list[tuple[str, Path]]:
    """List the photos of a folder of people, each with the name of its person: the folder it is in."""
    found = pictures_in(folder)
    return [(str(Path(file.path).parent), folder / file.path) for file in found.files if Path(file.path).parent.name]


def read_people(
    finder: FaceFinder, photos: Sequence[tuple[str, Path]], watch: Any = lambda items, total: items
) -> PeopleFaces:
    """Find the largest face of each photo, given with the name of its person. CbirError where there are too many."""
    if len(photos) > _MOST_FACES:
        raise CbirError(f"{len(photos):,} photos are too many to compare all with all: take {_MOST_FACES:,} at most.")
    names = sorted({name for name, _ in photos})
    number = {name: place for place, name in enumerate(names)}
    vectors, owners, without, errors = [], [], [], []
    found: Iterable[Any] = find_in_files(finder, (((name, path), path) for name, path in photos), isolated=True)
    for one in watch(found, len(photos)):
        name, path = one.key
        faces: list[Face] = one.faces
        if one.error is not None:
            errors.append(one.error)
        elif not faces:
            without.append(str(path))
        else:
            vectors.append(faces[0].vector)
            owners.append(number[name])
    made = np.stack(vectors) if vectors else np.zeros((0, finder.dimension), np.float32)
    return PeopleFaces(tuple(names), made, np.array(owners, np.int64), tuple(without), tuple(errors))


def pairs_of(faces: PeopleFaces, people: npt.NDArray[np.bool_] | None = None) -> tuple[Distances, Distances]:
    """Return the distances of all pairs of one person's faces, and of two people's; of some `people` only, if given."""
    chosen = np.arange(len(faces.owners)) if people is None else np.flatnonzero(people[faces.owners])
    owners = faces.owners[chosen]
    one, other = np.triu_indices(len(chosen), 1)
    apart = distances(faces.vectors[chosen], faces.vectors[chosen])[one, other].astype(np.float64)
    is_same = owners[one] == owners[other]
    return apart[is_same], apart[~is_same]


def measure(same: Distances, different: Distances, thresholds: Thresholds | None) -> FaceScores:
    """Measure pairs of one person and of two; CbirError where there are none of either."""
    if not len(same) or not len(different):
        raise CbirError(
            "There is nothing to compare: faces are needed of two people at least, and of one of them two photos."
        )
    same, different = np.sort(same), np.sort(different)
    accepted = []
    for share in FALSE_ACCEPTS:
        distance = _within(different, share)
        accepted.append((share, distance, float(np.searchsorted(same, distance, side="right") / len(same))))
    answers = {}
    if thresholds is not None:
        for answer, low, high in (
            (SAME, -1.0, thresholds.same),
            (CANNOT_SAY, thresholds.same, thresholds.different),
            (DIFFERENT, thresholds.different, math.inf),
        ):
            answers[answer] = _share(same, low, high), _share(different, low, high)
    return FaceScores(len(same), len(different), _equal_error(same, different), tuple(accepted), answers)


def learn(same: Distances, different: Distances) -> Thresholds | None:
    """Learn thresholds from distances of pairs; None where there are too few, or strangers are as near as friends."""
    if len(same) < LEAST_SAME or len(different) < LEAST_DIFFERENT:
        return None
    slope, middle = _logistic(same, different)
    if not slope > 0:
        return None

    def as_sure_as(distance: float) -> float:
        """Return where the network is as sure as dlib's is at a distance."""
        found = middle + DEFAULT.slope * (distance - DEFAULT.middle) / slope
        return min(max(found, 0.0), 2.0)

    found = Thresholds(
        same=as_sure_as(DEFAULT.same),
        different=as_sure_as(DEFAULT.different),
        search=as_sure_as(DEFAULT.search),
        perhaps=as_sure_as(DEFAULT.perhaps),
        group=as_sure_as(DEFAULT.group),
        middle=min(max(middle, 0.0), 2.0),
        slope=min(slope, 1e5),
    )
    nearest, near = (_within(np.sort(different), share) for share in (MOST_STRANGERS, MOST_SHOWN))
    strict, search = min(found.same, nearest), min(found.search, near)
    return replace(
        found, same=strict, search=search, perhaps=min(found.perhaps, strict), group=min(found.group, strict)
    )


def learnt_of(faces: PeopleFaces) -> Thresholds | None:
    """Learn thresholds from all pairs of some people's faces; None where there are too few."""
    return learn(*pairs_of(faces))


def measure_people(faces: PeopleFaces, thresholds: Thresholds | None) -> FaceScores:
    """Measure all pairs of people's faces.

    Without thresholds, what `verify` says is measured with those learnt from the other half of the people, by turns.
    """
    scores = measure(*pairs_of(faces), thresholds)
    if thresholds is not None:
        return scores
    first = np.arange(len(faces.people)) % 2 == 0
    answers: dict[str, list[tuple[float, float]]] = {}
    for half in (first, ~first):
        found, pairs = learn(*pairs_of(faces, ~half)), pairs_of(faces, half)
        if found is None or not all(map(len, pairs)):
            return scores
        for answer, shares in measure(*pairs, found).answers.items():
            answers.setdefault(answer, []).append(shares)
    means = {answer: tuple(np.mean(shares, axis=0).tolist()) for answer, shares in answers.items()}
    return replace(scores, answers={answer: (same, different) for answer, (same, different) in means.items()})


def _within(sorted_distances: Distances, share: float) -> float:
    """Return the largest distance within which at most a share of some are."""
    count = int(share * len(sorted_distances))
    return float(np.nextafter(sorted_distances[count], -1))


def _share(distances: Distances, low: float, high: float) -> float:
    """Return the share of distances above `low` and up to `high`."""
    if math.isinf(high):
        return float((distances >= low).mean())
    if low < 0:
        return float((distances <= high).mean())
    return float(((distances > low) & (distances < high)).mean())


def _equal_error(same: Distances, different: Distances) -> float:
    places = np.concatenate([same, different])
    missed = 1 - np.searchsorted(same, places, side="right") / len(same)
    accepted = np.searchsorted(different, places, side="right") / len(different)
    best = int(np.abs(missed - accepted).argmin())
    return float((missed[best] + accepted[best]) / 2)


def _logistic(same: Distances, different: Distances) -> tuple[float, float]:
    """Fit 1 / (1 + exp(slope (d - middle))) to pairs, both kinds counting alike: slope and middle.

    Where nothing is between the two, targets a little off 0 and 1 (Platt 1999) keep the slope finite.
    """
    x = np.concatenate([same, different])
    targets = np.concatenate(
        [np.full(len(same), (len(same) + 1) / (len(same) + 2)), np.full(len(different), 1 / (len(different) + 2))]
    )
    weights = np.concatenate([np.full(len(same), 0.5 / len(same)), np.full(len(different), 0.5 / len(different))])
    centre, spread = float(np.average(x, weights=weights)), max(float(x.std()), 1e-9)
    design = np.stack([(x - centre) / spread, np.ones(len(x))], axis=1)

    def loss(of: npt.NDArray[np.float64]) -> float:
        scores = design @ of
        return float(weights @ (np.logaddexp(0, scores) - targets * scores))

    found = np.zeros(2)
    for _ in range(_ROUNDS):
        sure = 1 / (1 + np.exp(-np.clip(design @ found, -500, 500)))
        gradient = design.T @ (weights * (targets - sure))
        curve = design.T @ (design * (weights * sure * (1 - sure))[:, np.newaxis]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        while loss(found + step) > loss(found) and np.abs(step).max() > _DONE:
            step /= 2
        found += step
        if np.abs(step).max() <= _DONE:
            break
    slope = -float(found[0]) / spread
    return (slope, centre + float(found[1]) / slope) if slope > 0 else (0.0, centre)
