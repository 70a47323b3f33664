"""The family of EfficientNet-Lite. Neither its weights nor its graphs for OpenVINO need torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cbir.backbones.catalog import KNOWN, Known
from cbir.backbones.efficientnet_lite_plan import shapes
from cbir.backbones.state_dict import StateDict, read_state_dict
from cbir.backbones.weights import Weights, check_fit, head_in
from cbir.images.fit import Preprocessing
from cbir.utils.packages import check_torch
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    import openvino

    from cbir.backbones.network import Network


def describe(name: str) -> Known:
    """Describe the network."""
    return KNOWN[name]


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
    """Build the network in torch with `weights`, float32, in evaluation mode."""
    check_torch(f"{name} in torch")
    from cbir.backbones import efficientnet_lite_torch
    from cbir.backbones.network import Network

    state = None if weights.source == "untrained" else _read(name, weights)
    return Network(efficientnet_lite_torch.build(name, state), preprocessing).eval()


def build_graph(name: str, weights: Weights, preprocessing: Preprocessing, graph: str) -> openvino.Model:
    """Build what `Family.build` builds, or its maps, for OpenVINO. Random weights come from torch."""
    from cbir.backbones import efficientnet_lite_graph

    return efficientnet_lite_graph.build(name, _state(name, weights), preprocessing, graph)


def read_head(name: str, weights: Weights, dimension: int) -> Floats | str:
    """Read the last layer, as of `weights.head_in`."""
    return head_in(read_state_dict(weights.locate(name)), "_fc", dimension)


def _state(name: str, weights: Weights) -> StateDict:
    if weights.source != "untrained":
        return _read(name, weights)
    check_torch(f"{name} with random weights")
    from cbir.backbones import efficientnet_lite_torch

    return {key: value.numpy() for key, value in efficientnet_lite_torch.build(name, None).state_dict().items()}


def _read(name: str, weights: Weights) -> StateDict:
    """Read weights, all but the classifier's checked, by the names of `efficientnet_lite_plan.shapes`."""
    path = weights.locate(name)
    state = {_translate(key): value for key, value in read_state_dict(path).items()}
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    wanted = {key: shape for key, shape in shapes(name).items() if not key.startswith("fc.")}
    # of training, and of no use
    counters = {key.replace("running_var", "num_batches_tracked") for key in wanted if key.endswith("running_var")}
    found = {key: value.shape for key, value in state.items() if key not in counters}
    is_finite = all(bool(np.isfinite(value).all()) for value in state.values())
    check_fit(found, wanted, is_finite=is_finite, network=name, origin=str(path))
    return {key: value.astype(np.float32) for key, value in state.items() if key in wanted}


def _translate(key: str) -> str:
    """Translate a published key into this project's names: `_blocks.0._bn1.bias` is `blocks.0.bn1.bias`."""
    parts = [part.removeprefix("_") for part in key.split(".")]
    if len(parts) >= 2 and "conv" in parts[-2] and parts[-1] == "weight":
        parts.insert(-1, "conv")
    return ".".join(parts)
