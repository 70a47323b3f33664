"""Two networks that were never trained, in NumPy: they open at once, for tests and for trying things out.

A map holds, for each cell of a picture, what a fixed random projection makes of its patch; features are the mean of the
coarsest map; `fake_small` sees smaller pictures, and does without that one. So pictures of alike colours and edges have
alike features, and their classes mean nothing. Numbers are whole or have few binary digits, and their sums are exact:
every machine computes the same.
"""

from __future__ import annotations

import hashlib
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from cbir.backbones.catalog import FAKE, FAKE_SMALL, Known
from cbir.backbones.imagenet import CLASSES
from cbir.backbones.weights import Weights
from cbir.errors import ModelError
from cbir.images.fit import Preprocessing
from cbir.utils.vectors import Floats

#: Pixels of a cell's side, from fine to coarse, and how many numbers the map of such cells has at each.
STAGES = {8: 32, 16: 64, 32: 128}

#: Squares that a cell's patch is divided into, along each side; their mean colours are projected.
_SQUARES = 4

#: Pixels of the side of a cell of the map whose mean are a network's features.
SIDES = {FAKE: 32, FAKE_SMALL: 16}

_DIMENSION = STAGES[32]


def _numbers(name: str, *shape: int) -> npt.NDArray[np.float64]:
    """Draw whole numbers from -128 to 127, the same each time; other names draw others."""
    count = int(np.prod(shape))
    drawn = hashlib.shake_256(f"cbir's fake network, {name}".encode()).digest(count)
    return np.frombuffer(drawn, np.int8).reshape(shape).astype(np.float64)


# features are about 1, and the likeliest class of a photo has a probability of about a fourth
_PROJECTION = _numbers("projection", 3 * _SQUARES**2, _DIMENSION) / 2**13
_HEAD = _numbers("head", CLASSES, _DIMENSION) / 2**8
_HEAD -= _HEAD.mean(axis=1, keepdims=True)  # else what all features have in common decides
_WEIGHTS = Weights(hashlib.sha256(np.vstack([_PROJECTION, _HEAD]).astype("<f8").tobytes()).hexdigest(), "bundled")
_KNOWN = {
    name: Known(
        STAGES[SIDES[name]],
        Preprocessing(crop + 32, crop, "bilinear", (128.0, 128.0, 128.0), (1.0, 1.0, 1.0)),
        "mean of a fixed projection of patches",
        lambda: _WEIGHTS,
    )
    for name, crop in ((FAKE, 224), (FAKE_SMALL, 160))
}


def describe(name: str) -> Known:
    """Describe the network."""
    return _KNOWN[name]


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> NoReturn:
    """Raise ModelError: there is nothing to build in torch."""
    raise ModelError(f"The network {name} is none of torch's; `cbir.engines.select.open_engine` opens it.")


def read_head(name: str, weights: Weights, dimension: int) -> Floats:
    """Return the layer that classifies features, shape (1000, dimension + 1), biases last."""
    return np.pad(_HEAD[:, :dimension], ((0, 0), (0, 1))).astype(np.float32)


def map_of(images: npt.NDArray[np.uint8], side: int) -> Floats:
    """Compute the map whose cells have `side` pixels, a key of STAGES: shape (n, channels, rows, columns).

    `images` have shape (n, height, width, 3), and sides that are multiples of 32.
    """
    count, height, width, _ = images.shape
    rows, columns, step = height // side, width // side, side // _SQUARES
    down = images.reshape(count, rows * _SQUARES, step, width * 3).sum(axis=2, dtype=np.uint16)
    sums = down.reshape(count, rows, _SQUARES, columns, _SQUARES, step, 3).sum(axis=5, dtype=np.float64)
    centred = (sums / step**2 - 128).transpose(0, 1, 3, 2, 4, 5).reshape(count, rows, columns, -1)
    projected = centred @ _PROJECTION[:, : STAGES[side]]
    return np.asarray(np.maximum(projected, 0).transpose(0, 3, 1, 2), dtype=np.float32, order="C")


def features_of(images: npt.NDArray[np.uint8], side: int) -> Floats:
    """Compute features of images, by the map that `map_of` makes: shape (n, channels), not normalised."""
    return np.asarray(map_of(images, side).mean(axis=(2, 3), dtype=np.float64), dtype=np.float32)
