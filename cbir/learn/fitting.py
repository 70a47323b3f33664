"""Regressions of labelled pictures: centred, beside a sample of those without labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cbir.index.lock import now
from cbir.index.store import Index
from cbir.learn.labels import Labelled
from cbir.learn.pairs import held_out
from cbir.notions.decide import auc, kappa
from cbir.notions.notion import GATE, NONE, PICTURES, STRENGTH, Notion
from cbir.notions.parts import DOUBTED
from cbir.notions.probability import Certainty, calibrate
from cbir.notions.ridge import COVERED, Fit, fit
from cbir.notions.rows import model_of
from cbir.utils.vectors import Floats, Rows, l2_normalize

#: Rows without labels that are told to be of no class; more change hardly anything.
UNLABELLED_ROWS = 1000

#: The share of the pictures told to be of a class, the clearest ones, that are learnt from as if they were labelled so.
_CLEAR = 0.7

_SEED = 7


@dataclass(frozen=True)
class Basis:
    """The features to learn from: the collection's `mean`, those of labelled pictures, and a sample of the others.

    Both are centred and of length 1; `shares`, shape (n + m,), are what they have in the mean. `of` says what rows they
    are. Behind those of labels may come other rows of some of these, by their numbers `again`; rows of one of `groups`,
    numbers of shape (n,), are of one picture, and none of them tells of another.
    """

    mean: Floats
    labelled: Floats
    unlabelled: Floats
    shares: Floats
    of: str = PICTURES
    again: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    groups: Rows | None = None

    def only(self, kept: npt.NDArray[np.bool_]) -> Basis:
        """Return the same with some of the labelled pictures, those of a mask of shape (n,)."""
        others = np.ones(len(self.unlabelled), dtype=np.bool_)
        return Basis(self.mean, self.labelled[kept], self.unlabelled, self.shares[np.concatenate([kept, others])])


def basis_of(index: Index, labelled: Labelled) -> Basis:
    """Read the features to learn from."""
    mean, count = mean_of(index)
    has_label = np.zeros(index.rows, dtype=np.bool_)
    has_label[[one.row for one in labelled.pictures if one.row is not None]] = True
    others = np.flatnonzero(index.comparable & ~has_label)
    sample = np.sort(np.random.default_rng(_SEED).permutation(others)[:UNLABELLED_ROWS])
    shares = np.full(len(labelled.pictures) + len(sample), 1 / max(count, 1), dtype=np.float32)
    shares[[place for place, one in enumerate(labelled.pictures) if one.row is None]] = 0
    return Basis(
        mean, l2_normalize(labelled.features(index) - mean), l2_normalize(index.features(sample) - mean), shares
    )


def mean_of(index: Index) -> tuple[Floats, int]:
    """Return the mean of all features of an index, shape (dimension,), and how many they are."""
    total, count = np.zeros(index.dimension), 0
    for start, chunk in index.chunks():
        valid = index.comparable[start : start + len(chunk)]
        total += chunk[valid].sum(axis=0, dtype=np.float64)
        count += int(valid.sum())
    return (total / max(count, 1)).astype(np.float32), count


def fit_classes(basis: Basis, numbers: npt.NDArray[np.int32], count: int) -> Fit:
    """Regress the classes that pictures were given, numbers below `count` or NONE, shape (n,)."""
    numbers = np.concatenate([numbers, numbers[basis.again]])
    targets = np.zeros((len(numbers), count), dtype=np.float32)
    given = numbers != NONE
    targets[np.flatnonzero(given), numbers[given]] = 1
    found = fit(basis.labelled, targets, basis.unlabelled, basis.shares, basis.groups)
    return found.first(len(numbers) - len(basis.again))


def fit_guesses(basis: Basis, numbers: npt.NDArray[np.int32], found: Fit) -> Fit:
    """Regress the classes that pictures were given, and those that a fit guesses of the others, where it covers these.

    Of each class those are guessed that it tells most clearly. After Yarowsky, "Unsupervised word sense disambiguation
    rivaling supervised methods" (ACL 1995): self-training, once. What labels tell of each other stays that of the fit
    that has guessed nothing, but for how far scores are apart.
    """
    scores = basis.unlabelled @ found.weights
    count = scores.shape[1]
    if count < 2 or not len(scores) or found.coverage < COVERED:
        return found
    told, two = scores.argmax(axis=1), np.sort(scores, axis=1)[:, -2:]
    guesses = np.zeros_like(scores)
    for number in range(count):
        its = np.flatnonzero(told == number)
        clearest = its[np.argsort(two[its, 0] - two[its, 1], kind="stable")]
        guesses[clearest[: round(_CLEAR * len(its))], number] = 1
    targets = np.zeros((len(numbers), count), dtype=np.float32)
    given = numbers != NONE
    targets[np.flatnonzero(given), numbers[given]] = 1
    again = fit(basis.labelled, targets, basis.unlabelled, basis.shares, basis.groups, guesses)
    spread = np.float32(_spread(basis, numbers, found, again) * found.scale / again.scale)
    return replace(again, left_out=found.left_out * spread, left_out_unlabelled=found.left_out_unlabelled * spread)


def _spread(basis: Basis, numbers: npt.NDArray[np.int32], found: Fit, again: Fit) -> float:
    """Return how much farther scores are apart than before guesses were learnt from, as they are no surer for that.

    That is so much that probabilities of what has no label are as high as they were, on the mean.
    """
    told = calibrate(np.float32(found.scale) * found.left_out, numbers)
    before = told.probabilities(np.float32(found.scale) * found.left_out_unlabelled).max(axis=1).mean()
    scores = np.float32(again.scale) * (basis.unlabelled @ again.weights)
    spreads = np.geomspace(0.5, 8, 33)
    after = [replace(told, slope=told.slope / one).probabilities(scores).max(axis=1).mean() for one in spreads]
    return float(np.interp(-before, -np.array(after), spreads))


def fit_groups(basis: Basis, numbers: npt.NDArray[np.int32]) -> Fit:
    """Regress groups of pictures. One that is in none is left out: nobody said what it is like."""
    is_in = numbers != NONE
    return fit_classes(basis.only(is_in), numbers[is_in], int(numbers.max()) + 1)


def quality_of(found: Fit, numbers: npt.NDArray[np.int32]) -> float:
    """Return how well labels are told by the others: Cohen's kappa, from 0 for chance to 1.

    Labels that are not told, as all of their class are of one picture, do not count. Of one class alone it is made of
    the area under the curve: those that are none of it, and those without labels, are the negatives.
    """
    given = (numbers != NONE) & found.is_told
    if not given.any():
        return 0.0
    first = int(numbers[given].min())
    if (numbers[given] != first).any():
        return kappa(found.left_out[given].argmax(axis=1), numbers[given].astype(np.int64))
    negatives = np.concatenate([found.left_out[numbers == NONE, first], found.left_out_unlabelled[:, first]])
    return 2 * auc(found.left_out[given, first], negatives) - 1


def pairs_quality(basis: Basis, labelled: Labelled) -> tuple[float, float]:
    """Return how well held-out pairs are told apart by plain features, and by what the other pairs teach."""

    def teach(numbers: npt.NDArray[np.int32]) -> Floats:
        found = fit_groups(basis, numbers)
        scores = np.float32(found.scale) * np.maximum(basis.labelled @ found.weights, 0)
        return l2_normalize(np.concatenate([basis.labelled, np.float32(STRENGTH) * scores], axis=1))

    return held_out(basis.labelled, labelled.pairs, teach)


def notion_of(
    index: Index, name: str, kind: str, basis: Basis, labelled: Labelled, found: Fit, quality: float, verdict: str
) -> Notion:
    """Return what was found as a notion of the index, which does not know yet how alike its rows are.

    Groups of pairs are guesses, and have no probabilities.
    """
    certainty = Certainty()
    if kind != "pairs":
        certainty = calibrate(np.float32(found.scale) * found.left_out, labelled.numbers)
    return Notion(
        name=name,
        classes=labelled.classes,
        mean=basis.mean,
        weights=found.weights.astype(np.float16).astype(np.float32),  # as its file will have them
        scale=found.scale,
        kind=kind,
        quality=round(quality, 6),
        verdict=verdict,
        model=model_of(index.meta, basis.of),
        labels=labelled.to_labels(len(basis.mean), basis.of),
        created=now(),
        certainty=certainty,
        gate=found.gate(GATE) if basis.of == PICTURES else DOUBTED,
        of=basis.of,
    )
