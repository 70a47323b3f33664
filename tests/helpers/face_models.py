"""Networks for faces as a user may have them, made here: nobody trained them, they see light and dark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

#: Numbers that a face becomes.
DIMENSION = 96


def write(path: Path, *, side: int = 112, dimension: int = DIMENSION, nothing: bool = False) -> Path:
    """Write a network: means of 7 x 7 pixels, less their own mean, by fixed random weights; or `nothing`, zeros."""
    random = np.random.default_rng(5)
    cells = 3 * (side // 7) ** 2
    weights = (random.normal(size=(cells, dimension)) / np.sqrt(cells)).astype(np.float32)
    constants = [
        numpy_helper.from_array(np.zeros_like(weights) if nothing else weights, "weights"),
    ]
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[7, 7], strides=[7, 7]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["flat", "mean"], ["centred"]),
        helper.make_node("MatMul", ["centred", "weights"], ["embedding"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, side, side])
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension])]
    graph = helper.make_graph(nodes, "faces", [images], outputs, constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path
