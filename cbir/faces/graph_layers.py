"""Layers as parts of a graph of OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino
from openvino import opset1
from openvino import opset13 as ops

from cbir.faces.layers import Build, Layers
from cbir.utils.vectors import Floats


class GraphLayers(Layers[openvino.Node]):
    """Layers that make nodes of a graph."""

    def normalised(self, images: openvino.Node, mean: Sequence[float], divisor: float) -> openvino.Node:
        channels_first = ops.convert(ops.transpose(images, np.array([0, 3, 1, 2])), "f32")
        offset = np.array(mean, np.float32).reshape(1, 3, 1, 1)
        return ops.multiply(ops.subtract(channels_first, offset), np.float32(1 / divisor))

    def conv(
        self, x: openvino.Node, kernels: Floats, bias: Floats, *, stride: int = 1, padding: int = 0
    ) -> openvino.Node:
        around = [padding, padding]
        found = ops.convolution(x, np.ascontiguousarray(kernels), [stride, stride], around, around, [1, 1])
        return ops.add(found, np.asarray(bias, np.float32).reshape(1, -1, 1, 1))

    def dense(self, x: openvino.Node, weights: Floats, bias: Floats | None = None) -> openvino.Node:
        found = ops.matmul(x, np.ascontiguousarray(weights), False, False)
        return found if bias is None else ops.add(found, np.asarray(bias, np.float32).reshape(1, -1))

    def relu(self, x: openvino.Node) -> openvino.Node:
        return ops.relu(x)

    def prelu(self, x: openvino.Node, slopes: Floats) -> openvino.Node:
        return ops.prelu(x, np.asarray(slopes, np.float32).ravel())

    def max_pool(self, x: openvino.Node, side: int, *, is_padded: bool = False) -> openvino.Node:
        rounding = "ceil" if is_padded else "floor"
        # that of later sets has a second output
        return opset1.max_pool(x, [2, 2], [0, 0], [0, 0], [side, side], rounding)

    def mean_pool(self, x: openvino.Node) -> openvino.Node:
        return ops.avg_pool(x, [2, 2], [0, 0], [0, 0], [2, 2], True, "floor")

    def add(self, x: openvino.Node, y: openvino.Node) -> openvino.Node:
        sides = [[int(one.get_length()) for one in list(node.get_output_partial_shape(0))[1:]] for node in (x, y)]
        wanted = [max(pair) for pair in zip(*sides, strict=True)]
        return ops.add(*(_grown(node, has, wanted) for node, has in zip((x, y), sides, strict=True)))

    def mean(self, x: openvino.Node) -> openvino.Node:
        return ops.reduce_mean(x, np.array([2, 3]))

    def flat(self, x: openvino.Node) -> openvino.Node:
        return ops.reshape(ops.transpose(x, np.array([0, 3, 2, 1])), np.array([0, -1]), True)

    def second(self, x: openvino.Node) -> openvino.Node:
        first, other = ops.split(x, 1, 2).outputs()
        return ops.sigmoid(ops.subtract(other, first))


def build(network: Build, shape: Sequence[int]) -> openvino.Model:
    """Build the graph of a network for images of a shape; -1 for any number."""
    images = ops.parameter(list(shape), np.uint8)
    return openvino.Model(list(network(GraphLayers(), images)), [images])


def _grown(x: openvino.Node, has: Sequence[int], wanted: Sequence[int]) -> openvino.Node:
    if list(has) == list(wanted):
        return x
    more = [0, *(want - have for want, have in zip(wanted, has, strict=True))]
    return ops.pad(x, np.zeros(4, np.int64), np.array(more), "constant", np.float32(0))
