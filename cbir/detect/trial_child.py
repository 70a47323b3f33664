"""The process that tries a graph file out; `cbir.detect.trial` starts it, and says what for."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import openvino

from cbir.backbones.graph_trial import RefusedError, answer, shortly
from cbir.detect import scene
from cbir.detect.detection import FLOOR
from cbir.detect.layouts.layout import Input, Layout
from cbir.detect.layouts.registry import recognise
from cbir.detect.trial import LONGEST_NAME, Asked, Tried
from cbir.engines.compiled import export_network, settings
from cbir.engines.requests import outputs_of
from cbir.images.entering import RANGES
from cbir.images.framed import LARGEST, SMALLEST, Framed
from cbir.index.entries import MOST_CLASSES
from cbir.utils.openvino_core import compile_network, open_core
from cbir.utils.vectors import Floats

#: The side of the input of a network that takes any, unless another is asked for.
USUAL_SIDE = 640

#: Outputs of a network, and numbers in them.
_MOST_OUTPUTS, _MOST_NUMBERS = 16, 1 << 26

# Characters of a file's own list of classes.
_LONGEST_LIST = 2_000_000

_INPUTS = {"f32": openvino.Type.f32, "f16": openvino.Type.f16, "u8": openvino.Type.u8}


def main(file: str, wanted: str) -> None:
    """Try `file` out as `wanted` says, and write the answer to stdout."""

    def try_out() -> tuple[dict[str, Any], bytes]:
        given = json.loads(wanted)
        tried, blob = _try_out(file, Asked(**given["asked"]), given["names"], given["precision"])
        return tried.to_json(), blob

    answer(try_out)


def _try_out(file: str, asked: Asked, names: int | None, precision: str) -> tuple[Tried, bytes]:
    core = open_core()
    model = core.read_model(file)
    own_names = _names_in(model)
    size = _fix_size(model, asked)
    count = names if names is not None else len(own_names) or None
    # a layout's usual input is known when the layout is, so the first look is with values that suit most
    first = asked.over(Input("rgb", "0-1", "centre"))
    layout = _recognised(_Run(core, model, first, size, precision), count)
    entering = asked.over(layout.usual)
    run = _Run(core, model, entering, size, precision)
    # whether boxes are in pixels or shares, decoded or not, is best seen where something is found
    layout = _recognised(run, count)
    best = run.best(layout)
    better = []
    if best < FLOOR and asked.range is None:
        for other in RANGES:
            run_other = _Run(core, model, Input(entering.colours, other, entering.place), size, precision)
            if other != entering.range and run_other.best(_recognised(run_other, count)) >= FLOOR:
                better.append(other)
    known = own_names if len(own_names) == layout.classes else ()
    return Tried(layout, entering, run.frame, known, best, tuple(better)), export_network(run.compiled)


class _Run:
    """A network compiled to take pixels that enter in one way, and its outputs for the scene."""

    def __init__(
        self, core: openvino.Core, model: openvino.Model, entering: Input, size: tuple[int, int], precision: str
    ) -> None:
        self.frame = Framed(*size, entering.place)
        self.compiled = compile_network(core, with_input(model, entering), settings(precision, "LATENCY"))
        picture = scene.draw()
        pixels = self.frame.make(picture, (0, 0, *picture.size), picture.size)["pixels"]
        request = self.compiled.create_infer_request()
        request.infer([pixels[np.newaxis]])
        self.outputs = outputs_of(request)
        _check_outputs(self.outputs)

    def best(self, layout: Layout) -> float:
        """Return the best score that a layout reads."""
        scores = layout.decode(self.outputs).scores
        return round(float(scores.max()), 4) if len(scores) else 0.0


def with_input(model: openvino.Model, entering: Input) -> openvino.Model:
    """Return a copy of a network that takes images, uint8, (1, height, width, 3), in RGB."""
    from openvino.preprocess import ColorFormat, PrePostProcessor

    model = model.clone()
    takes = model.inputs[0].get_element_type()
    is_first = list(model.inputs[0].get_partial_shape().to_shape())[1] == 3
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().tensor().set_color_format(ColorFormat.RGB)
    steps.input().model().set_layout(openvino.Layout("NCHW" if is_first else "NHWC"))
    mean, deviation = RANGES[entering.range]
    if takes != openvino.Type.u8:
        steps.input().preprocess().convert_element_type(openvino.Type.f32)
        if any(mean):
            steps.input().preprocess().mean(list(mean))
        if set(deviation) != {1}:
            steps.input().preprocess().scale(list(deviation))
    if entering.colours == "bgr":
        steps.input().preprocess().convert_color(ColorFormat.BGR)
    if takes == openvino.Type.f16:
        steps.input().preprocess().convert_element_type(openvino.Type.f16)
    return steps.build()


def _fix_size(model: openvino.Model, asked: Asked) -> tuple[int, int]:
    """Give a network that takes images of any size one size; return its width and height. Raises RefusedError."""
    if len(model.inputs) != 1:
        raise RefusedError(f"it has {len(model.inputs)} inputs, and a detector takes pictures and nothing else")
    shape = model.inputs[0].get_partial_shape()
    kind = model.inputs[0].get_element_type()
    if shape.rank.is_dynamic or len(shape) != 4:
        raise RefusedError(f"its input of the shape {shape} takes no pictures")
    if kind not in _INPUTS.values():
        raise RefusedError(f"its input is of the type {kind.get_type_name()}, not one of {', '.join(_INPUTS)}")
    sides = [None if one.is_dynamic else int(one.get_length()) for one in shape]
    is_first = sides[1] == 3 or (sides[1] is None and sides[3] != 3)
    if sides[1 if is_first else 3] not in (3, None) or sides[0] not in (1, None):
        raise RefusedError(f"its input of the shape {shape} does not take one picture in colours")
    places = (3, 2) if is_first else (2, 1)
    wanted = (asked.width, asked.height)
    width, height = (want or sides[place] or USUAL_SIDE for place, want in zip(places, wanted, strict=True))
    if not all(SMALLEST <= side <= LARGEST for side in (width, height)):
        raise RefusedError(f"its input is {width} x {height} pixels: it can be {SMALLEST} to {LARGEST}")
    new = [1, 3, height, width] if is_first else [1, height, width, 3]
    if sides != new:
        try:
            model.reshape({model.inputs[0]: openvino.PartialShape(new)})
        except Exception as error:
            raise RefusedError(f"it does not take pictures of {width} x {height} pixels ({shortly(error)})") from error
    return width, height


def _check_outputs(outputs: Sequence[Floats]) -> None:
    """Raise RefusedError where there are too many, or they hold no numbers."""
    if not 1 <= len(outputs) <= _MOST_OUTPUTS:
        raise RefusedError(f"it has {len(outputs)} outputs")
    if sum(output.size for output in outputs) > _MOST_NUMBERS:
        raise RefusedError(f"its outputs have more than {_MOST_NUMBERS:,} numbers")
    if any(output.size and not np.isfinite(output).any() for output in outputs):
        raise RefusedError("what it computes for a drawn scene are no numbers")


def _recognised(run: _Run, names: int | None) -> Layout:
    """Recognise the outputs of a run; RefusedError, with their shapes, where they are of no layout that is known."""
    layout = recognise(run.outputs, (run.frame.width, run.frame.height), names)
    if layout is None:
        shapes = " and ".join("x".join(map(str, output.shape)) for output in run.outputs)
        raise RefusedError(
            f"its outputs, of {shapes} numbers for {run.frame.width} x {run.frame.height} pixels, are of no layout "
            "that cbir knows (YOLOX, YOLOv5 to 11, end to end, NanoDet, PicoDet)"
        )
    if layout.classes > MOST_CLASSES:
        raise RefusedError(f"it has {layout.classes:,} classes")
    if run.best(layout) > 1.01:
        raise RefusedError("its scores are not between 0 and 1")
    return layout


def _names_in(model: openvino.Model) -> tuple[str, ...]:
    """Read the names of classes in a file, as Ultralytics writes them: a dict of Python; none where there are none."""
    try:
        text = str(model.get_rt_info(["framework", "names"]).astype(str))
    except Exception:  # it has none
        return ()
    if len(text) > _LONGEST_LIST:
        return ()
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(found, dict):
        found = [found.get(number) for number in range(len(found))]
    if not isinstance(found, list) or not all(isinstance(name, str) and name.strip() for name in found):
        return ()
    return tuple(" ".join(name.split())[:LONGEST_NAME] for name in cast("list[str]", found))
