"""A small network of images and text, to try sentences with, and to test them: EfficientNet-Lite0 and a bag of words.

Images have EfficientNet-Lite0's features. A text's is the sum of what each of its words has been taught, whatever their
order; `scripts/train_toy.py` teaches it the names of folders, in seconds. No such weights come with cbir.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt

from cbir.backbones import efficientnet_lite
from cbir.backbones.catalog import BUNDLED, KNOWN, MODALITIES, Known
from cbir.backbones.state_dict import read_state_dict
from cbir.backbones.weights import PACKAGES, Weights, check_fit
from cbir.errors import WeightsError
from cbir.images.fit import Preprocessing
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    import openvino
    from torch import nn

    from cbir.backbones.network import Network

TOY = "toy"

#: Words are told apart by a hash, so that nobody keeps a list of them. 0 is no word.
WORDS, WIDTH = 4096, 64

# Words of a text that count: the first.
_LENGTH = 64


def describe(name: str) -> Known:
    """Describe the network."""
    of_images = KNOWN[BUNDLED]
    return Known(of_images.dimension, of_images.preprocessing, of_images.features, _no_weights, MODALITIES)


def _no_weights() -> NoReturn:
    raise WeightsError(
        f"The network {TOY} has no weights of its own: make some with scripts/train_toy.py, and name them with "
        "--weights FILE."
    )


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
    """Build EfficientNet-Lite0 in torch."""
    return efficientnet_lite.build(BUNDLED, PACKAGES[BUNDLED].find(), preprocessing)


def build_graph(name: str, weights: Weights, preprocessing: Preprocessing, graph: str) -> openvino.Model:
    """Build EfficientNet-Lite0 for OpenVINO."""
    return efficientnet_lite.build_graph(BUNDLED, PACKAGES[BUNDLED].find(), preprocessing, graph)


def read_head(name: str, weights: Weights, dimension: int) -> Floats | str:
    """Read EfficientNet-Lite0's last layer."""
    return efficientnet_lite.read_head(BUNDLED, PACKAGES[BUNDLED].find(), dimension)


def tokens(name: str, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Turn n texts into the numbers of their words, shape (n, 64), zeros at the end."""
    found = np.zeros((len(texts), _LENGTH), dtype=np.int64)
    for row, text in zip(found, texts, strict=True):
        words = re.findall(r"\w+", text.lower())[:_LENGTH]
        row[: len(words)] = [1 + zlib.crc32(word.encode("utf-8", "surrogatepass")) % WORDS for word in words]
    return found


def build_text(name: str, weights: Weights) -> nn.Module:
    """Build the text encoder with `weights`. WeightsError where they do not fit, or are none."""
    from cbir.backbones.toy_text import BagOfWords

    encoder = BagOfWords(WORDS, WIDTH, KNOWN[BUNDLED].dimension)
    if weights.source == "untrained":
        return encoder.eval()
    path = weights.locate(name)
    state = {key: value.astype(np.float32) for key, value in read_state_dict(path).items()}
    wanted = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    is_finite = all(bool(np.isfinite(value).all()) for value in state.values())
    found = {key: value.shape for key, value in state.items()}
    check_fit(found, wanted, is_finite=is_finite, network=name, origin=str(path))
    encoder.load(state)
    return encoder.eval()
