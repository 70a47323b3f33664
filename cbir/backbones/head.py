"""What a network's classifier, which features do without, knows of a class: how much each feature speaks for it.

`get_weighted_features` of hundredblocks/semantic-search, which cbir descends from, multiplies features with the
classifier's weights of a class, so that pictures are compared as that class. docs/queries.md has what it gains.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.backbones.imagenet import CLASSES, find_class
from cbir.backbones.registry import BUNDLED, Backbone
from cbir.backbones.weights import load_state_dict
from cbir.cache import cache_folder, keep
from cbir.errors import ModelError

Floats = npt.NDArray[np.float32]


def class_weights(backbone: Backbone, name: str) -> Floats:
    """How much each feature has to do with the class `name` of ImageNet, shape (dimension,), not negative.

    These are the absolute weights in the last layer: in a cosine of features that both are multiplied with them,
    signs make no difference. ModelError where there is no such class or the network's classifier has others;
    WeightsError where its weights are not on this machine.
    """
    number = find_class(name).number
    weights = np.abs(np.asarray(_head(backbone)[number], dtype=np.float32))
    if not (np.isfinite(weights).all() and weights.any()):
        raise ModelError(f"The weights of {backbone.name} know nothing of the class {name!r}.")
    return weights


def heads_folder() -> Path:
    """Where the classifiers of networks are kept, one row of numbers a class and nothing else."""
    return cache_folder("heads")


def _head(backbone: Backbone) -> npt.NDArray[np.float32]:
    """The last layer's weights, shape (CLASSES, dimension), from the cache, which saves loading torch."""
    file = heads_folder() / f"{backbone.name}-{backbone.weights.identity}.float32"
    shape = (CLASSES, backbone.dimension)
    with contextlib.suppress(OSError, ValueError):
        if file.stat().st_size == 4 * CLASSES * backbone.dimension:
            return np.asarray(np.memmap(file, "<f4", "r", shape=shape))
    head = _read_head(backbone)
    with contextlib.suppress(OSError):  # a cache that cannot be written: it is read from the weights each time
        keep(file, head.astype("<f4").tobytes())
    return head


def _read_head(backbone: Backbone) -> Floats:
    if backbone.weights.source == "untrained":
        raise ModelError(f"The weights of {backbone.name} are untrained: they know no classes.")
    if backbone.name == BUNDLED:
        layer = "_fc"
    else:
        from cbir.backbones.torchvision import head_of

        layer = head_of(backbone.name)
    path = backbone.weights.locate()
    tensor = load_state_dict(path).get(f"{layer}.weight")
    shape = None if tensor is None else tuple(tensor.shape)
    if tensor is None or shape is None or shape[:2] != (CLASSES, backbone.dimension) or any(n != 1 for n in shape[2:]):
        what = "are without a classifier" if shape is None else f"have a classifier of shape {shape}"
        raise ModelError(
            f"The weights {path} {what}, and not one of ImageNet's {CLASSES:,} classes: no class can be chosen."
        )
    return np.asarray(tensor.float().numpy().reshape(CLASSES, backbone.dimension), dtype=np.float32)
