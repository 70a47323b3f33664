"""Detectors of graph files, ONNX or TFLite, by OpenVINO."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino

from cbir.backbones.weights import Weights
from cbir.detect import masks
from cbir.detect.classes import usual_names
from cbir.detect.detection import Detections, Detector, Masks, Pixels, detect_with, identity_of
from cbir.detect.geometry import clipped, suppress, usable
from cbir.detect.layouts.layout import Found, Layout
from cbir.detect.layouts.yolox import YoloX
from cbir.detect.trial import VERSION, Asked, Tried, try_out
from cbir.detect.wish import Wish
from cbir.engines.compiled import (
    check_precision,
    import_network,
    keep_content,
    kept_content,
    precisions,
    processor,
    settings,
)
from cbir.engines.precision import compiled_folder
from cbir.engines.requests import Requests
from cbir.engines.select import WORTH_STREAMS, engine_and_precision
from cbir.errors import EngineError, WeightsError, reason_of
from cbir.images.framed import Framed
from cbir.images.views import Size
from cbir.utils.opening import open_regular
from cbir.utils.openvino_core import open_core

logger = logging.getLogger("cbir")

#: Endings of the names of files that are graphs.
ENDINGS = (".onnx", ".tflite")

# Bytes of a file; the largest that OpenVINO reads as one.
_MOST_BYTES = 2 << 30

# Bytes before the compiled network in the cache's file, which tell how long the description is that comes first.
_LENGTH = 8


class GraphDetector(Detector):
    """A detector whose network is a graph that somebody else has made.

    The network may still be loading, which the first image waits for.
    """

    def __init__(self, tried: Tried, requests: Future[Requests], weights: Weights, wish: Wish) -> None:
        self._tried = tried
        self._requests = requests
        self._overlap = wish.overlap
        self.weights = weights
        self.name = Path(weights.path or "").stem
        self.kind = tried.layout.name
        self.classes = wish.classes or tried.names or usual_names(tried.layout.classes)
        self.least_score = tried.layout.least_score
        self.has_masks = tried.layout.has_masks
        described = tried.to_json() | {"best": 0, "better": [], "names": []}
        self.identity = identity_of(weights.identity, described, classes=self.classes, overlap=wish.overlap)

    @property
    def view(self) -> Framed:
        """The view of an image that it takes."""
        return self._tried.frame

    def start(self, pixels: Pixels, size: Size) -> Callable[[], Detections]:
        """Begin with an image, as of `Detector`."""
        outputs = self._requests.result().start(pixels[np.newaxis])
        return lambda: self._detections(self._tried.layout.decode(outputs()), size)

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        """Find objects in images, as of `Detector`."""
        return detect_with(self, images)

    def _detections(self, found: Found, size: Size) -> Detections:
        """Bring the boxes of an image back to its own pixels, and drop those that show the same thing."""
        placed = self.view.placed(size)
        scale = np.array([size[0] / placed.width, size[1] / placed.height] * 2, dtype=np.float32)
        corners = (found.corners - np.array([placed.left, placed.top] * 2, dtype=np.float32)) * scale
        boxes = clipped(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), size)
        rows = np.flatnonzero(usable(boxes, found.scores))
        rows = rows[suppress(boxes[rows], found.scores[rows], found.classes[rows], self._overlap)]
        made = None
        if found.coefficients is not None and found.maps is not None:
            frame = self.view.width, self.view.height
            make = masks.from_maps(found.coefficients[rows], found.maps, boxes[rows], size, frame, placed)
            made = Masks(make, range(len(rows)))
        scores = np.minimum(found.scores[rows], np.float32(1))
        return Detections(boxes[rows], scores, found.classes[rows], made)


def takes(wish: Wish) -> bool:
    """Tell whether what is wished for is a graph file."""
    return wish.name is None and wish.weights is not None and wish.weights.lower().endswith(ENDINGS)


def names() -> tuple[str, ...]:
    """List the names of detectors of this family: none, they are files."""
    return ()


def open_detector(wish: Wish) -> GraphDetector:
    """Open a graph file as a detector. Raises WeightsError where it is none, EngineError where it cannot be run so."""
    assert wish.weights is not None
    path = Path(wish.weights)
    engine, insisted = engine_and_precision(wish.engine)
    if engine == "torch":
        raise EngineError(f"torch does not run {path}: leave --engine or $CBIR_ENGINE out.")
    core = open_core()
    precision = insisted or "f32"
    check_precision(core, precision)
    try:
        open_regular(path, most=_MOST_BYTES).close()
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {reason_of(error)}.") from error
    weights = Weights.from_file(path)
    many = wish.expected >= WORTH_STREAMS
    properties = settings(precision, "THROUGHPUT" if many else "LATENCY")
    tried, load = _prepared(core, path, weights, wish, precision, properties)
    if insisted is None and wish.is_large and _keeps_bf16(tried.layout) and "bf16" in precisions(core):
        _, load = _prepared(core, path, weights, wish, "bf16", settings("bf16", "THROUGHPUT"))
    if wish.classes and len(wish.classes) != tried.layout.classes:
        raise WeightsError(
            f"{path} has {tried.layout.classes:,} classes, and {len(wish.classes):,} are named with --classes."
        )
    if not tried.finds_something:
        logger.warning("%s", _doubt(path, tried, wish.asked))

    def open_requests() -> Requests:
        compiled = load()
        return Requests(compiled, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1 if many else 1)

    loader = ThreadPoolExecutor(1, thread_name_prefix="load")  # while Python imports more, and reads the first picture
    requests = loader.submit(open_requests)
    loader.shutdown(wait=False)
    return GraphDetector(tried, requests, weights, wish)


def _keeps_bf16(layout: Layout) -> bool:
    """Tell whether as much is found in bfloat16: measured of YOLOX (docs/method/precision.md).

    Where a graph computes places in pixels itself, 8 bits of a number leave them two pixels off.
    """
    return isinstance(layout, YoloX) and not layout.decoded


def _prepared(
    core: openvino.Core, path: Path, weights: Weights, wish: Wish, precision: str, properties: dict[str, str]
) -> tuple[Tried, Callable[[], openvino.CompiledModel]]:
    """Return how the network is to be used, and what loads it: from the cache where it is there, else tried out now."""
    named = len(wish.classes) if wish.classes else None
    key = json.dumps(
        [weights.identity, vars(wish.asked), named, precision, VERSION, openvino.__version__, processor(core)]
    )
    file = compiled_folder() / f"detector-{hashlib.sha256(key.encode()).hexdigest()[:20]}.blob"

    def prepare() -> tuple[Tried, openvino.CompiledModel]:
        logger.info("Preparing %s for this processor (once) …", path)
        tried, blob = try_out(path, wish.asked, names=named, precision=precision)
        compiled = import_network(core, blob, properties)
        if compiled is None:
            raise EngineError(f"OpenVINO cannot load {path}, which it has just prepared.")
        header = json.dumps(tried.to_json()).encode("ascii")
        keep_content(file, len(header).to_bytes(_LENGTH, "little"), header, blob)
        return tried, compiled

    if stored := kept_content(file):
        length = int.from_bytes(stored[:_LENGTH], "little")
        header, blob = stored[_LENGTH : _LENGTH + length], stored[_LENGTH + length :]
        return Tried.from_json(json.loads(header)), lambda: import_network(core, blob, properties) or prepare()[1]
    tried, compiled = prepare()
    return tried, lambda: compiled


def _doubt(path: Path, tried: Tried, asked: Asked) -> str:
    """Say that a detector finds nothing in a scene in which those of everyday things find something."""
    entering = ",".join((tried.input.colours, tried.input.range, tried.input.place))
    if tried.better:
        return (
            f"{path} finds nothing on a drawn scene with pixels as {entering}, but it does with "
            f"{' and '.join(tried.better)}: try --input {tried.better[0]}."
        )
    return (
        f"{path} finds nothing on a drawn scene of everyday things (its best score is {tried.best:.2f}). If it is to "
        f"know such, pixels may have to enter it in another way than as {entering}: see --input."
    )
