"""Families of networks, and which of them a network belongs to.

A family is a module with the functions of `Family`. A new one is that module, and a line in FAMILIES.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import numpy.typing as npt

from cbir.backbones.catalog import FAKES, Known
from cbir.backbones.weights import PACKAGES, Weights
from cbir.images.fit import Preprocessing
from cbir.utils.packages import check_torch
from cbir.utils.printable import shortened
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    import openvino
    from torch import nn

    from cbir.backbones.network import Network

#: The modules of networks by name. Names in an index are a stranger's: nothing but this table says what is imported.
FAMILIES = {
    **dict.fromkeys(PACKAGES, "cbir.backbones.efficientnet_lite"),
    **dict.fromkeys(FAKES, "cbir.backbones.fake"),
}

#: The family of all other names.
_OTHERS = "cbir.backbones.torchvision"

Tokens = npt.NDArray[np.int64]


class Family(Protocol):
    """A module that knows the networks of one kind. It is imported when catalog.KNOWN does not suffice."""

    def describe(self, name: str) -> Known:
        """Describe a network. ModelError where there is none of that name."""

    def build(self, name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
        """Build a network up to its features in torch, float32, in evaluation mode, with `weights`.

        WeightsError where they do not fit, ModelError where the preprocessing is not the network's own.
        """

    def read_head(self, name: str, weights: Weights, dimension: int) -> Floats | str:
        """Read the layer that classifies features, shape (1000, dimension + 1), biases last, as of `weights.head_in`.

        Without ImageNet's classes, return what the weights have instead, to follow "The weights of NAME".
        """


class GraphFamily(Family, Protocol):
    """A family whose networks are built for OpenVINO without torch; those of others are converted from torch."""

    def build_graph(self, name: str, weights: Weights, preprocessing: Preprocessing, graph: str) -> openvino.Model:
        """Build "features", "stages", "last_map" or "place_maps", as the methods of an engine. Errors as of `build`.

        It takes any number of images: uint8 (n, height, width, 3), of the network's crop for "features".
        """


class TextFamily(Family, Protocol):
    """A family whose networks have a text encoder as well: "text" is among their modalities."""

    def tokens(self, name: str, texts: Sequence[str]) -> Tokens:
        """Turn n texts into what the text encoder takes, shape (n, length), the length always the same."""

    def build_text(self, name: str, weights: Weights) -> nn.Module:
        """Build the text encoder in torch, float32: from tokens (n, length) to features (n, dimension)."""


def check_family(name: str) -> None:
    """Raise TorchMissingError where a network is torchvision's, and that is not installed."""
    if name not in FAMILIES:
        check_torch(f"The network {shortened(name)}")


def family_of(name: str) -> Family:
    """Import the family of a network; torchvision's for a name that no other has. TorchMissingError as of that."""
    check_family(name)
    return cast(Family, importlib.import_module(FAMILIES.get(name, _OTHERS)))
