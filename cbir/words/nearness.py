"""Which of ImageNet's classes stand for a meaning: those it stands above, else those near it in WordNet's tree."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from cbir.backbones.imagenet import CLASSES, classes
from cbir.words.wordnet import plain, wordnet

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]

# A likeness of classes counts to this power: of a mandolin, banjos do and violins hardly.
_POWER = 20


def classes_below(synset: int) -> Positions:
    """The classes that a synset is or stands above, in ascending order; none for most synsets."""
    path, starts = wordnet().paths
    return np.searchsorted(starts, np.flatnonzero(path == synset), side="right") - 1


def similarities(synset: int) -> Floats:
    """How near each class is to a synset in the tree, from 0 to 1, shape (1000,).

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
    return np.minimum(2 * common / depths, np.float32(1))


def class_weights(synset: int) -> Floats:
    """How much each class speaks for a synset, from 0 to 1, shape (1000,).

    1 for the classes that it is or stands above. Where there are none: the nearest have their similarity, the others
    fall with its 20th power; the classes of what it is a part of count as much as the nearest.
    """
    weights = np.zeros(CLASSES, dtype=np.float32)
    if len(own := classes_below(synset)):
        weights[own] = 1
        return weights
    near = similarities(synset)
    largest = near.max()
    weights = np.asarray(largest * (near / largest) ** _POWER, dtype=np.float32)
    for whole in wordnet().wholes(synset):
        weights[classes_below(whole)] = largest
    return weights


@cache
def class_names() -> tuple[str, ...]:
    """A name for people of each class, no two the same: torchvision's, and its kind where the name alone is unclear.

    A name is unclear where it is also another class's, or a word for its synset: "crane (lifting device)", since there
    is "crane bird" too.
    """
    words = wordnet()
    of_name: dict[str, set[int]] = {}
    for one, synset in zip(classes(), words.classes.tolist(), strict=True):
        for name in (one.name, *words.lemmas(synset)):
            of_name.setdefault(plain(name), set()).add(one.number)
    names = []
    for one, synset in zip(classes(), words.classes.tolist(), strict=True):
        kind = words.lemmas(words.parents(synset)[0])[0]
        names.append(f"{one.name} ({kind})" if len(of_name[plain(one.name)]) > 1 else one.name)
    return tuple(names)
