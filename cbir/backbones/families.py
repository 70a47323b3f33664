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
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
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


class TextFamily(Family, Protocol):
    """A family whose networks have a text encoder as well: "text" is among their modalities."""

    def tokens(self, name: str, texts: Sequence[str]) -> Tokens:
        """Turn n texts into what the text encoder takes, shape (n, length), the length always the same."""

    def build_text(self, name: str, weights: Weights) -> nn.Module:
        """Build the text encoder in torch, float32: from tokens (n, length) to features (n, dimension)."""


def family_of(name: str) -> Family:
    """Import the family of a network; torchvision's for a name that no other has."""
    return cast(Family, importlib.import_module(FAMILIES.get(name, _OTHERS)))
