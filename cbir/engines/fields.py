"""Receptive fields: which pixels a cell of a map can see, by the arithmetic of the layers before it.

A cell i of a map sees the pixels from i × jump + low to i × jump + high. A layer with a kernel of k, stride s, dilation
d and padding p before the first cell makes of that: low - p × jump, high + ((k - 1) d - p) × jump, jump × s. Where
branches come together, a cell sees what any of them does. The graph of a network for OpenVINO is followed, from its
picture to its stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openvino
from openvino.passes import ConstantFolding, Manager

from cbir.backbones.backbone import Backbone
from cbir.backbones.catalog import FAKES
from cbir.engines.openvino_engine import graph_of
from cbir.errors import ModelError
from cbir.images.large import MULTIPLE

# The columns that the traced picture has more than rows, so that the two are told apart in every map.
_WIDER = 96

#: Operations that compute each cell from the same cell of their inputs.
_CELLWISE = frozenset(
    (
        *("Abs", "Add", "BatchNormInference", "Ceiling", "Clamp", "Convert", "ConvertLike", "Divide", "Elu", "Erf"),
        *("Exp", "Floor", "Gelu", "HSigmoid", "HSwish", "HardSigmoid", "Identity", "Log", "Maximum", "Minimum", "Mish"),
        *("Multiply", "Negative", "PRelu", "Power", "Relu", "Result", "Selu", "Sigmoid", "Sign", "SoftPlus", "Sqrt"),
        *("SquaredDifference", "Subtract", "Swish", "Tanh", "FakeQuantize"),
    )
)


@dataclass(frozen=True)
class Field:
    """The pixels that cells of a map see, along rows and along columns: `jump`, and those from `low` to `high`.

    `axes` are those of rows and columns in the array, from its end. With `sees_means`, a cell also knows means over
    the whole picture, as by squeeze and excitation.
    """

    jump: tuple[float, float] = (1, 1)
    low: tuple[float, float] = (0, 0)
    high: tuple[float, float] = (0, 0)
    axes: tuple[int, int] = (-3, -2)
    sees_means: bool = False


@dataclass(frozen=True)
class StageField:
    """A stage of a network: its number, counted from 1, its `channels`, and its `size`, cells along a side.

    `size` is that for the network's own crop, or the next multiple of 32. Cells lie `jump` pixels apart, each sees a
    square of `field` pixels, and that of the first has its middle at pixel `start`, counted from 0. None where a cell
    sees far places by attention, or by moves that are not followed. `sees_means` is as of `Field`.
    """

    number: int
    channels: int
    size: int
    jump: float
    field: int | None
    start: float | None
    sees_means: bool = False


class _Far:
    """The field of what sees far places by ways that are not followed."""


_FAR = _Far()

_State = Field | _Far | None  # None of what does not depend on the picture


def stage_fields(backbone: Backbone) -> list[StageField]:
    """Follow the graph of a network to its stages, from fine to coarse; several networks' first one's.

    ModelError where it has no such maps; what building it raises.
    """
    backbone = backbone.first
    if backbone.name in FAKES:
        raise ModelError(f"{backbone.name} is no network of layers that could be followed.")
    rows = math.ceil(backbone.preprocessing.crop / MULTIPLE) * MULTIPLE
    model = graph_of(backbone, "stages")
    found = []
    for number, (field, shape) in enumerate(trace(model, rows), start=1):
        _, channels, size, _ = shape
        if not isinstance(field, Field) or field.axes != (-2, -1):
            found.append(StageField(number, channels, size, rows / size, None, None))
            continue
        first = (field.low[0] + field.high[0]) / 2
        width = round(max(above - below for below, above in zip(field.low, field.high, strict=True))) + 1
        found.append(StageField(number, channels, size, field.jump[0], width, first, field.sees_means))
    return found


def trace(model: openvino.Model, rows: int) -> list[tuple[_State, tuple[int, ...]]]:
    """Follow a graph of images, uint8 of shape (n, height, width, 3): its outputs' fields and shapes, for so many rows.

    The graph is changed.
    """
    model.reshape({model.inputs[0]: openvino.PartialShape([1, rows, rows + _WIDER, 3])})
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)  # of shapes, which are known now
    states: dict[tuple[str, int], _State] = {}
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        inputs = [_key(value) for value in node.input_values()]
        state = Field() if kind == "Parameter" else _after(node, kind, [states[key] for key in inputs])
        for number in range(node.get_output_size()):
            states[node.get_friendly_name(), number] = state
    results = [output.get_node().input_value(0) for output in model.outputs]
    return [(states[_key(value)], tuple(value.get_shape())) for value in results]


def _key(value: Any) -> tuple[str, int]:
    return value.get_node().get_friendly_name(), value.get_index()


def _after(node: Any, kind: str, inputs: Sequence[_State]) -> _State:
    """Return the field of what an operation makes of its inputs."""
    given = [state for state in inputs if state is not None]
    if not given or kind in ("Constant", "ShapeOf"):
        return None
    if any(isinstance(state, _Far) for state in given):
        return _FAR
    fields = [state for state in given if isinstance(state, Field)]
    if kind in _CELLWISE:
        return _together(fields)
    follow = _FOLLOWED.get(kind)
    if follow is None:
        return _FAR
    if kind == "Concat":
        return _concatenated(node, fields)
    return follow(node, fields[0]) if len(fields) == 1 and inputs[0] is not None else _FAR


def _together(fields: Sequence[Field]) -> _State:
    """Return the field of cells that see what several do; one without axes has means of the whole picture."""
    local = [field for field in fields if field.axes != _NOWHERE]
    if not local:
        return fields[0]
    if len({(field.axes, field.jump) for field in local}) > 1:
        return _FAR
    low = tuple(min(field.low[axis] for field in local) for axis in (0, 1))
    high = tuple(max(field.high[axis] for field in local) for axis in (0, 1))
    sees_means = len(local) < len(fields) or any(field.sees_means for field in local)
    return replace(local[0], low=(low[0], low[1]), high=(high[0], high[1]), sees_means=sees_means)


#: The axes of what has no rows and columns any more.
_NOWHERE = (0, 0)


def _windowed(node: Any, field: Field) -> _State:
    """Follow a convolution or a pooling."""
    if field.axes == _NOWHERE:
        return field
    if field.axes != (-2, -1):
        return _FAR
    attributes = node.get_attributes()
    kernel = attributes.get("kernel") or list(node.input_value(1).get_shape())[-2:]
    strides = attributes["strides"]
    dilations = attributes.get("dilations") or [1, 1]
    shape = list(node.input_value(0).get_shape())[-2:]
    pads = attributes["pads_begin"]
    if "same" in str(attributes.get("auto_pad", "")).lower():
        spans = [(size - 1) * spread + 1 for size, spread in zip(kernel, dilations, strict=True)]
        total = [
            max(span - (side % stride or stride), 0) for span, side, stride in zip(spans, shape, strides, strict=True)
        ]
        pads = [one // 2 if "upper" in str(attributes["auto_pad"]).lower() else one - one // 2 for one in total]
    return _moved(field, pads, [(size - 1) * by for size, by in zip(kernel, dilations, strict=True)], strides)


def _moved(field: Field, pads: Sequence[int], reaches: Sequence[int], strides: Sequence[int]) -> Field:
    """Return the field of windows that begin `pads` cells before a cell times the stride, and reach so far."""
    low = [field.low[axis] - pads[axis] * field.jump[axis] for axis in (0, 1)]
    high = [field.high[axis] + (reaches[axis] - pads[axis]) * field.jump[axis] for axis in (0, 1)]
    jump = [field.jump[axis] * strides[axis] for axis in (0, 1)]
    return replace(field, low=(low[0], low[1]), high=(high[0], high[1]), jump=(jump[0], jump[1]))


def _padded(node: Any, field: Field) -> _State:
    before = _constant(node, 1)
    if before is None:
        return _FAR
    if field.axes == _NOWHERE:
        return field
    pads = [int(before[axis]) for axis in field.axes]
    return _moved(field, pads, [0, 0], [1, 1])


def _transposed(node: Any, field: Field) -> _State:
    order = _constant(node, 1)
    if order is None:
        return _FAR
    if field.axes == _NOWHERE:
        return field
    rank = len(order)
    places = [order.tolist().index(axis + rank) - rank for axis in field.axes]
    return replace(field, axes=(places[0], places[1]))


def _reshaped(node: Any, field: Field) -> _State:
    """Follow a change of shape that leaves rows and columns as they are, beside each other."""
    before, after = (list(value.get_shape()) for value in (node.input_value(0), node.output(0)))
    if field.axes == _NOWHERE:
        return field
    sides = [before[axis] for axis in field.axes]
    places = [place for place in range(len(after) - 1) if after[place : place + 2] == sides]
    if len(places) != 1 or field.axes[1] != field.axes[0] + 1:
        return _FAR
    ahead, behind = math.prod(before[: field.axes[0]]), math.prod(after[: places[0]])
    if ahead != behind:
        return _FAR
    return replace(field, axes=(places[0] - len(after), places[0] + 1 - len(after)))


def _reduced(node: Any, field: Field) -> _State:
    axes = _constant(node, 1)
    if axes is None:
        return _FAR
    if field.axes == _NOWHERE:
        return field
    rank = len(node.input_value(0).get_shape())
    gone = {int(axis) % rank - rank for axis in np.atleast_1d(axes)}
    if gone.intersection(field.axes):
        return replace(field, axes=_NOWHERE) if gone.issuperset(field.axes) else _FAR
    if len(node.output(0).get_shape()) == rank:
        return field
    moved = [axis + sum(one > axis for one in gone) for axis in field.axes]
    return replace(field, axes=(moved[0], moved[1]))


def _pooled(node: Any, field: Field) -> _State:
    """Follow a pooling to cells of which there are so many: one for all rows and columns is a mean."""
    if field.axes == _NOWHERE:
        return field
    sides = [node.output(0).get_shape()[axis] for axis in (-2, -1)]
    return replace(field, axes=_NOWHERE) if sides == [1, 1] and field.axes == (-2, -1) else _FAR


def _unchanged(node: Any, field: Field) -> _State:
    """Follow what may repeat or take some cells, where it does not."""
    return field if node.input_value(0).get_shape() == node.output(0).get_shape() else _FAR


def _along_one_axis(node: Any, field: Field) -> _State:
    """Follow what mixes the numbers along one axis, or takes some of them."""
    rank = len(node.input_value(0).get_shape())
    axis = node.get_attributes().get("axis")
    if axis is None:
        found = _constant(node, 1)
        if found is None or np.size(found) != 1:
            return _FAR
        axis = int(np.ravel(found)[0])
    return _FAR if axis % rank - rank in field.axes else field


def _normalised(node: Any, field: Field) -> _State:
    axes = _constant(node, 1)
    rank = len(node.input_value(0).get_shape())
    if axes is None or {int(axis) % rank - rank for axis in np.atleast_1d(axes)}.intersection(field.axes):
        return _FAR
    return field


def _multiplied(node: Any, field: Field) -> _State:
    """Follow a product with a matrix of weights over the last axis."""
    return _FAR if -1 in field.axes or node.get_attributes().get("transpose_a") else field


def _concatenated(node: Any, fields: Sequence[Field]) -> _State:
    rank = len(node.output(0).get_shape())
    joined = _together(fields)
    if not isinstance(joined, Field):
        return joined
    return _FAR if node.get_attributes()["axis"] % rank - rank in joined.axes else joined


def _constant(node: Any, number: int) -> np.ndarray[Any, Any] | None:
    source = node.input_value(number).get_node()
    return np.asarray(source.data) if source.get_type_name() == "Constant" else None


_FOLLOWED: dict[str, Callable[[Any, Field], _State]] = {
    **dict.fromkeys(("Convolution", "GroupConvolution", "MaxPool", "AvgPool"), _windowed),
    **dict.fromkeys(("AdaptiveAvgPool", "AdaptiveMaxPool"), _pooled),
    **dict.fromkeys(("Tile", "Broadcast", "Slice", "StridedSlice"), _unchanged),
    "Pad": _padded,
    "Transpose": _transposed,
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze"), _reshaped),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"), _reduced),
    **dict.fromkeys(("Softmax", "Split", "VariadicSplit", "Gather"), _along_one_axis),
    "MVN": _normalised,
    "MatMul": _multiplied,
    "Concat": lambda node, field: field,
}
