"""EfficientNet-Lite for OpenVINO, layer by layer, with BatchNorm folded into the convolution before it.

torch's module is the reference: `tests/backbones/test_efficientnet_lite.py` holds this against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino
from openvino import opset13 as ops

from cbir.backbones.efficientnet_lite_plan import EPSILON, Block, blocks, stages
from cbir.backbones.families import OF_CROPS
from cbir.backbones.state_dict import StateDict
from cbir.backbones.treatment import early
from cbir.images.fit import Preprocessing


def build(name: str, state: StateDict, preprocessing: Preprocessing, graph: str) -> openvino.Model:
    """Build a graph for any number of images, uint8 of shape (n, height, width, 3).

    `graph` is "features", "pooled" or "treated", for images of the network's own side, or "stages", "last_map",
    "place_maps", as the methods of an engine. `state` has the names and shapes of `efficientnet_lite_plan.shapes`.
    """
    side = preprocessing.crop if graph in OF_CROPS else -1
    images = ops.parameter([-1, side, side, 3], np.uint8)
    x = _convolved(_normalised(images, preprocessing), state, "conv_stem", "bn0", stride=2)
    maps = []
    for number, block in enumerate(blocks(name)):
        x = _block(x, state, f"blocks.{number}.", block)
        if number in stages(name):
            maps.append(x)
    if graph == "stages":
        return openvino.Model(maps, [images])
    last_map = _convolved(x, state, "conv_head", "bn1")
    outputs = {
        "features": [_pooled(last_map)],
        "treated": [_pooled(last_map), _moments(early(maps))] if graph == "treated" else [],
        "last_map": [last_map],
        "place_maps": [last_map, maps[-2]],
        "pooled": [_pooled(one) for one in (*maps, last_map)],
    }
    return openvino.Model(outputs[graph], [images])


def _pooled(found: openvino.Node) -> openvino.Node:
    """Add the mean of a map over all places."""
    return ops.reduce_mean(found, np.array([2, 3]))


def _moments(maps: Sequence[openvino.Node]) -> openvino.Node:
    """Add what `treatment.moments` computes."""
    found = []
    places = np.array([2, 3])
    for map_ in maps:
        mean = ops.reduce_mean(map_, places, keep_dims=True)
        found += [ops.squeeze(mean, places), ops.sqrt(ops.reduce_mean(ops.squared_difference(map_, mean), places))]
    return ops.concat(found, 1)


def _normalised(images: openvino.Node, preprocessing: Preprocessing) -> openvino.Node:
    """Turn images into what the network takes: float32, (n, 3, height, width)."""
    mean, std = (np.array(one, np.float32).reshape(1, 3, 1, 1) for one in (preprocessing.mean, preprocessing.std))
    channels_first = ops.transpose(images, np.array([0, 3, 1, 2]))
    return ops.multiply(ops.subtract(ops.convert(channels_first, "f32"), mean), 1 / std)


def _block(x: openvino.Node, state: StateDict, here: str, block: Block) -> openvino.Node:
    y = x
    if block.expansion != 1:
        y = _convolved(y, state, f"{here}expand_conv", f"{here}bn0")
    y = _convolved(y, state, f"{here}depthwise_conv", f"{here}bn1", stride=block.stride, is_depthwise=True)
    y = _convolved(y, state, f"{here}project_conv", f"{here}bn2", is_rectified=False)
    return ops.add(x, y) if block.is_residual else y


def _convolved(
    x: openvino.Node,
    state: StateDict,
    conv: str,
    norm: str,
    *,
    stride: int = 1,
    is_depthwise: bool = False,
    is_rectified: bool = True,
) -> openvino.Node:
    """Add a convolution with its BatchNorm and ReLU6, padded as TensorFlow does: more at the bottom and right."""
    weight, bias, mean, variance = (
        state[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight / np.sqrt(variance.astype(np.float64) + EPSILON)
    kernels = (state[f"{conv}.conv.weight"] * scale[:, np.newaxis, np.newaxis, np.newaxis]).astype(np.float32)
    offset = (bias - mean * scale).astype(np.float32).reshape(1, -1, 1, 1)
    begins, ends = zip(*(_padding(x, axis, kernels.shape[axis], stride) for axis in (2, 3)), strict=True)
    where = ([stride] * 2, begins, ends, [1, 1])
    if is_depthwise:  # (groups, outputs a group, inputs a group, rows, columns)
        y = ops.group_convolution(x, kernels[:, np.newaxis], *where)
    else:
        y = ops.convolution(x, kernels, *where)
    y = ops.add(y, offset)
    return ops.clamp(y, 0.0, 6.0) if is_rectified else y


def _padding(x: openvino.Node, axis: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's padding before and after; sides that the graph leaves open are multiples of 32."""
    length = x.get_output_partial_shape(0)[axis]
    rest = length.get_length() % stride if length.is_static else 0
    total = max(kernel - (rest or stride), 0)
    return total // 2, total - total // 2
