"""torchvision's detectors by name: converted to OpenVINO once, suppression included, or in torch on CUDA."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cbir.backbones.weights import UNTRAINED_SEED, Weights, WeightsFile
from cbir.detect import masks
from cbir.detect.classes import coco_91
from cbir.detect.detection import FLOOR, Detections, Detector, Masks, Pixels, detect_with, identity_of
from cbir.detect.geometry import clipped, suppress, usable
from cbir.detect.wish import Wish
from cbir.engines.compiled import (
    check_precision,
    export_network,
    from_torch,
    import_network,
    keep_content,
    kept_content,
    processor,
    settings,
)
from cbir.engines.precision import compiled_folder
from cbir.engines.requests import Requests
from cbir.engines.select import WORTH_CUDA, WORTH_STREAMS, engine_and_precision, has_cuda
from cbir.errors import EngineError, WeightsError
from cbir.images.framed import Framed, Scaled
from cbir.images.views import Size
from cbir.utils.packages import check_torch, has_torch
from cbir.utils.printable import printable
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger("cbir")

#: Counts changes of the converted graph, so that compiled ones of older versions are not used any more.
GRAPH_VERSION = 1

_WITHOUT_TORCH = "there are detectors as graphs, .onnx or .tflite, for --weights"

_URL = "https://download.pytorch.org/models/"


# As nearly all of them resize an image.
_USUAL = Scaled(800, 1333)


@dataclass(frozen=True)
class Known:
    """A detector of torchvision: its published weights, and the view of an image as it would resize it itself."""

    file: str
    megabytes: int
    view: Framed | Scaled = _USUAL
    has_masks: bool = False

    @property
    def weights(self) -> WeightsFile:
        """The file of weights that torchvision publishes."""
        return WeightsFile(_URL + self.file, self.megabytes)


#: Those that know COCO's classes, the best choice first.
KNOWN: Mapping[str, Known] = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": Known(
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth", 74, Scaled(320, 640)
    ),
    "ssdlite320_mobilenet_v3_large": Known(
        "ssdlite320_mobilenet_v3_large_coco-a79551df.pth", 13, Framed(320, 320, "stretch")
    ),
    "fasterrcnn_mobilenet_v3_large_fpn": Known("fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth", 74),
    "fasterrcnn_resnet50_fpn": Known("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", 160),
    "fasterrcnn_resnet50_fpn_v2": Known("fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", 167),
    "fcos_resnet50_fpn": Known("fcos_resnet50_fpn_coco-99b0c9b7.pth", 124),
    "retinanet_resnet50_fpn": Known("retinanet_resnet50_fpn_coco-eeacb38b.pth", 130),
    "retinanet_resnet50_fpn_v2": Known("retinanet_resnet50_fpn_v2_coco-5905b1c5.pth", 146),
    "ssd300_vgg16": Known("ssd300_vgg16_coco-b556d3b4.pth", 136, Framed(300, 300, "stretch")),
    "maskrcnn_resnet50_fpn": Known("maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", 170, has_masks=True),
    "maskrcnn_resnet50_fpn_v2": Known("maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth", 177, has_masks=True),
}

#: The detector to begin with.
PREFERRED = "fasterrcnn_mobilenet_v3_large_320_fpn"

#: A function that begins with an image, uint8, (1, rows, columns, 3), and returns one that waits for boxes (n, 4) as
#: corners, scores, labels, and masks where there are any.
Start = Callable[[Pixels], Callable[[], list[Floats]]]


class TorchvisionDetector(Detector):
    """A detector of torchvision, on a runtime that `start` stands for.

    Its network drops boxes that overlap a better one by more than .5 or so itself; `overlap` may be less.
    """

    least_score = 0.5

    def __init__(self, wish: Wish, name: str, weights: Weights, start: Start) -> None:
        self._known = KNOWN[name]
        self._start = start
        self._overlap = wish.overlap
        self.name = self.kind = name
        self.weights = weights
        self.classes = wish.classes or coco_91()
        self.has_masks = self._known.has_masks
        self.identity = identity_of(name, weights.identity, classes=self.classes, overlap=wish.overlap)

    @property
    def view(self) -> Framed | Scaled:
        """The view of an image that it takes."""
        return self._known.view

    def start(self, pixels: Pixels, size: Size) -> Callable[[], Detections]:
        """Begin with an image, as of `Detector`."""
        outputs = self._start(pixels[np.newaxis])
        return lambda: self._detections(outputs(), size)

    def detect(self, images: Sequence[Pixels]) -> list[Detections]:
        """Find objects in images, as of `Detector`."""
        return detect_with(self, images)

    def _detections(self, outputs: list[Floats], size: Size) -> Detections:
        corners, scores, labels = outputs[0].reshape(-1, 4), outputs[1].ravel(), outputs[2].ravel().astype(np.int64)
        placed = self.view.placed(size)
        scale = np.array([size[0] / placed.width, size[1] / placed.height] * 2, dtype=np.float32)
        boxes = clipped(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1) * scale, size)
        is_known = (labels > 0) & (labels < len(self.classes))
        rows = np.flatnonzero(usable(boxes, scores) & (scores >= FLOOR) & is_known)
        rows = rows[suppress(boxes[rows], scores[rows], labels[rows], self._overlap)]
        made = None
        if self.has_masks:
            rows_of_masks = outputs[3].reshape(len(labels), *outputs[3].shape[-2:])[rows]
            made = Masks(masks.pasted(rows_of_masks, boxes[rows], size), range(len(rows)))
        return Detections(boxes[rows], scores[rows], labels[rows], made)


def takes(wish: Wish) -> bool:
    """Tell whether what is wished for is a detector of torchvision."""
    return wish.name in KNOWN


def names() -> tuple[str, ...]:
    """List the names of detectors, the best choice first."""
    return tuple(KNOWN)


def open_detector(wish: Wish) -> TorchvisionDetector:
    """Open a detector by name; its weights are downloaded where they are not in torch's hub cache.

    WeightsError, EngineError, TorchMissingError where that cannot be.
    """
    assert wish.name is not None
    name = wish.name
    if wish.weights is None:
        weights = Weights.from_hub(KNOWN[name].weights)
    else:
        weights = Weights.untrained() if wish.weights == "untrained" else _from_file(wish.weights)
    if wish.classes and len(wish.classes) != len(coco_91()):
        raise WeightsError(f"{name} has {len(coco_91())} classes, and {len(wish.classes):,} are named with --classes.")
    engine, precision = engine_and_precision(wish.engine)
    if engine == "torch" or (engine == "auto" and wish.expected >= WORTH_CUDA and has_cuda() and has_torch()):
        check_torch(f"{name} in torch", _WITHOUT_TORCH)
        return TorchvisionDetector(wish, name, weights, _in_torch(name, weights, precision))
    return TorchvisionDetector(wish, name, weights, _in_openvino(name, weights, precision or "f32", wish))


def _from_file(path: str) -> Weights:
    from pathlib import Path

    return Weights.from_file(Path(path))


def _in_openvino(name: str, weights: Weights, precision: str, wish: Wish) -> Start:
    import openvino

    from cbir.utils.openvino_core import compile_network, open_core

    core = open_core()
    check_precision(core, precision)
    key = json.dumps([name, weights.identity, precision, GRAPH_VERSION, openvino.__version__, processor(core)])
    file = compiled_folder() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.blob"
    many = wish.expected >= WORTH_STREAMS
    properties = settings(precision, "THROUGHPUT" if many else "LATENCY")
    compiled = import_network(core, kept_content(file), properties)
    if compiled is None:
        check_torch(f"Converting {name}", _WITHOUT_TORCH)
        logger.info("Preparing %s for this processor (once, up to a minute) …", name)
        with maps_of_masks():
            model = from_torch(outputs_of(build(name, weights)), example(KNOWN[name].view), [1, -1, -1, 3])
        compiled = compile_network(core, model, properties)
        keep_content(file, export_network(compiled))
    return Requests(compiled, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1 if many else 1).start


def _in_torch(name: str, weights: Weights, precision: str | None) -> Start:
    import torch

    if precision not in (None, "f32"):
        raise EngineError(f"torch computes {name} in f32, not in {precision}.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = outputs_of(build(name, weights)).to(device)
    turn = threading.Lock()  # masks stay small by a change to torchvision's module, which all threads see

    def start(pixels: Pixels) -> Callable[[], list[Floats]]:
        # TF32, which cuDNN takes for float32 by itself, moves boxes by a third of a pixel
        with turn, torch.inference_mode(), maps_of_masks(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            tensor = torch.from_numpy(np.array(pixels)).to(device)
            found = [one.float().cpu().numpy() for one in network(tensor)]
        return lambda: found

    return start


def build(name: str, weights: Weights) -> nn.Module:
    """Build a network with `weights`, in evaluation mode; WeightsError where they do not fit."""
    import torch
    from torchvision.models import WeightsEnum, get_model, get_model_weights

    from cbir.backbones.torch_state import load_state_dict

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        if weights.source == "untrained":
            network: nn.Module = get_model(name, weights=None, weights_backbone=None).eval()
            return network
        path = weights.locate()
        state = load_state_dict(path)
        if not all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point()):
            raise WeightsError(f"The weights in {path} hold numbers that are not finite.")
        try:
            # as its maker builds it for published weights, whose batch normalisation is another; but with these
            with _replaced(WeightsEnum, "get_state_dict", lambda *_, **__: state):
                network = get_model(name, weights=get_model_weights(name).DEFAULT).eval()
        except RuntimeError as error:
            lines = str(error).splitlines()
            raise WeightsError(
                f"The weights in {path} do not fit {name}: {printable(' '.join(lines[1:2]).strip()[:300])}"
            ) from error
    return network


def example(view: Framed | Scaled) -> torch.Tensor:
    """Return an image of the view's size to trace with."""
    import torch

    from cbir.detect import scene

    picture = scene.draw()
    pixels = view.make(picture, (0, 0, *picture.size), picture.size)["pixels"]
    return torch.from_numpy(np.array(pixels)[np.newaxis])


def outputs_of(network: nn.Module) -> nn.Module:
    """Return a module that takes an image, uint8, (1, rows, columns, 3), and returns what `Start` says."""
    from torch import nn

    class Outputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            (found,) = self.network([images[0].permute(2, 0, 1).float() / 255])
            keys = ("boxes", "scores", "labels", "masks")
            return tuple(found[key] for key in keys if key in found)

    return Outputs().eval()


@contextmanager
def maps_of_masks() -> Iterator[None]:
    """Have Mask R-CNN leave its masks as they are, 28 x 28 for each box: pasting them has loops that do not convert."""
    from torchvision.models.detection import transform

    with _replaced(transform, "paste_masks_in_image", lambda masks, boxes, size, padding=1: masks):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an attribute another value for a while."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
