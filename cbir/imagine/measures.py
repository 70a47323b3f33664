"""Measures of a drawing: how near it came, and what networks see in it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.catalog import BUNDLED, KNOWN
from cbir.backbones.head import classifier_of
from cbir.backbones.imagenet import classes
from cbir.backbones.weights import WeightsFile, WeightsPackage, hub_file
from cbir.errors import ModelError
from cbir.extract.extractor import Extractor
from cbir.index.store import Index
from cbir.utils.packages import has_torch
from cbir.utils.vectors import Floats, l2_normalize

# Classes that are told of a picture.
_TOLD = 3

# Other networks that are asked, where they are here: those that have least in common with the bundled one come first.
_JUDGES = ("resnet50", "vgg16", "efficientnet_lite2", "efficientnet_lite1", BUNDLED)


@dataclass(frozen=True)
class Seen:
    """A picture as a network sees it: its feature, not normalised, and the probability of each class, if any."""

    backbone: Backbone
    feature: Floats
    probabilities: Floats | None

    def cosine(self, other: Seen) -> float:
        """Return the cosine of its feature to that of another picture."""
        own, others = (l2_normalize(one.feature[np.newaxis])[0] for one in (self, other))
        return float(own @ others)

    def classes(self) -> list[dict[str, Any]]:
        """List the likeliest classes and their probabilities, the likeliest first; empty where it has none."""
        if self.probabilities is None:
            return []
        first = np.argsort(-self.probabilities, kind="stable")[:_TOLD]
        return [
            {"class": classes()[one].name, "probability": round(float(self.probabilities[one]), 4)} for one in first
        ]

    def of_class(self, number: int) -> dict[str, Any]:
        """Tell a class's probability, and its rank among all; empty where the network has no classes."""
        if self.probabilities is None:
            return {}
        own = self.probabilities[number]
        return {"probability": round(float(own), 4), "rank": 1 + int((self.probabilities > own).sum())}


class Eye:
    """A network as a search has it, which looks at whole pictures. `engine` is as `open_engine` takes it."""

    def __init__(self, backbone: Backbone, engine: str | None = None) -> None:
        self._extractor = Extractor(backbone, engine=engine)
        self._classifier = classifier_of(backbone)

    def see(self, picture: Image.Image) -> Seen:
        """Look at a picture."""
        feature = self._extractor.encode([picture], normalize=False)[0]
        found = None if self._classifier is None else self._classifier.probabilities(feature[np.newaxis])[0]
        return Seen(self._extractor.backbone, feature, found)


def judge_for(backbone: Backbone, name: str | None = None) -> Backbone | None:
    """Return another network to be asked: that of a `name`, or the first of some whose weights are here, if any.

    ModelError where the one that was named is the same.
    """
    own = {one.name for one in backbone.networks}
    if name is not None:
        named = describe(name)
        if own & {one.name for one in named.networks}:
            raise ModelError(f"{named.name} made the picture itself: name another network with --judge.")
        return named
    here = (one for one in _JUDGES if one not in own and _is_here(one))
    return next((describe(one) for one in here), None)


def _is_here(name: str) -> bool:
    weights = KNOWN[name].weights
    if isinstance(weights, WeightsFile):
        return has_torch() and os.path.isfile(hub_file(weights))
    try:
        return isinstance(weights, WeightsPackage) and weights.file().is_file()
    except ModelError:  # the package of an extra that is not installed
        return False


def rank_of(index: Index, drawing: Floats, original: Floats, content: bytes | None) -> dict[str, Any]:
    """Tell the rank of an original among the pictures of an index, by cosine to a drawing, and how many there are.

    `drawing` and `original` are features of length 1, `content` the original's file: where the index has it, its row
    counts, as in a search. Pictures that are the same file do not outdo each other.
    """
    rows = [] if content is None else index.find(hashlib.sha256(content).hexdigest())
    cosines = np.concatenate([np.empty(0, np.float32), *(chunk @ drawing for _, chunk in index.chunks())])
    own = cosines[rows].max() if rows else original @ drawing
    better = (cosines > own) & index.valid
    return {
        "name": index.directory.name,
        "pictures": int(index.valid.sum()),
        "has_original": bool(rows),
        "rank": 1 + int(better.sum()),
    }
