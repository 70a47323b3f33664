"""Graph files of every layout, made here: networks of one convolution that find red and blue squares.

A network says for each cell of 32 pixels how red and how blue it is, of boxes of a fixed size around its middle. How
pixels have to enter is built into the convolution's numbers, so that one given anything else finds nothing, or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

from cbir.detect.layouts.layout import Input, grid
from cbir.images.entering import RANGES

#: Width and height of a network's input, and of the boxes that it tells.
SIDE, BOX = 320, 64

RED, BLUE = (230, 20, 20), (20, 20, 230)
NAMES = ("red", "blue")

YOLOX, YOLO = Input("bgr", "0-255", "corner"), Input("rgb", "0-1", "centre")
NANODET, PICODET = Input("bgr", "imagenet", "centre"), Input("rgb", "imagenet", "stretch")

#: The layouts that there are, and how pixels enter networks of each.
LAYOUTS = {
    "yolox": YOLOX,
    "yolox decoded": YOLOX,
    "yolov5": YOLO,
    "yolov5 in shares": YOLO,
    "yolov8": YOLO,
    "yolov8 in shares": YOLO,
    "yolov8 masks": YOLO,
    "end to end": YOLO,
    "nanodet": NANODET,
    "nanodet joined": NANODET,
    "picodet": PICODET,
}


class Graph:
    """Nodes and constants as they are added; names are made here."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def constant(self, values: object, dtype: object = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        names = [f"n{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[-1]

    def joined(self, parts: Sequence[str], axis: int) -> str:
        return self.add("Concat", *parts, axis=axis)

    def columns(self, name: str, first: int, last: int, axis: int = 1) -> str:
        ends = [self.constant([value], np.int64) for value in (first, last, axis)]
        return self.add("Slice", name, *ends)


def write(
    path: Path,
    layout: str,
    entering: Input | None = None,
    *,
    names: str | None = None,
    sides: tuple[object, object] = (SIDE, SIDE),
    last: bool = False,
) -> Path:
    """Write the graph of a layout, to be entered as is usual for it or as `entering` says.

    `names` is what the file says of its classes; `sides` are height and width of its input, words where it takes any.
    With `last` colours are the input's last side, as TensorFlow has it.
    """
    graph = Graph()
    image = graph.add("Transpose", "images", perm=[0, 3, 1, 2]) if last else "images"
    per_cell = _per_cell(graph, image, entering or LAYOUTS[layout])
    outputs = _OUTPUTS[layout](graph, per_cell)
    results = []
    for number, name in enumerate(outputs):
        graph.nodes.append(helper.make_node("Identity", [name], [f"out{number}"]))
        results.append(helper.make_tensor_value_info(f"out{number}", TensorProto.FLOAT, None))
    shape = [1, *sides, 3] if last else [1, 3, *sides]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "detector", inputs, results, graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    if names is not None:
        helper.set_model_props(model, {"names": names})
    save(model, path)
    return path


def picture(*squares: tuple[tuple[int, int, int], int, int], size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Draw squares of 128 pixels, (colour, x, y), on grey."""
    image = Image.new("RGB", size, (128, 128, 128))
    for colour, x, y in squares:
        image.paste(colour, (x, y, x + 128, y + 128))
    return image


def _per_cell(graph: Graph, image: str, entering: Input) -> str:
    """How red and how blue each cell of 32 pixels is, from 0 to 1: shape (1, 2, rows, columns)."""
    mean, deviation = (np.array(values, dtype=np.float64) for values in RANGES[entering.range])
    weights = np.array([[1, -0.5, -0.5], [-0.5, -0.5, 1]])  # of red, green and blue as they are in the picture
    bias = (weights * mean).sum(axis=1) / 255
    weights = weights * deviation / 255
    if entering.colours == "bgr":
        weights = weights[:, ::-1]
    kernel = graph.constant(weights[:, :, np.newaxis, np.newaxis])
    coloured = graph.add("Conv", image, kernel, graph.constant(bias))
    pooled = graph.add("AveragePool", coloured, kernel_shape=[32, 32], strides=[32, 32])
    return graph.add("Clip", pooled, graph.constant(0), graph.constant(1))


def _rows(
    graph: Graph, per_cell: str, strides: Sequence[int] = (8, 16, 32), anchors: int = 1
) -> tuple[str, np.ndarray]:
    """Scores of all boxes, shape (1, n, 2), which only those of 32 pixels have; centres and sizes, (n, 4)."""
    cells = grid((SIDE, SIDE), strides)
    count = len(cells.strides)
    flat = graph.add("Reshape", per_cell, graph.constant([1, 2, -1], np.int64))
    flat = graph.add("Transpose", flat, perm=[0, 2, 1])
    before = int((cells.strides < 32).sum())
    after = count * anchors - before - (SIDE // 32) ** 2
    pads = graph.constant([0, before, 0, 0, after, 0], np.int64)
    scores = graph.add("Pad", flat, pads)
    centres = cells.corners + cells.strides[:, np.newaxis] / 2
    boxes = np.concatenate([centres, np.full_like(centres, BOX)], axis=1)
    return scores, np.tile(boxes, (anchors, 1))


def _with_boxes(graph: Graph, scores: str, boxes: np.ndarray, *, objectness: bool) -> str:
    extra = [np.ones((len(boxes), 1))] if objectness else []
    return graph.joined([graph.constant(np.concatenate([boxes, *extra], axis=1)[np.newaxis]), scores], 2)


def _yolox(graph: Graph, per_cell: str) -> list[str]:
    scores, boxes = _rows(graph, per_cell)
    strides = grid((SIDE, SIDE), (8, 16, 32)).strides[:, np.newaxis]
    raw = np.concatenate([np.full((len(boxes), 2), 0.5), np.log(boxes[:, 2:] / strides)], axis=1)
    raw[0, 2:] = -1  # of such a network some are always below zero
    return [_with_boxes(graph, scores, raw, objectness=True)]


def _yolox_decoded(graph: Graph, per_cell: str) -> list[str]:
    return [_with_boxes(graph, *_rows(graph, per_cell), objectness=True)]


def _yolov5(graph: Graph, per_cell: str, scale: float = 1.0) -> list[str]:
    scores, boxes = _rows(graph, per_cell, anchors=3)
    return [_with_boxes(graph, scores, boxes * scale, objectness=True)]


def _yolov8(graph: Graph, per_cell: str, scale: float = 1.0) -> list[str]:
    scores, boxes = _rows(graph, per_cell)
    return [graph.add("Transpose", _with_boxes(graph, scores, boxes * scale, objectness=False), perm=[0, 2, 1])]


def _yolov8_masks(graph: Graph, per_cell: str) -> list[str]:
    scores, boxes = _rows(graph, per_cell)
    rows = _with_boxes(graph, scores, boxes, objectness=False)
    coefficients = np.zeros((1, len(boxes), 32))
    coefficients[..., 5] = 1
    rows = graph.joined([rows, graph.constant(coefficients)], 2)
    # map 5 is above 0 in the left half of the picture
    maps = np.zeros((1, 32, SIDE // 4, SIDE // 4))
    maps[:, 5] = np.where(np.arange(SIDE // 4) < SIDE // 8, 1, -1)
    return [graph.add("Transpose", rows, perm=[0, 2, 1]), graph.add("Identity", graph.constant(maps))]


def _end_to_end(graph: Graph, per_cell: str) -> list[str]:
    scores, boxes = _rows(graph, per_cell, (32,))
    corners = np.concatenate([boxes[:, :2] - BOX / 2, boxes[:, :2] + BOX / 2], axis=1)
    parts = []
    for number in (0, 1):
        own = graph.columns(scores, number, number + 1, 2)
        classes = graph.constant(np.full((1, len(boxes), 1), number))
        parts.append(graph.joined([graph.constant(corners[np.newaxis]), own, classes], 2))
    return [graph.joined(parts, 1)]


def _sides(count: int, stride: int) -> np.ndarray:
    """Distributions whose mean is half of BOX: between two of eight numbers, however far it is."""
    place = min(BOX / 2 / stride, 6.5)
    low = int(place)
    logits = np.full(8, -30.0)
    logits[low] = np.log(max(1 - (place - low), 1e-9))
    logits[low + 1] = np.log(max(place - low, 1e-9))
    return np.tile(logits, (count, 4))


def _levels(graph: Graph, per_cell: str, strides: Sequence[int]) -> list[str]:
    scores, _ = _rows(graph, per_cell, strides)
    counts = [(-(-SIDE // stride)) ** 2 for stride in strides]
    ends = np.cumsum(counts)
    of_levels = [graph.columns(scores, int(end - count), int(end)) for end, count in zip(ends, counts, strict=True)]
    sides = [
        graph.add("Identity", graph.constant(_sides(count, stride)[np.newaxis]))
        for count, stride in zip(counts, strides, strict=True)
    ]
    return [*of_levels, *sides]


def _nanodet(graph: Graph, per_cell: str) -> list[str]:
    return _levels(graph, per_cell, (8, 16, 32))


def _picodet(graph: Graph, per_cell: str) -> list[str]:
    return _levels(graph, per_cell, (8, 16, 32, 64))


def _nanodet_joined(graph: Graph, per_cell: str) -> list[str]:
    strides = (8, 16, 32, 64)
    scores, _ = _rows(graph, per_cell, strides)
    sides = np.concatenate([_sides((-(-SIDE // stride)) ** 2, stride) for stride in strides])
    return [graph.joined([scores, graph.constant(sides[np.newaxis])], 2)]


_OUTPUTS = {
    "yolox": _yolox,
    "yolox decoded": _yolox_decoded,
    "yolov5": _yolov5,
    "yolov5 in shares": lambda graph, per_cell: _yolov5(graph, per_cell, 1 / SIDE),
    "yolov8": _yolov8,
    "yolov8 in shares": lambda graph, per_cell: _yolov8(graph, per_cell, 1 / SIDE),
    "yolov8 masks": _yolov8_masks,
    "end to end": _end_to_end,
    "nanodet": _nanodet,
    "nanodet joined": _nanodet_joined,
    "picodet": _picodet,
}
