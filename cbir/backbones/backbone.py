"""A backbone, all that an index remembers of its network and that an engine needs to run it, and the choice of one."""

from __future__ import annotations

import hashlib
import os
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cbir.backbones.catalog import BUNDLED, KNOWN, MODALITIES, PREFERRED, Known
from cbir.backbones.families import (
    FAMILIES,
    Family,
    GraphFamily,
    TextFamily,
    Tokens,
    check_family,
    family_of,
    is_known_name,
    needs_torch,
    split,
    stored_name,
)
from cbir.backbones.names import JOINT, ONNX, prefix_of
from cbir.backbones.weights import ELSEWHERE, Weights, WeightsFile, hub_file, is_remembered, remember
from cbir.errors import ModelError, WeightsError
from cbir.images.fit import Preprocessing
from cbir.images.fitted import Fitted, Framing
from cbir.utils.packages import has_torch
from cbir.utils.printable import shortened

if TYPE_CHECKING:
    import openvino
    from torch import nn

    from cbir.backbones.network import Network


#: Networks of one backbone at most: each has to see every picture, and its numbers are kept of each.
MOST_NETWORKS = 4

#: Views of a picture that a network may see: the usual crop, and the whole squashed to a square.
MOST_VIEWS = 2


@dataclass(frozen=True)
class Backbone:
    """A network up to its features, with its weights and preprocessing: what makes two indexes comparable.

    `modalities` are what it turns into features that can be compared with each other: ("image",) or ("image", "text").
    The network sees so many `views` of a picture. With `members`, it is several networks as one: `dimension` is that of
    their features joined, `preprocessing` is the first one's, and `weights` stand for all of theirs.
    """

    name: str
    dimension: int
    preprocessing: Preprocessing
    weights: Weights
    modalities: tuple[str, ...] = ("image",)
    views: int = 1
    members: tuple[Backbone, ...] = ()

    @property
    def networks(self) -> tuple[Backbone, ...]:
        """Its networks, each as a backbone that sees one view."""
        return self.members or (replace(self, views=1),)

    @property
    def first(self) -> Backbone:
        """The first network, which knows maps and classes."""
        return self.networks[0]

    @property
    def reads_text(self) -> bool:
        """True if a text has a feature, too, by one of its networks at least."""
        return "text" in self.modalities

    @property
    def is_plain(self) -> bool:
        """True if it is one network that sees one view."""
        return not self.members and self.views == 1

    @property
    def is_elsewhere(self) -> bool:
        """True if cbir does not have the network: features that it made elsewhere were imported."""
        return self.weights.source == ELSEWHERE

    @property
    def view(self) -> Fitted:
        """The view of an image that it takes."""
        framings = [
            Framing(network.preprocessing, is_squashed)
            for network in self.networks
            for is_squashed in (False, True)[: self.views]
        ]
        return Fitted(self.preprocessing, tuple(framings[1:]))

    @property
    def label(self) -> str:
        """Its name for people, with the number of views where there are several."""
        return self.name if self.views == 1 else f"{self.name}, {self.views} views"

    def matches(self, other: Backbone) -> bool:
        """Tell whether features made by the two can be compared."""
        return (self.name, self.views) == (other.name, other.views) and self.weights.matches(other.weights)

    def difference(self, other: Backbone) -> str | None:
        """Tell in words in which respect features made by the two cannot be compared; None where they can."""
        same = {
            f"network ({self.name}, not {other.name})": self.name == other.name,
            "number of features": self.dimension == other.dimension,
            "weights": self.weights.matches(other.weights),
            "preprocessing, or other views": self.view == other.view,
        }
        return next((what for what, is_same in same.items() if not is_same), None)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `meta.json` keeps, with modalities, views and members only where they matter."""
        record: dict[str, Any] = {"name": self.name, "dimension": self.dimension}
        if self.members:
            record["members"] = [member.to_json() for member in self.members]
        else:
            record |= {"preprocessing": self.preprocessing.to_json(), "weights": self.weights.to_json()}
        if self.modalities != ("image",):
            record["modalities"] = list(self.modalities)
        return record if self.views == 1 else {**record, "views": self.views}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Backbone:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        views = record.get("views", 1)
        if type(views) is not int or not 1 <= views <= MOST_VIEWS:
            raise ValueError(f"impossible number of views: {reprlib.repr(views)}")
        members = record.get("members")
        if members is None:
            return replace(cls._one_from_json(record), views=views)
        if not isinstance(members, list) or len(members) > MOST_NETWORKS:
            raise ValueError(f"impossible networks: {reprlib.repr(members)}")
        try:
            joined = join([cls._one_from_json(member) for member in members])
        except ModelError as error:
            raise ValueError(str(error)) from error
        if (record["name"], record["dimension"]) != (joined.name, joined.dimension):
            raise ValueError(f"it is not {reprlib.repr(record['name'])}, but {joined.name}")
        return replace(joined, views=views)

    @classmethod
    def _one_from_json(cls, record: dict[str, Any]) -> Backbone:
        """Read one network, of one view."""
        name, dimension = record["name"], record["dimension"]
        if not is_known_name(name):
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

    @property
    def has_graph(self) -> bool:
        """True if `build_graph` builds it, and it needs no conversion from torch."""
        return not self.is_elsewhere and not needs_torch(self.name) and hasattr(family_of(self.name), "build_graph")

    @property
    def runs_in_torch(self) -> bool:
        """True if `build` builds it."""
        return prefix_of(self.name) != ONNX

    def build_graph(self, graph: str) -> openvino.Model | None:
        """Build a graph for OpenVINO, as of `GraphFamily`; None where the network has to be converted from torch.

        Errors as of `build`.
        """
        family = self._checked_family()
        if not hasattr(family, "build_graph"):
            return None
        return cast(GraphFamily, family).build_graph(self.name, self.weights, self.preprocessing, graph)

    def build(self) -> Network:
        """Build the network in torch, float32, in evaluation mode, with its weights (read and checked).

        WeightsError where they are not to be had, or only an index wants random ones in a network that may be of any
        size; ModelError where its preprocessing is another network's.
        """
        return self._checked_family().build(self.name, self.weights, self.preprocessing)

    def check_here(self) -> None:
        """Raise ModelError, which says what to do, where cbir does not have the network."""
        if self.is_elsewhere:
            raise ModelError(
                f"The features are by {self.name}, which made them elsewhere, and cbir does not have it: search by "
                "pictures that are in the index, or by vectors (--vectors), and import what is new."
            )

    def _checked_family(self) -> Family:
        weights = self.weights
        self.check_here()
        is_wanted = self.name in KNOWN or weights.is_chosen or is_remembered(weights.identity, self.name)
        if weights.source == "untrained" and not is_wanted:
            raise WeightsError(
                f"The index says that it was made by an untrained {self.name}, which was not used here before. "
                "If you want that, say so once with --weights untrained."
            )
        return family_of(self.name)

    def build_text(self) -> nn.Module:
        """Build the text encoder in torch, from `tokens` to features (n, dimension). ModelError where there is none."""
        return self._text_family().build_text(self.name, self.weights)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Turn n texts into what the text encoder takes, shape (n, length). ModelError where there is none."""
        return self._text_family().tokens(self.name, texts)

    def _text_family(self) -> TextFamily:
        self.check_text()
        return cast(TextFamily, family_of(self.name))

    def check_text(self) -> None:
        """Raise ModelError where it has no text encoder, whatever an index says."""
        if not self.reads_text or not (self.members or hasattr(family_of(self.name), "build_text")):
            raise ModelError(f"The network {self.name} knows images only, and no text.")


def choose(name: str | None = None, weights: str | None = None, views: int = 1) -> tuple[Backbone, str | None]:
    """Choose the backbone for a new index; with it comes a line for stderr where the choice was not the user's.

    `name` is `--model`; without it `$CBIR_MODEL`, then `resnet50` if its weights are already in torch's hub
    cache, then the bundled `efficientnet_lite0`. `weights` is `--weights`: a file, or "untrained". A network
    that was asked for and whose weights are missing has them downloaded later, by `Weights.locate`. `views` is as in
    `describe`.
    """
    name = name or os.environ.get("CBIR_MODEL") or None
    remark = None
    if name is None:
        preferred = KNOWN[PREFERRED].weights
        is_here = isinstance(preferred, WeightsFile) and os.path.isfile(hub_file(preferred))
        if weights is None and is_here and has_torch():
            name = PREFERRED
            remark = f"Using {name}, whose weights are on this machine. Another network: --model {BUNDLED}."
        else:
            name = BUNDLED
            remark = f"Using {name}, which comes with cbir. Another network: --model {PREFERRED}."
    return describe(name, weights, views), remark


def describe_or_bundled(name: str | None, weights: str | None = None) -> Backbone:
    """Describe the backbone `name`, without it that of `$CBIR_MODEL`, else the bundled one, for what suits that best.

    `weights` are as in `choose`; raises as `describe`.
    """
    return describe(name or os.environ.get("CBIR_MODEL") or BUNDLED, weights)


def describe(name: str, weights: str | None = None, views: int = 1) -> Backbone:
    """Describe the backbone `name` with weights as in `choose`; its own where `weights` is None.

    Names with JOINT between them are several networks as one, each with its own weights; they see so many `views`.
    Raises ModelError where there is no such network, WeightsError where the weights' file cannot be read, or is to be
    that of several networks.
    """
    names = split(name)
    if len(names) == 1:
        return replace(_describe_one(name, weights), views=views)
    if weights is not None:
        raise WeightsError(f"{name} are {len(names)} networks, each with its own weights: leave --weights out.")
    return replace(join([_describe_one(one) for one in names]), views=views)


def join(members: Sequence[Backbone]) -> Backbone:
    """Join networks into a backbone of one view. ModelError where one comes twice, or they are too few or too many."""
    names = [member.name for member in members]
    name = JOINT.join(names)
    if not 2 <= len(members) <= MOST_NETWORKS:
        raise ModelError(f"{name or 'Nothing'} cannot be joined: name 2 to {MOST_NETWORKS} networks.")
    twice = [one for one in names if names.count(one) > 1]
    if twice:
        raise ModelError(f"{name} has {twice[0]} twice, which would tell no more of a picture: name it once.")
    identities = " ".join(member.weights.identity for member in members)
    return Backbone(
        name,
        sum(member.dimension for member in members),
        members[0].preprocessing,
        Weights(hashlib.sha256(identities.encode("ascii")).hexdigest(), "several"),
        modalities=max((member.modalities for member in members), key=len),
        members=tuple(members),
    )


def _describe_one(name: str, weights: str | None = None) -> Backbone:
    """Describe one network that sees one view."""
    is_file = prefix_of(name) == ONNX
    if is_file and weights is not None:
        raise WeightsError(f"{name} is the file of its weights: leave --weights out.")
    name = name if is_file else stored_name(name)
    check_family(name)  # before anything is downloaded
    known = known_of(name)
    chosen = known.own_weights() if weights is None else named_by_user(weights, name)
    return Backbone(known.name or name, known.dimension, known.preprocessing, chosen, known.modalities)


def elsewhere(name: str, dimension: int) -> Backbone:
    """Describe a network that cbir does not have and that people call so, by which features were made elsewhere.

    ModelError where no name is left of it, or cbir has a network of that name.
    """
    short = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")[:64]
    if not short:
        raise ModelError(f"{shortened(name)} is no name of a network: one has letters or digits.")
    if short in KNOWN or short in FAMILIES:
        raise ModelError(
            f"cbir has a network {short}: if that made the features, say so with --model {short}; if not, give it "
            "another name."
        )
    identity = hashlib.sha256(f"elsewhere {short}".encode("ascii")).hexdigest()
    # nothing is ever fitted to it, but a backbone has one
    return Backbone(short, dimension, KNOWN[BUNDLED].preprocessing, Weights(identity, ELSEWHERE))


def known_of(name: str) -> Known:
    """Return what is known of a network, from its family where the catalog has it not. ModelError if there is none."""
    return KNOWN.get(name) or family_of(name).describe(name)


def named_by_user(weights: str, network: str) -> Weights:
    """Return the weights that `--weights` names, a file or "untrained", and let indexes name them from then on."""
    chosen = Weights.untrained() if weights == "untrained" else Weights.from_file(Path(weights))
    if chosen.source == "file" or network not in KNOWN:
        remember(chosen, network)
    return chosen
