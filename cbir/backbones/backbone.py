"""Which backbones there are, and what is known of each without importing torch.

`choose` turns what the user said (or did not say) into a `Backbone`: all that an index has to remember of the
network that made it, and all that an engine needs to run it.
"""

from __future__ import annotations

import os
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.backbones.catalog import BUNDLED, KNOWN, PREFERRED
from cbir.backbones.weights import Weights, bundled_weights, hub_file, is_remembered, remember
from cbir.errors import WeightsError
from cbir.images.fit import Preprocessing

if TYPE_CHECKING:
    from cbir.backbones.network import Network


# Names are parts of those of files in the cache.
_NAME = re.compile("[a-z0-9_]{1,64}")


@dataclass(frozen=True)
class Backbone:
    """A network up to its features, with its weights and preprocessing: what makes two indexes comparable."""

    name: str
    dimension: int
    preprocessing: Preprocessing
    weights: Weights

    def to_json(self) -> dict[str, Any]:
        """As the JSON object that `meta.json` keeps."""
        return {
            "name": self.name,
            "dimension": self.dimension,
            "preprocessing": self.preprocessing.to_json(),
            "weights": self.weights.to_json(),
        }

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
        if weights.source == "bundled" and name != BUNDLED:
            raise ValueError(f"no weights of {name} come with cbir")
        return cls(name, dimension, preprocessing, weights)

    def build(self) -> Network:
        """The network in torch, float32, in evaluation mode, with its weights (read and checked).

        WeightsError where they are not to be had, or only an index wants random ones in a network that may be of any
        size; ModelError where its preprocessing is another network's.
        """
        if self.name == BUNDLED:
            from cbir.backbones.efficientnet_lite import build

            return build(self.name, self.weights)
        weights = self.weights
        is_wanted = self.name in KNOWN or weights.is_chosen or is_remembered(weights.identity, self.name)
        if weights.source == "untrained" and not is_wanted:
            raise WeightsError(
                f"The index says that it was made by an untrained {self.name}, which was not used here before. "
                "If you want that, say so once with --weights untrained."
            )
        from cbir.backbones.torchvision import build as build_torchvision

        return build_torchvision(self.name, weights, self.preprocessing)


def choose(name: str | None = None, weights: str | None = None) -> tuple[Backbone, str | None]:
    """The backbone for a new index, and a line for stderr where the choice was not the user's.

    `name` is `--model`; without it `$CBIR_MODEL`, then `resnet50` if its weights are already in torch's hub
    cache, then the bundled `efficientnet_lite0`. `weights` is `--weights`: a file, or "untrained". A network
    that was asked for and whose weights are missing has them downloaded later, by `Weights.locate`.
    """
    name = name or os.environ.get("CBIR_MODEL") or None
    remark = None
    if name is None:
        preferred = KNOWN[PREFERRED].weights
        if weights is None and preferred is not None and os.path.isfile(hub_file(preferred)):
            name = PREFERRED
            remark = f"Using {name}, whose weights are on this machine. Another network: --model {BUNDLED}."
        else:
            name = BUNDLED
            remark = f"Using {name}, which comes with cbir. Another network: --model {PREFERRED}."
    return describe(name, weights), remark


def describe(name: str, weights: str | None = None) -> Backbone:
    """The backbone `name` with weights as in `choose`; its own where `weights` is None.

    Raises ModelError where there is no such network, WeightsError where the weights' file cannot be read.
    """
    known = KNOWN.get(name)
    if known is None:
        from cbir.backbones.torchvision import describe as describe_torchvision

        known = describe_torchvision(name)
    if weights is not None:
        chosen = named_by_user(weights, name)
    elif known.weights is None:
        chosen = bundled_weights()
    else:
        chosen = Weights.from_hub(known.weights)
    return Backbone(name, known.dimension, known.preprocessing, chosen)


def named_by_user(weights: str, network: str) -> Weights:
    """What `--weights` names: a file, or "untrained". It is remembered, so that indexes may name it from then on."""
    chosen = Weights.untrained() if weights == "untrained" else Weights.from_file(Path(weights))
    if chosen.source == "file" or network not in KNOWN:
        remember(chosen, network)
    return chosen
