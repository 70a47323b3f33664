"""Families of networks, and which of them a network belongs to.

A family is a module with the functions of `Family`. A new one is that module, and a line in PREFIXES, or in FAMILIES
where its networks have names of their own. Names in an index are a stranger's: nothing but these tables says what is
imported.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import numpy.typing as npt

from cbir.backbones.catalog import FAKES, Known
from cbir.backbones.names import JOINT, ONNX, PLAIN, is_name, of_file, prefix_of
from cbir.backbones.weights import PACKAGES, Weights
from cbir.errors import ModelError, reason_of
from cbir.images.fit import Preprocessing
from cbir.utils.packages import check_torch, has_torch
from cbir.utils.printable import shortened
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    import openvino
    from torch import nn

    from cbir.backbones.network import Network


@dataclass(frozen=True)
class Library:
    """A library whose networks are named PREFIX:NAME: the module of the family, and the package that it imports.

    An extra of cbir that has the prefix's name installs that. Without one, not even torch is needed. `form` is how its
    networks are named, `what` says of which kind they are, and `examples` are names that need not be looked up.
    """

    module: str
    package: str | None = None
    form: str = ""
    what: str = ""
    examples: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """True if its package, and torch where that needs it, are installed."""
        return self.package is None or (has_torch() and find_spec(self.package) is not None)

    def names(self) -> list[str] | None:
        """List the names of its networks that have published weights; None where it cannot be asked."""
        if self.package is None or not self.is_here:
            return None
        try:
            return list(importlib.import_module(self.module).names())
        except Exception as error:  # whatever another library, or one of another version, raises when it is loaded
            logger.warning("%s cannot be asked for its networks: %s", self.package, reason_of(error))
            return None


#: Libraries by the prefixes of their networks' names.
PREFIXES = {
    "clip": Library(
        "cbir.backbones.clip",
        "open_clip",
        "clip:ARCH/TAG",
        "open_clip's, which read sentences, too",
        (
            "clip:ViT-B-32/laion2b_s34b_b79k",
            "clip:ViT-B-16-SigLIP/webli",
            "clip:MobileCLIP-S1/datacompdr",
            "clip:EVA02-B-16/merged2b_s8b_b131k",
        ),
    ),
    "timm": Library(
        "cbir.backbones.timm",
        "timm",
        "timm:NAME",
        "timm's",
        ("timm:vit_small_patch14_dinov2.lvd142m", "timm:convnext_tiny.fb_in22k"),
    ),
    "onnx": Library("cbir.backbones.onnx", None, "onnx:FILE", "your own, in a file", ("onnx:net.onnx",)),
}

#: The modules of networks by name.
FAMILIES = {
    **dict.fromkeys(PACKAGES, "cbir.backbones.efficientnet_lite"),
    **dict.fromkeys(FAKES, "cbir.backbones.fake"),
    "toy": "cbir.backbones.toy",
}

#: The family of all other names without a prefix.
_OTHERS = "cbir.backbones.torchvision"

#: The library of these names, which one may write with a prefix.
TORCHVISION = Library(
    _OTHERS,
    "torchvision",
    f"NAME or {PLAIN}:NAME",
    "torchvision's that classify",
    ("resnet50", "vgg16", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t"),
)

# The name of an output, in that of a network.
_OUTPUT = re.compile("/[^,]*")

Tokens = npt.NDArray[np.int64]

logger = logging.getLogger("cbir")


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


#: The graphs of images of the network's own side; the others take any that their maps fit into.
OF_CROPS = ("features", "pooled", "treated")


class GraphFamily(Family, Protocol):
    """A family whose networks are built for OpenVINO without torch; those of others are converted from torch."""

    def build_graph(self, name: str, weights: Weights, preprocessing: Preprocessing, graph: str) -> openvino.Model:
        """Build "features", "stages", "last_map", "place_maps", "pooled" or "treated", as the methods of an engine.

        It takes any number of images: uint8 (n, height, width, 3), of the network's crop for "features", "pooled" and
        "treated". Errors as of `build`; ModelError where there are no such maps.
        """


class TextFamily(Family, Protocol):
    """A family whose networks have a text encoder as well: "text" is among their modalities."""

    def tokens(self, name: str, texts: Sequence[str]) -> Tokens:
        """Turn n texts into what the text encoder takes, shape (n, length), the length always the same."""

    def build_text(self, name: str, weights: Weights) -> nn.Module:
        """Build the text encoder in torch, float32: from tokens (n, length) to features (n, dimension)."""


def split(name: str) -> list[str]:
    """Return the names of networks that a user joins with JOINT; a file's may have that in it."""
    return [name] if _is_file(name) else name.split(JOINT)


def stored_name(name: str) -> str:
    """Return the name that an index keeps of a network, or of several joined, that a user names so.

    The name of an ONNX file's output may follow it there. ModelError where it can be none, or words behind a file are
    none.
    """
    return JOINT.join(_stored_name(one) for one in split(name))


def is_same(asked: str, stored: str) -> bool:
    """Tell whether a user's name of a network, or of several, is that of an index."""
    plain = (_OUTPUT.sub("", one) if prefix_of(one) == ONNX else one for one in stored.split(JOINT))
    return stored_name(asked) == JOINT.join(plain)


def _stored_name(name: str) -> str:
    if prefix_of(name) == ONNX:
        from cbir.backbones.onnx_words import named, split_words, words_behind

        file = split_words(name).file
        if not is_name(name) or file.endswith(f".{ONNX}") or os.path.isfile(file):
            return named(of_file(file), words_behind(name))
    stored = name.removeprefix(f"{PLAIN}:")
    if stored != name and stored in FAMILIES:
        raise ModelError(f"torchvision has no network {stored}: it comes with cbir, and {stored} is all of its name.")
    return stored


def _is_file(name: str) -> bool:
    if prefix_of(name) != ONNX:
        return False
    from cbir.backbones.onnx_words import split_words

    file, words = split_words(name)
    return os.path.isfile(file) and JOINT not in words


def is_known_name(name: object) -> bool:
    """Tell whether something has the form of a name that `stored_name` returns."""
    return is_name(name) and prefix_of(cast(str, name)) in ("", *PREFIXES)


def needs_torch(name: str) -> bool:
    """Tell whether the network of a name is made in torch."""
    library = PREFIXES.get(prefix_of(name))
    return name not in FAMILIES and (library is None or library.package is not None)


def check_family(name: str) -> None:
    """Raise ModelError where no family has names of that form, or a package that it needs is not installed.

    Of torch that is TorchMissingError.
    """
    prefix = prefix_of(name)
    if prefix and prefix not in PREFIXES:
        prefixes = ", ".join(f"{one}:" for one in (PLAIN, *PREFIXES))
        raise ModelError(f"There is no backbone {shortened(name)}. Prefixes of names are {prefixes}.")
    if not needs_torch(name):
        return
    if prefix and not is_known_name(name):
        raise ModelError(
            f"There is no backbone {shortened(name)}: behind {prefix}: stand letters, digits, _, ., - and one /."
        )
    check_torch(f"The network {shortened(name)}")
    library = PREFIXES.get(prefix)
    if library is not None and library.package is not None and find_spec(library.package) is None:
        raise ModelError(
            f"The network {shortened(name)} needs the package {library.package}, which is not installed here: "
            f"`pip install 'cbir[{prefix}]'` adds it."
        )


def family_of(name: str) -> Family:
    """Import the family of a network; torchvision's for a plain name that no other has. Errors as of `check_family`."""
    check_family(name)
    library = PREFIXES.get(prefix_of(name))
    return cast(Family, importlib.import_module(library.module if library else FAMILIES.get(name, _OTHERS)))
