"""Pairs of pictures: `same` ones make groups, which are then classes; held-out pairs tell whether that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cbir.learn.labels import Absent, Contradiction, Labelled
from cbir.learn.lists import DIFFERENT, SAME
from cbir.learn.pictures import Picture
from cbir.notions.decide import auc
from cbir.notions.notion import NONE
from cbir.utils.vectors import Floats

#: Each fold's pairs are told by what the others teach; fewer than so many of a kind tell nothing.
FOLDS = 5

_SEED = 5

#: Features of pictures as one fold's pairs teach them: from the numbers of their groups, shape (n,), to vectors of
#: length 1, shape (n, any).
Teach = Callable[[npt.NDArray[np.int32]], Floats]


def by_pairs(
    given: Iterable[tuple[bool, Picture, Picture]], absent: Absent | None = None
) -> tuple[Labelled, list[Contradiction]]:
    """Unite the pictures of `same` pairs into groups, which are the classes; find the pairs that contradict these.

    A picture that is in no pair of `same` is in none of them. `absent` is what else was kept.
    """
    places: dict[str, int] = {}
    pictures: list[Picture] = []
    rows = []
    for is_same, *two in given:
        for picture in two:
            if picture.sha256 not in places:
                places[picture.sha256] = len(pictures)
                pictures.append(picture)
        rows.append((places[two[0].sha256], places[two[1].sha256], int(is_same)))
    pairs = np.array(rows, dtype=np.int32).reshape(-1, 3)
    absent = absent or Absent()
    contents = [*absent.numbers, *(content for first, second, _ in absent.pairs for content in (first, second))]
    absent = Absent(dict.fromkeys((one for one in contents if one not in places), NONE), absent.pairs)
    labelled = regrouped(Labelled(pictures, (), np.zeros(len(pictures), np.int32), pairs, absent))
    numbers = labelled.numbers
    contradictions = [
        Contradiction((pictures[first].path, pictures[second].path), (DIFFERENT, SAME))
        for first, second, is_same in pairs.tolist()
        if not is_same and (first == second or numbers[first] == numbers[second] != NONE)
    ]
    return labelled, contradictions


def regrouped(labelled: Labelled) -> Labelled:
    """Return the same pictures in the groups that their pairs make; absent ones are in none."""
    numbers = groups_of(labelled.pairs, len(labelled.pictures))
    absent = Absent(dict.fromkeys(labelled.absent.numbers, NONE), labelled.absent.pairs)
    classes = tuple(f"group {number + 1}" for number in range(int(numbers.max(initial=NONE)) + 1))
    return replace(labelled, classes=classes, numbers=numbers, absent=absent)


def groups_of(pairs: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int32]:
    """Number the groups of so many pictures that `same` pairs unite, shape (count,): NONE for a picture alone."""
    parents = list(range(count))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    for first, second, is_same in pairs.tolist():
        if is_same:
            parents[root(first)] = root(second)
    roots = [root(place) for place in range(count)]
    sizes = np.bincount(roots, minlength=count)
    numbers: dict[int, int] = {}
    found = [numbers.setdefault(one, len(numbers)) if sizes[one] > 1 else NONE for one in roots]
    return np.array(found, dtype=np.int32)


def held_out(features: Floats, pairs: npt.NDArray[np.int32], teach: Teach) -> tuple[float, float]:
    """Tell how well pairs are told apart by features of length 1, and by what the other pairs teach.

    Both are areas under the curve. Pairs are held out a fifth at a time.
    """
    order = np.random.default_rng(_SEED).permutation(len(pairs))
    learnt = np.empty(len(pairs), dtype=np.float32)
    for fold in range(FOLDS):
        out = order[fold::FOLDS]
        inside = np.delete(pairs, out, axis=0)
        vectors = teach(groups_of(inside, len(features)))
        learnt[out] = _cosines(vectors, pairs[out])
    is_same = pairs[:, 2] == 1
    plain = _cosines(features, pairs)
    return auc(plain[is_same], plain[~is_same]), auc(learnt[is_same], learnt[~is_same])


def _cosines(vectors: Floats, pairs: npt.NDArray[np.int32]) -> Floats:
    found: Floats = np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    return found


def are_enough(pairs: npt.NDArray[np.int32]) -> bool:
    """Tell whether there are pairs of both kinds for each fold."""
    same = int(pairs[:, 2].sum())
    return min(same, len(pairs) - same) >= FOLDS
