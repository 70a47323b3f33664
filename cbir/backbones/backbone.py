"""A backbone, all that an index remembers of its network and that an engine needs to run it, and the choice of one."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cbir.backbones.catalog import BUNDLED, KNOWN, MODALITIES, PREFERRED, Known
from cbir.backbones.families import FAMILIES, TextFamily, Tokens, family_of
from cbir.backbones.weights import Weights, WeightsFile, hub_file, is_remembered, remember
from cbir.errors import ModelError, WeightsError
from cbir.images.fit import Preprocessing

if TYPE_CHECKING:
    from torch import nn

    from cbir.backbones.network import Network


# Names are parts of those of files in the cache.
_NAME = re.compile("[a-z0-9_]{1,64}")


@dataclass(frozen=True)
class Backbone:
    """A network up to its features, with its weights and preprocessing: what makes two indexes comparable.

    `modalities` are what it turns into features that can be compared with each other: ("image",) or ("image", "text").
    """

    name: str
    dimension: int
    preprocessing: Preprocessing
    weights: Weights
    modalities: tuple[str, ...] = ("image",)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `meta.json` keeps; it names modalities where there are others than images."""
        record = {
            "name": self.name,
            "dimension": self.dimension,
            "preprocessing": self.preprocessing.to_json(),
            "weights": self.weights.to_json(),
        }
        return record if self.modalities == ("image",) else {**record, "modalities": list(self.modalities)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Backbone:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        name, dimension = record["name"], record["dimension"]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"no backbone is called {reprlib.repr(name)}")
        if type(dimension) is not int or not 1 <= dimension <= 100_000:
            raise ValueError(f"impossible number of features: {reprlib.repr(dimension)}")
        preprocessing = Preprocessing.from_json(record["preprocessing"])
        if name in KNOWN and preprocessing != KNOWN[name].preprocessing:
            raise ValueError(f"its preprocessing is not that of {name}")
        weights = Weights.from_json(record["weights"])
        if weights.source == "bundled" and name not in FAMILIES:
            raise ValueError(f"no weights of {name} come with cbir")
        modalities = record.get("modalities", ["image"])
        if modalities not in (["image"], list(MODALITIES)) or (name in KNOWN and modalities != ["image"]):
            raise ValueError(f"impossible modalities of {name}: {reprlib.repr(modalities)}")
        return cls(name, dimension, preprocessing, weights, tuple(modalities))

    def build(self) -> Network:
        """Build the network in torch, float32, in evaluation mode, with its weights (read and checked).

        WeightsError where they are not to be had, or only an index wants random ones in a network that may be of any
        size; ModelError where its preprocessing is another network's.
        """
        weights = self.weights
        is_wanted = self.name in KNOWN or weights.is_chosen or is_remembered(weights.identity, self.name)
        if weights.source == "untrained" and not is_wanted:
            raise WeightsError(
                f"The index says that it was made by an untrained {self.name}, which was not used here before. "
                "If you want that, say so once with --weights untrained."
            )
        return family_of(self.name).build(self.name, weights, self.preprocessing)

    def build_text(self) -> nn.Module:
        """Build the text encoder in torch, from `tokens` to features (n, dimension). ModelError where there is none."""
        return self._text_family().build_text(self.name, self.weights)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Turn n texts into what the text encoder takes, shape (n, length). ModelError where there is none."""
        return self._text_family().tokens(self.name, texts)

    def _text_family(self) -> TextFamily:
        family = family_of(self.name)
        if "text" not in self.modalities or not hasattr(family, "build_text"):
            raise ModelError(f"The network {self.name} knows images only, and no text.")
        return cast(TextFamily, family)


def choose(name: str | None = None, weights: str | None = None) -> tuple[Backbone, str | None]:
    """Choose the backbone for a new index; with it comes a line for stderr where the choice was not the user's.

    `name` is `--model`; without it `$CBIR_MODEL`, then `resnet50` if its weights are already in torch's hub
    cache, then the bundled `efficientnet_lite0`. `weights` is `--weights`: a file, or "untrained". A network
    that was asked for and whose weights are missing has them downloaded later, by `Weights.locate`.
    """
    name = name or os.environ.get("CBIR_MODEL") or None
    remark = None
    if name is None:
        preferred = KNOWN[PREFERRED].weights
        if weights is None and isinstance(preferred, WeightsFile) and os.path.isfile(hub_file(preferred)):
            name = PREFERRED
            remark = f"Using {name}, whose weights are on this machine. Another network: --model {BUNDLED}."
        else:
            name = BUNDLED
            remark = f"Using {name}, which comes with cbir. Another network: --model {PREFERRED}."
    return describe(name, weights), remark


def describe(name: str, weights: str | None = None) -> Backbone:
    """Describe the backbone `name` with weights as in `choose`; its own where `weights` is None.

    Raises ModelError where there is no such network, WeightsError where the weights' file cannot be read.
    """
    known = known_of(name)
    chosen = known.own_weights() if weights is None else named_by_user(weights, name)
    return Backbone(name, known.dimension, known.preprocessing, chosen, known.modalities)


def known_of(name: str) -> Known:
    """Return what is known of a network, from its family where the catalog has it not. ModelError if there is none."""
    return KNOWN.get(name) or family_of(name).describe(name)


def named_by_user(weights: str, network: str) -> Weights:
    """Return the weights that `--weights` names, a file or "untrained", and let indexes name them from then on."""
    chosen = Weights.untrained() if weights == "untrained" else Weights.from_file(Path(weights))
    if chosen.source == "file" or network not in KNOWN:
        remember(chosen, network)
    return chosen
