"""A network's classifier: its last layer, which features do without.

The last layer is linear in a picture's features (before these are made length 1), so the classes that the network sees
cost a product of two matrices and no second forward pass. `class_weights` takes single rows of that layer, as
`get_weighted_features` of hundredblocks/semantic-search does, which cbir descends from: features multiplied with them
compare pictures as that class. docs/method/queries.md has what it gains.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone
from cbir.backbones.catalog import BUNDLED, PLACE_CLASSIFIERS
from cbir.backbones.families import family_of
from cbir.backbones.imagenet import CLASSES, find_class
from cbir.backbones.names import file_name
from cbir.errors import CbirError, ModelError
from cbir.utils.cache import cache_folder, keep, kept
from cbir.utils.vectors import Floats

logger = logging.getLogger("cbir")

#: Classes of a picture that are told, which on photos hold four fifths of all probability.
TOP = 20

# The last layer of a network of 16,000 features.
_MOST_BYTES = 64 << 20


class TopClasses(NamedTuple):
    """The most probable classes of pictures, most probable first: their numbers and their probabilities.

    Both have shape (count,) for one picture, (n, count) for n.
    """

    numbers: npt.NDArray[np.uint16]
    probabilities: Floats


class Classifier:
    """The last layer of a network: from features, as the network makes them, to ImageNet's 1,000 classes.

    `weights` have shape (CLASSES, dimension), `bias` (CLASSES,). Features may have more numbers at their end, of other
    networks, which do not count.
    """

    def __init__(self, weights: Floats, bias: Floats) -> None:
        self._weights = weights
        self._bias = bias

    def probabilities(self, features: Floats) -> Floats:
        """Compute the probability of each class, shape (n, CLASSES), rows of sum 1.

        `features`, shape (n, dimension), are finite and not normalised: their lengths say how sure the network is.
        """
        logits = features[:, : self._weights.shape[1]] @ self._weights.T
        logits += self._bias
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return np.asarray(logits, dtype=np.float32)

    def direction(self, shares: Floats) -> tuple[Floats, float]:
        """Return a direction, shape (dimension,), and a number: a feature's product with it, plus that, is evidence.

        It is the mean logit of some classes above that of all; `shares`, shape (CLASSES,) and of sum 1, say how much
        each counts.
        """
        differs = np.asarray(shares - np.float32(1 / CLASSES), dtype=np.float32)
        return np.asarray(differs @ self._weights, dtype=np.float32), float(differs @ self._bias)

    def weights_of(self, number: int) -> Floats:
        """Return what each feature counts for a class, shape (dimension,): the logit is their product plus the bias."""
        return np.asarray(self._weights[number], dtype=np.float32)

    def top(self, features: Floats, count: int = TOP) -> TopClasses:
        """Find the `count` most probable classes of each, shapes (n, count); of equal ones the first come first.

        `features` are as in `probabilities`.
        """
        probabilities = self.probabilities(features)
        numbers = np.sort(np.argpartition(probabilities, -count, axis=1)[:, -count:], axis=1)
        found = np.take_along_axis(probabilities, numbers, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        return TopClasses(
            np.take_along_axis(numbers, order, axis=1).astype(np.uint16), np.take_along_axis(found, order, axis=1)
        )

    def top_of_each(self, features: Floats, count: int = TOP) -> list[TopClasses | None]:
        """Find them as `top` does, one by one; None for features that are not finite."""
        finite = np.asarray(np.isfinite(features).all(axis=1))
        top = self.top(np.where(finite[:, np.newaxis], features, 0), count)
        pairs = zip(finite, top.numbers, top.probabilities, strict=True)
        return [
            TopClasses(numbers, probabilities) if is_finite else None for is_finite, numbers, probabilities in pairs
        ]


def open_classifier(backbone: Backbone) -> Classifier:
    """Open the classifier of a backbone's first network.

    ModelError, which says why, where it has none of ImageNet's classes, or where it does not classify by a layer that
    is linear in the features; WeightsError where its weights are not on this machine.
    """
    backbone = backbone.first
    if backbone.name in PLACE_CLASSIFIERS:
        raise ModelError(
            f"{backbone.name} finds the classes of each place of a picture and not of its features: "
            f"what it says of a picture cannot be told from them. Choose another network, such as {BUNDLED}."
        )
    head = _head(backbone)
    if not (np.isfinite(head).all() and head.any()):
        raise ModelError(f"The weights of {backbone.name} know nothing of the classes.")
    return Classifier(np.ascontiguousarray(head[:, :-1]), np.ascontiguousarray(head[:, -1]))


def classifier_of(backbone: Backbone) -> Classifier | None:
    """Open it as `open_classifier` does; where there is none, return None, and say why in a line for `-v`."""
    try:
        return open_classifier(backbone)
    except CbirError as error:
        logger.debug("No classes of pictures: %s", error)
        return None


def class_weights(backbone: Backbone, name: str) -> Floats:
    """Weigh each feature by how much it has to do with the class `name` of ImageNet: shape (dimension,), not negative.

    These are the absolute weights in the last layer: in a cosine of features that both are multiplied with them,
    signs make no difference. Of several networks the first one's features count alone. ModelError where there is no
    such class or the network's classifier has others; WeightsError where its weights are not on this machine.
    """
    number = find_class(name).number
    network = backbone.first
    weights = np.abs(_head(network)[number, :-1])
    if not (np.isfinite(weights).all() and weights.any()):
        raise ModelError(f"The weights of {network.name} know nothing of the class {name!r}.")
    return np.pad(weights, (0, backbone.dimension - len(weights)))


def heads_folder() -> Path:
    """Return the folder of the classifiers of networks."""
    return cache_folder("heads")


def _head(backbone: Backbone) -> Floats:
    """Read the last layer, shape (CLASSES, dimension + 1): a row of weights for each class, and its bias at the end.

    From the cache, which saves loading torch. A file there is a SHA-256 and what it is of: the numbers, or why the
    weights have none.
    """
    if backbone.is_elsewhere:
        raise ModelError(f"{backbone.name} made its features elsewhere: cbir does not have it, and knows no classes.")
    if backbone.weights.source == "untrained":
        raise ModelError(f"The weights of {backbone.name} are untrained: they know no classes.")
    file = heads_folder() / f"{file_name(backbone.name)}-{backbone.weights.identity}.head"
    content = None
    stored = kept(file, _MOST_BYTES)
    if stored is not None and hashlib.sha256(stored[32:]).digest() == stored[:32]:
        content = stored[32:]
    if content is None:
        found = family_of(backbone.name).read_head(backbone.name, backbone.weights, backbone.dimension)
        content = found.encode("ascii") if isinstance(found, str) else found.astype("<f4").tobytes()
        with contextlib.suppress(OSError):  # a cache that cannot be written: it is read from the weights each time
            keep(file, hashlib.sha256(content).digest(), content)
    if len(content) != 4 * CLASSES * (backbone.dimension + 1):
        raise ModelError(
            f"The weights of {backbone.name} ({backbone.weights.path}) {content.decode('ascii')}, and not one of "
            f"ImageNet's {CLASSES:,} classes: no class can be told or chosen."
        )
    return np.frombuffer(content, "<f4").astype(np.float32, copy=False).reshape(CLASSES, backbone.dimension + 1)
