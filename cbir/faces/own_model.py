"""A user's own network for faces: an ONNX file that takes aligned faces of 112 pixels, tried out as any graph is.

How pixels enter is what a JSON file beside it says (`backbones.onnx`), else as usual for such networks: RGB, from -1
to 1. The word `colours` there may be "bgr".
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbir.backbones import onnx
from cbir.backbones.graph_trial import RefusedError
from cbir.backbones.onnx_files import ENDING
from cbir.backbones.weights import Weights
from cbir.engines.select import WORTH_STREAMS, engine_and_precision
from cbir.errors import EngineError, ModelError, WeightsError, reason_of
from cbir.faces.layers import Start
from cbir.images.fit import Preprocessing
from cbir.index.entries import MOST_FACE_NUMBERS
from cbir.utils.printable import printable
from cbir.utils.workers import usable_cores

logger = logging.getLogger("cbir")

#: Pixels of a face's side, as such networks take it.
SIDE = 112

_USUAL = Preprocessing(SIDE, SIDE, "bilinear", (127.5,) * 3, (127.5,) * 3)


@dataclass(frozen=True)
class OwnNetwork:
    """A network that was opened: its file's name without ending, what tells it apart, and the length of vectors."""

    name: str
    identity: str
    dimension: int
    start: Start


def open_own(path: Path, *, engine: str | None = None, expected: int = 1) -> OwnNetwork:
    """Open an ONNX file; `engine` and `expected` are as in `engines.select.open_engine`.

    ModelError, WeightsError where it is of no use, EngineError where it cannot be run so.
    """
    import openvino

    from cbir.backbones import onnx_graph
    from cbir.engines.compiled import (
        check_precision,
        export_network,
        import_network,
        keep_content,
        kept_content,
        processor,
        settings,
    )
    from cbir.engines.precision import compiled_folder
    from cbir.engines.requests import Requests
    from cbir.utils.openvino_core import compile_network, open_core

    chosen, insisted = engine_and_precision(engine)
    if chosen == "torch":
        raise EngineError(f"torch does not run {path}: leave --engine or $CBIR_ENGINE out.")
    if path.suffix.lower() != ENDING or not path.is_file():
        raise ModelError(f"There is no network for faces {path}: --face-model takes an {ENDING} file.")
    core = open_core()
    precision = insisted or "f32"
    check_precision(core, precision)
    weights = Weights.from_file(path)
    preprocessing, output, is_bgr = _entering(path)
    facts = onnx.facts_of(path, weights, output, SIDE)
    if facts.side not in (0, SIDE):
        raise WeightsError(f"{path} takes pictures of {facts.side} pixels: networks for faces take {SIDE} x {SIDE}.")
    if facts.dimension > MOST_FACE_NUMBERS:
        raise WeightsError(
            f"{path} gives {facts.dimension:,} numbers of a picture: networks for faces give {MOST_FACE_NUMBERS:,} at "
            "most."
        )
    identity = _hash([weights.identity, preprocessing.to_json(), output, is_bgr])
    hint = "THROUGHPUT" if expected >= WORTH_STREAMS else "LATENCY"
    key = _hash([identity, onnx.VERSION, precision, hint, openvino.__version__, processor(core)])
    file = compiled_folder() / f"face-model-{key[:20]}.blob"
    properties = settings(precision, hint)
    compiled = import_network(core, kept_content(file), properties)
    if compiled is None:
        logger.info("Preparing %s for this processor (once) …", path)
        try:
            compiled = compile_network(
                core, onnx_graph.read(str(path), facts, preprocessing, is_bgr=is_bgr), properties
            )
        except RefusedError as error:
            raise WeightsError(f"{path} cannot be used as a network for faces: {printable(str(error))}.") from error
        keep_content(file, export_network(compiled))
    requests = Requests(compiled, usable_cores() + 1 if expected >= WORTH_STREAMS else 1)
    return OwnNetwork(path.stem, identity, facts.dimension, requests.start)


def _entering(path: Path) -> tuple[Preprocessing, str | None, bool]:
    """Read how pixels enter a file's network, which output is meant, and whether blue comes first."""
    description, origin = onnx.description_beside(path)
    try:
        found = onnx.preprocessing_in(description)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ModelError(f"{origin} does not say how pixels enter {path} ({reason_of(error)}).") from error
    if found is not None and found.crop != SIDE:
        raise ModelError(f"{origin} says that pictures have {found.crop} pixels: faces have {SIDE} x {SIDE}.")
    output, colours = description.get("output"), description.get("colours", "rgb")
    if colours not in ("rgb", "bgr"):
        raise ModelError(f"{origin} says neither rgb nor bgr of the colours of {path}.")
    return found or _USUAL, output if isinstance(output, str) else None, colours == "bgr"


def _hash(facts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
