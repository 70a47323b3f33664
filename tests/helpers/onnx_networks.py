"""ONNX files of tiny networks that take images and give features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: The convolution of patches.
WEIGHTS = np.random.default_rng(5).normal(size=(8, 3, 4, 4)).astype(np.float32) / 8


def save(path: Path, shape: list[Any], *, kind: str = "mean", outputs: tuple[str, ...] = ("made",), **how: Any) -> Path:
    """Write a network: a convolution of patches, a ReLU, and of that the mean, the map, or tokens."""
    is_last = shape[3] == 3
    nodes = [helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2])] if is_last else []
    nodes.append(helper.make_node("Conv", ["first" if is_last else "x", "w"], ["c"], strides=[4, 4]))
    nodes.append(helper.make_node("Relu", ["c"], ["map"]))
    inits = [numpy_helper.from_array(WEIGHTS, "w")]
    inits.append(numpy_helper.from_array(np.array([1, 8], dtype=np.int64), "one"))
    inits.append(numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "axes"))
    inits.append(numpy_helper.from_array(np.array([0, 8, -1], dtype=np.int64), "tokens"))
    for name in outputs:
        if kind == "map":
            nodes.append(helper.make_node("Identity", ["map"], [name]))
        elif kind == "tokens":
            nodes.append(helper.make_node("Reshape", ["map", "tokens"], [f"{name}-3"]))
            nodes.append(helper.make_node("Transpose", [f"{name}-3"], [name], perm=[0, 2, 1]))
        else:
            nodes.append(helper.make_node("ReduceMean", ["map", "axes"], [f"{name}-m"], keepdims=0))
            last = ["Reshape", [f"{name}-m", "one"]] if kind == "fixed" else ["Identity", [f"{name}-m"]]
            nodes.append(helper.make_node(*last, [name]))
    inputs = [helper.make_tensor_value_info("x", how.get("type", TensorProto.FLOAT), shape)]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    if "words" in how:
        inputs.append(helper.make_tensor_value_info("words", TensorProto.FLOAT, ["n", 4]))
        nodes.append(helper.make_node("Identity", ["words"], ["text"]))
        made.append(helper.make_tensor_value_info("text", TensorProto.FLOAT, ["n", 4]))
    graph = helper.make_graph(nodes, "g", inputs, made, inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path, **how.get("saved", {}))
    return path
