"""ONNX files as graphs of OpenVINO that take images and give features; and their trial in a process beside this one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import openvino
import openvino.opset14 as ops

from cbir.backbones.graph_trial import RefusedError, answer, shortly
from cbir.backbones.names import of_output
from cbir.backbones.onnx_words import USUAL_SIDE
from cbir.images.fit import Preprocessing
from cbir.utils.openvino_core import compile_network, open_core
from cbir.utils.printable import printable

#: The most numbers of a feature, as of an index.
_MOST = 100_000

# Outputs that features are likely in, where there are several.
_LIKELY = ("image_embeds", "image_embeddings", "pooler_output", "embeddings", "embedding", "features", "feature")

# Names of outputs that are told.
_TOLD = 8

# The largest difference between features of two images at once and one by one, as a share of the largest number.
_SAME = 1e-3


@dataclass(frozen=True)
class Facts:
    """Findings about a graph: the output that is taken, by name, the side of its images, how many features there are.

    `side` is 0 where it takes any, and `at_once` tells whether it takes any number of images.
    """

    output: str
    side: int
    dimension: int
    at_once: bool
    takes_pixels: bool

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Facts:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        facts = cls(**record)
        if type(facts.dimension) is not int or not 1 <= facts.dimension <= _MOST or not isinstance(facts.output, str):
            raise ValueError("impossible features")
        if type(facts.side) is not int or facts.side < 0:
            raise ValueError("an impossible side")
        return facts


def main(file: str, wanted: str) -> None:
    """Try `file` out as `wanted` says, and write the answer to stdout; `graph_trial.ask` starts it."""

    def try_out() -> tuple[dict[str, Any], bytes]:
        given = json.loads(wanted)
        return _try_out(file, given["output"], given["side"]).to_json(), b""

    answer(try_out)


def read(file: str, facts: Facts, preprocessing: Preprocessing, *, is_bgr: bool = False) -> openvino.Model:
    """Read a graph as it was tried out: from images, uint8 (n, side, side, 3), to features (n, dimension).

    With `is_bgr` it takes blue first; mean and deviation are of red, green and blue nevertheless.
    RefusedError where it does not take images of the preprocessing's size.
    """
    _, parameter, output = _parts(open_core().read_model(file), facts.output)
    if facts.side not in (0, preprocessing.crop):
        raise RefusedError(f"it takes images of {facts.side} x {facts.side} pixels, and not of {preprocessing.crop}")
    built = _sized(openvino.Model([_pooled(output)], [parameter]), preprocessing.crop, at_once=facts.at_once)
    built = _with_pixels(built, preprocessing, is_bgr=is_bgr)
    return built if facts.at_once else _one_by_one(built, preprocessing.crop)


def _try_out(file: str, wanted: str | None, asked_side: int) -> Facts:
    """Find out what a file's graph takes and gives, and run it. RefusedError where it is of no use."""
    core = open_core()
    _, parameter, output = _parts(core.read_model(file), wanted)
    shape = parameter.get_partial_shape()
    sides = [shape[axis] for axis in ((2, 3) if _is_first(shape) else (1, 2))]
    fixed = {side.get_length() if side.is_static else 0 for side in sides}
    if len(fixed) != 1:
        raise RefusedError(f"it takes images that are no squares: {shape}")
    side, name = fixed.pop(), output.get_any_name() if output.get_names() else "output"
    takes_pixels = parameter.get_element_type() == openvino.Type.u8
    crop = side or asked_side or USUAL_SIDE
    trial = Preprocessing(crop, crop, "bilinear", (127.0,) * 3, (128.0,) * 3)
    images = np.random.default_rng(3).integers(0, 256, (2, crop, crop, 3), dtype=np.uint8)
    found: dict[bool, np.ndarray[Any, Any]] = {}
    for at_once in (False, True):
        try:
            model = read(file, Facts(wanted or name, side, 1, at_once, takes_pixels), trial)
            found[at_once] = compile_network(core, model, {"INFERENCE_PRECISION_HINT": "f32"})(images)[0]
        except (RefusedError, MemoryError):
            raise
        except Exception as error:
            if not at_once:
                raise RefusedError(f"OpenVINO cannot run it on images of {crop} pixels ({shortly(error)})") from error
    alone = found[False]
    if alone.ndim != 2 or alone.shape[0] != 2 or not 1 <= alone.shape[1] <= _MOST:
        raise RefusedError(f"its output {name} is of shape {alone.shape} for two images, which is none of features")
    if not np.isfinite(alone).all():
        raise RefusedError("what it computes for drawn images are no numbers")
    together = found.get(True)
    at_once = (
        together is not None
        and together.shape == alone.shape
        and bool(np.abs(together - alone).max() <= _SAME * np.abs(alone).max())
    )
    return Facts(name, side, int(alone.shape[1]), at_once, takes_pixels)


def _parts(model: openvino.Model, wanted: str | None) -> tuple[openvino.Model, Any, Any]:
    """Return a graph, its parameter that takes images, and the output that depends on nothing else.

    `wanted` is the name of an output, or the word that a network's name has of it.
    """
    images = [one for one in model.get_parameters() if _takes_images(one)]
    if len(images) != 1:
        inputs = _told(f"{one.get_friendly_name()} {one.get_partial_shape()}" for one in model.get_parameters())
        raise RefusedError(f"it has {len(images) or 'no'} inputs of images (n, 3, height, width): {inputs}")
    parameter = images[0]
    outputs = {
        (one.get_any_name() if one.get_names() else "output"): one.get_node().input_value(0)
        for one in model.outputs
        if _depends_on(one.get_node()) == {parameter.get_friendly_name()}
    }
    usable = {name: one for name, one in outputs.items() if one.get_partial_shape().rank.is_static}
    usable = {name: one for name, one in usable.items() if one.get_partial_shape().rank.get_length() in (2, 3, 4)}
    named = [name for name in usable if wanted in (name, of_output(name))] if wanted else _likeliest(usable)
    if len(named) != 1:
        told = _told(f"{name} {one.get_partial_shape()}" for name, one in outputs.items())
        what = f"no output {wanted}" if wanted else f"{len(usable) or 'no'} outputs that may be features"
        raise RefusedError(
            f"it has {what}, of those that follow from images: {told}. Name one behind the file: NAME.onnx,output=…"
        )
    return model, parameter, usable[named[0]]


def _likeliest(outputs: dict[str, Any]) -> list[str]:
    """Return the names of the outputs that are likely features: those so called, else the only one of its rank."""
    called = [name for name in _LIKELY if name in outputs][:1]
    for rank in (2, 4, 3):
        if called:
            break
        called = [name for name, one in outputs.items() if one.get_partial_shape().rank.get_length() == rank]
    return called


def _takes_images(parameter: Any) -> bool:
    shape = parameter.get_partial_shape()
    if not shape.rank.is_static or shape.rank.get_length() != 4:
        return False
    return any(shape[axis].is_static and shape[axis].get_length() == 3 for axis in (1, 3))


def _is_first(shape: Any) -> bool:
    """Tell whether channels come before rows and columns."""
    return bool(shape[1].is_static and shape[1].get_length() == 3)


def _depends_on(node: Any) -> set[str]:
    """Return the names of the parameters that a node's values follow from."""
    found, seen, waiting = set(), set(), [node]
    while waiting:
        one = waiting.pop()
        name = one.get_friendly_name()
        if name in seen:
            continue
        seen.add(name)
        if one.get_type_name() == "Parameter":
            found.add(name)
        waiting.extend(value.get_node() for value in one.input_values())
    return found


def _pooled(output: Any) -> Any:
    """Return features of shape (n, dimension): the mean of a map's places, or the first token's."""
    rank = output.get_partial_shape().rank.get_length()
    if rank == 4:
        return ops.reduce_mean(output, np.array([2, 3], dtype=np.int64), keep_dims=False).output(0)
    if rank == 3:
        return ops.gather(output, np.int64(0), np.int64(1)).output(0)
    return output


def _sized(model: openvino.Model, side: int, *, at_once: bool) -> openvino.Model:
    """Give a graph's images their size, and as many as there are, or one at a time."""
    is_first = _is_first(model.inputs[0].get_partial_shape())
    images = [3, side, side] if is_first else [side, side, 3]
    model.reshape({model.inputs[0]: openvino.PartialShape([-1 if at_once else 1, *images])})
    return model


def _with_pixels(model: openvino.Model, preprocessing: Preprocessing, *, is_bgr: bool) -> openvino.Model:
    """Put in front of a graph what turns pixels, uint8 (n, height, width, 3), into what it takes."""
    from openvino.preprocess import PrePostProcessor

    takes = model.inputs[0].get_element_type()
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    is_first = _is_first(model.inputs[0].get_partial_shape())
    steps.input().model().set_layout(openvino.Layout("NCHW" if is_first else "NHWC"))
    if takes != openvino.Type.u8:
        steps.input().preprocess().convert_element_type(openvino.Type.f32)
        steps.input().preprocess().mean(list(preprocessing.mean)).scale(list(preprocessing.std))
        if takes != openvino.Type.f32:
            steps.input().preprocess().convert_element_type(takes)
    if is_bgr:
        steps.input().preprocess().reverse_channels()
    steps.output().tensor().set_element_type(openvino.Type.f32)
    return steps.build()


def _one_by_one(model: openvino.Model, side: int) -> openvino.Model:
    """Return a graph that runs another, which takes one image, on each of any number."""
    images = ops.parameter(openvino.PartialShape([-1, side, side, 3]), openvino.Type.u8)
    each = ops.tensor_iterator()
    each.set_body(model)
    each.set_sliced_input(model.get_parameters()[0], images.output(0), 0, 1, 1, -1, 0)
    features = each.get_concatenated_slices(model.get_results()[0].output(0), 0, 1, 1, -1, 0)
    return openvino.Model([features], [images])


def _told(things: Any) -> str:
    """Return some things as words, not too many of them."""
    listed = [printable(str(one))[:100] for one in things]
    return ", ".join(listed[:_TOLD]) + (f" and {len(listed) - _TOLD} more" if len(listed) > _TOLD else "")
