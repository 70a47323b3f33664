"""The classes of ImageNet that stand for a meaning: those it stands above, else those near it in WordNet's tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats
from cbir.words.wordnet import wordnet

Positions = npt.NDArray[np.int64]

# A likeness of classes counts to this power: of a mandolin, banjos do and violins hardly.
_POWER = 20


def classes_below(synset: int) -> Positions:
    """Return the classes that a synset is or stands above, in ascending order; none for most synsets."""
    path, starts = wordnet().paths
    return np.asarray(np.searchsorted(starts, np.flatnonzero(path == synset), side="right") - 1, dtype=np.int64)


def similarities(synset: int) -> Floats:
    """Return the similarity of each class to a synset in the tree, from 0 to 1, shape (1000,).

    Twice the depth of the deepest synset that stands above both, over the sum of their depths (Wu and Palmer, "Verb
    Semantics and Lexical Selection", ACL 1994).
    """
    words = wordnet()
    path, starts = words.paths
    depth_of_common = np.zeros(len(words), dtype=np.float32)
    above = words.above(synset)
    depth_of_common[above] = words.depths[above]
    common = np.maximum.reduceat(depth_of_common[path], starts)
    depths = words.depths[words.classes].astype(np.float32) + np.float32(words.depths[synset])
    return np.asarray(np.minimum(2 * common / depths, 1), dtype=np.float32)


def class_weights(synsets: Sequence[int]) -> Floats:
    """Return the weight by which each class speaks for any of some synsets, from 0 to 1, shape (1000,).

    1 for the classes that they are or stand above. Where there are none: the nearest have their similarity, the others
    fall with its 20th power. A meaning so far away that nothing in a picture is like it counts for nothing beside
    nearer ones.
    """
    weights = np.zeros(len(wordnet().classes), dtype=np.float32)
    for synset in synsets:
        weights[classes_below(synset)] = 1
    if weights.any():
        return weights
    near = np.max([_nearness(synset) for synset in synsets], axis=0)
    largest = near.max()
    return np.asarray(largest * (near / largest) ** _POWER, dtype=np.float32)


def _nearness(synset: int) -> Floats:
    """Similarities, and the n classes of what a synset is a part of brought so near that each counts an n-th."""
    near = similarities(synset)
    largest = near.max()
    for whole in wordnet().wholes(synset):
        own = classes_below(whole)
        near[own] = np.maximum(near[own], largest * np.float32(len(own) ** (-1 / _POWER)))
    return near
