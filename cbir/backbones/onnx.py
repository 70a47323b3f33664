"""The family of ONNX files: `onnx:FILE` is any network whose graph takes images and gives features, run by OpenVINO.

An index calls it `onnx:` and the file's name without its ending, and what makes it this network is its content. How
pixels enter it is what words behind the file say, and a JSON file beside it: NAME.json, or what the libraries of
Hugging Face and timm write.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import reprlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cbir.backbones.catalog import IMAGENET_MEAN, IMAGENET_STD, Known
from cbir.backbones.graph_trial import SECONDS, RefusedError, ask
from cbir.backbones.names import of_file, of_output
from cbir.backbones.onnx_files import ENDING
from cbir.backbones.onnx_words import USUAL_CROP, USUAL_SIDE, InputWords, named, split_words, words_behind, words_in
from cbir.backbones.weights import Weights, remember
from cbir.errors import ModelError, WeightsError, reason_of
from cbir.images.entering import COLOURS
from cbir.images.fit import Preprocessing
from cbir.utils.cache import cache_folder, keep, kept
from cbir.utils.opening import read_regular
from cbir.utils.printable import printable
from cbir.utils.python_child import calling

if TYPE_CHECKING:
    import openvino

    from cbir.backbones.onnx_graph import Facts

logger = logging.getLogger("cbir")

#: Counts changes of what is found out, so that what older versions kept is not used any more.
VERSION = 1

_CHILD = calling("cbir.backbones.onnx_graph")
_MOST_FACTS = 64 << 10
_MOST_DESCRIPTION = 1 << 20
_LONGEST_REASON = 1_000

# Files that describe pixels, beside NAME.onnx.
_DESCRIPTIONS = ("preprocessor_config.json", "config.json")

# Pillow's numbers of filters, which Hugging Face's files have.
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


def describe(name: str) -> Known:
    """Describe the network of a file, which is tried out once. ModelError, WeightsError where it is of no use."""
    path, words = Path(split_words(name).file).expanduser(), words_behind(name)
    if not path.is_file():
        raise ModelError(f"There is no file {path}: onnx: is followed by the file of a network, such as net{ENDING}.")
    weights = Weights.from_file(path)
    description, origin = description_beside(path)
    output = words.output or description.get("output")
    try:
        asked = preprocessing_in(description)
        words = _with_colours(words, description)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ModelError(f"{origin} does not say how pixels enter {path} ({reason_of(error)}).") from error
    side = words.width or (asked.crop if asked else 0)
    facts = facts_of(path, weights, output if isinstance(output, str) else None, side)
    if asked is None and not words.for_name:
        logger.warning(
            "Nothing says how pixels enter %s: they enter as ImageNet's (%s pixels of the middle). Words behind the "
            "file's name, or a JSON file beside it, may say another (docs/onnx.md).",
            *(path, facts.side or USUAL_SIDE),
        )
    if facts.takes_pixels and (words.range or words.mean or words.std):
        raise ModelError(f"{path} takes pixels as they are, from 0 to 255: leave the words about their range out.")
    if side and facts.side not in (0, side):
        what = "The words behind it say" if words.width else f"{origin} says"
        raise ModelError(f"{what} that images have {side} x {side} pixels, but {path} takes {facts.side}.")
    try:
        preprocessing = words.over(asked or _usual(facts))
    except ValueError as error:
        raise ModelError(f"Pixels cannot enter {path} as the words behind it say ({error}).") from error
    remember(weights, name)
    plain = of_file(path.name) + (f"/{of_output(facts.output)}" if output is not None else "")
    return Known(facts.dimension, preprocessing, "the output of a graph", lambda: weights, name=named(plain, words))


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> NoReturn:
    """Raise ModelError: torch runs no such graphs."""
    raise ModelError(f"{name} is a graph, which OpenVINO runs and torch does not: leave --engine or $CBIR_ENGINE out.")


def build_graph(name: str, weights: Weights, preprocessing: Preprocessing, graph: str) -> openvino.Model:
    """Build the graph for OpenVINO, as of `GraphFamily`. ModelError where it has no maps of what is where."""
    from cbir.backbones import onnx_graph

    if graph != "features":
        raise ModelError(
            f"cbir reads no maps of what is where from {name}: choose another network, efficientnet_lite0 for one."
        )
    path = weights.locate(name)
    _, _, word = name.partition(",")[0].partition("/")
    facts = facts_of(path, weights, word or None, preprocessing.crop)
    try:
        return onnx_graph.read(str(path), facts, preprocessing, is_bgr=words_in(name).is_bgr)
    except RefusedError as error:
        raise ModelError(f"{path} cannot be used with this preprocessing: {printable(str(error))}.") from error


def read_head(name: str, weights: Weights, dimension: int) -> str:
    """Say that there is no layer that classifies."""
    return "are those of a graph, of which cbir knows no classifier"


def facts_of(path: Path, weights: Weights, output: str | None, side: int) -> Facts:
    """Return what was found out about a file: kept from its first use, or found now. WeightsError for a bad file."""
    import openvino

    from cbir.backbones.onnx_graph import Facts

    wanted = {"output": output, "side": side}
    key = json.dumps([weights.identity, wanted, VERSION, openvino.__version__])
    file = cache_folder("compiled") / f"onnx-{hashlib.sha256(key.encode()).hexdigest()[:20]}.json"
    try:
        return Facts.from_json(json.loads(kept(file, _MOST_FACTS) or b""))
    except (ValueError, TypeError, KeyError):
        pass
    try:
        found, _ = ask(path, _CHILD, wanted, seconds=SECONDS, most_header=_MOST_FACTS)
        facts = Facts.from_json(found)
    except (RefusedError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} cannot be used as a network: {printable(str(error))[:_LONGEST_REASON]}.") from error
    try:
        keep(file, json.dumps(facts.to_json()).encode("ascii"))
    except OSError as error:
        logger.debug("What was found out about %s is not kept: %s", path, error)
    return facts


def _usual(facts: Facts) -> Preprocessing:
    """Return how pixels enter where nothing says it: as ImageNet's photos, or as they are where that is the input."""
    side = facts.side or USUAL_SIDE
    if facts.takes_pixels:
        return Preprocessing(math.floor(side / USUAL_CROP), side, "bilinear", (0.0,) * 3, (1.0,) * 3)
    return Preprocessing(math.floor(side / USUAL_CROP), side, "bilinear", IMAGENET_MEAN, IMAGENET_STD)


def description_beside(path: Path) -> tuple[dict[str, Any], Path]:
    """Read the JSON file beside a network, if there is one; empty else. ModelError where it is none."""
    for file in (path.with_suffix(".json"), *(path.parent / name for name in _DESCRIPTIONS)):
        if not file.exists():
            continue
        try:
            found = json.loads(read_regular(file, most=_MOST_DESCRIPTION))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{file}, which is to describe {path}, cannot be read: {reason_of(error)}.") from error
        if not isinstance(found, dict):
            raise ModelError(f"{file}, which is to describe {path}, holds no JSON object.")
        found = found.get("pretrained_cfg", found)
        if file == path.with_suffix(".json") or {"image_mean", "input_size"} & set(found):
            return found, file
    return {}, path


def _with_colours(words: InputWords, record: dict[str, Any]) -> InputWords:
    """Add the order of colours that a JSON file says. ValueError where there is none such."""
    colours = record.get("colours")
    if colours not in (None, *COLOURS):
        raise ValueError(f"no colours: {reprlib.repr(colours)}")
    return words if words.colours else replace(words, colours=colours)


def preprocessing_in(record: dict[str, Any]) -> Preprocessing | None:
    """Read how pixels enter: cbir's own words, or Hugging Face's, or timm's; None where nothing is said of it.

    ValueError, TypeError or KeyError where it is something else.
    """
    if "image_mean" in record or "do_resize" in record:
        record = _of_hugging_face(record)
    elif "input_size" in record:
        record = _of_timm(record)
    elif "crop" not in record:
        return None
    return Preprocessing.from_json({"resize": record["crop"], "rounding": "torchvision", **record})


def _of_hugging_face(record: dict[str, Any]) -> dict[str, Any]:
    """Translate a preprocessor_config.json."""
    size, cropped = record.get("size", 224), record.get("crop_size")
    if isinstance(size, int):
        size = {"shortest_edge": size} if record.get("do_center_crop") else {"height": size, "width": size}
    shortest = size.get("shortest_edge")
    resize = shortest if shortest is not None else _square([size["height"], size["width"]])
    crop = resize
    if record.get("do_center_crop") and cropped is not None:
        crop = cropped if isinstance(cropped, int) else _square([cropped["height"], cropped["width"]])
    elif shortest is not None and "crop_pct" in record:  # as ConvNeXt's
        resize = math.floor(shortest / record["crop_pct"])
    unit = 1 / float(record.get("rescale_factor", 1 / 255) if record.get("do_rescale", True) else 1)
    is_normal = record.get("do_normalize", True)
    mean = record["image_mean"] if is_normal else [0.0] * 3
    std = record["image_std"] if is_normal else [1.0] * 3
    return {
        "resize": resize,
        "crop": crop,
        "interpolation": _FILTERS[record.get("resample", 2)],
        "mean": [value * unit for value in mean],
        "std": [value * unit for value in std],
        "squash": shortest is None,
    }


def _of_timm(record: dict[str, Any]) -> dict[str, Any]:
    """Translate the pretrained_cfg of a config.json."""
    crop = _square(record["input_size"][1:])
    return {
        "resize": math.floor(crop / record.get("crop_pct", USUAL_CROP)),
        "crop": crop,
        "interpolation": record.get("interpolation", "bicubic"),
        "mean": [255 * value for value in record["mean"]],
        "std": [255 * value for value in record["std"]],
        "squash": record.get("crop_mode") == "squash",
    }


def _square(sides: Sequence[int]) -> int:
    if len(set(sides)) != 1:
        raise ValueError(f"images are no squares: {sides}")
    return sides[0]
