"""Point 21: how well and how fast objects are found, on the photos of `shared/detect`.

Mean average precision (VOC's rule, overlap .5) is of VOC's 20 classes on the photos that come from there, in which all
objects of these classes are drawn. `regions` is measured with objectness learnt from the other half of the photos, by
turns, so that none is judged by what it taught.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import objects_search
from benchmarks.harness import Settings, cbir_command, run_command, take_turns, timed
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.detect.classes import COCO, VOC
from cbir.detect.detection import Detections
from cbir.detect.formats.annotations import Annotated, Annotation, Annotations
from cbir.detect.formats.reading import read_boxes
from cbir.detect.geometry import whole_pixels
from cbir.detect.region_detector import RegionsDetector, known_classes, nodes_of
from cbir.detect.registry import open_detector
from cbir.detect.spreading import with_masks
from cbir.detect.wish import Wish
from cbir.engines.lazy import LazyEngine
from cbir.evaluation.box_sources import same_classes
from cbir.evaluation.boxes import BoxEvaluation, evaluate_boxes
from cbir.images.large import Large
from scripts.objectness import learn

Pixels = npt.NDArray[np.uint8]

#: What YOLOX's boxes are suppressed by and from which score they count, when decoded here.
_OVERLAP, _FLOOR = 0.45, 0.01


def run(settings: Settings) -> Iterator[Result]:
    """Find objects in all photos, and measure."""
    folder = settings.shared / "detect"
    if not folder.is_dir():
        return
    truth = read_boxes(folder / "boxes.json")
    photos = [np.asarray(Image.open(folder / "photos" / one.name).convert("RGB")) for one in truth.pictures]
    yield from _yolox(settings, folder, truth, photos)
    yield from _regions(truth, photos)
    yield from _masks(folder, truth, photos)
    yield from objects_search.run(settings, folder, truth)


def _yolox(settings: Settings, folder: Path, truth: Annotations, photos: Sequence[Pixels]) -> Iterator[Result]:
    file = folder / "models" / "yolox_nano.onnx"
    detector = open_detector(Wish(weights=str(file)))
    found = [detector.detect([pixels])[0] for pixels in photos]
    own = map_of(truth, _annotations(found, detector.classes))
    plain = map_of(truth, [decoded(file, pixels) for pixels in photos])
    details = f"cbir {own.overall.voc:.3f}, plainly decoded {plain.overall.voc:.3f}; COCO's AP {own.overall.ap:.3f}"
    yield measured("objects-yolox", abs(own.overall.voc - plain.overall.voc), details)
    seconds = [timed(detector.detect, [pixels]) for pixels in photos]
    yield noted(21, "yolox_nano: a decoded photo, the network open", 1000 * median(seconds), "ms", seconds=seconds)
    photo = folder / "photos" / truth.pictures[0].name
    command = [*cbir_command(), "detect", photo, "--weights", file, "--json"]
    pair = take_turns(
        partial(timed, run_command, command),
        partial(timed, run_command, [*cbir_command(), "--help"]),
        settings.pick(9, 3),
    )
    after = median(pair.first) - median(pair.second)
    yield measured("objects-command", after, f"{median(pair.first):.2f} s with the start", **pair.to_json())


def _regions(truth: Annotations, photos: Sequence[Pixels]) -> Iterator[Result]:
    engine = LazyEngine(describe(BUNDLED))
    views = [_view(pixels) for pixels in photos]
    some = [(nodes_of(view, engine)[1], picture) for view, picture in zip(views, truth.pictures, strict=True)]
    found, seconds = [], []
    detectors = [
        RegionsDetector(engine.backbone, engine, known_classes(), objectness=learn(some[1 - half :: 2]))
        for half in (0, 1)
    ]
    for place, (view, pixels) in enumerate(zip(views, photos, strict=True)):
        finish: Callable[[], Detections] = detectors[place % 2].start(view, (pixels.shape[1], pixels.shape[0]))
        seconds.append(timed(lambda finish=finish: found.append(finish())))
    measures = map_of(truth, _annotations(found, detectors[0].classes)).overall
    details = f"COCO's AP {measures.ap:.3f}; at .3 precision {measures.precision:.2f}, recall {measures.recall:.2f}"
    yield measured("objects-regions", measures.voc, details)
    yield measured("objects-regions-time", median(seconds), seconds=seconds)


def _masks(folder: Path, truth: Annotations, photos: Sequence[Pixels]) -> Iterator[Result]:
    """Approximate masks of the boxes that people drew, and the boxes themselves, against people's masks."""
    engine = LazyEngine(describe(BUNDLED))
    document = json.loads((folder / "boxes.json").read_text())
    overlaps, boxes, seconds = [], [], []
    for number, (image, pixels) in enumerate(zip(document["images"], photos, strict=True)):
        if "mask" not in image:
            continue
        drawn = np.asarray(Image.open(folder / "masks" / image["mask"]))
        own = [one for one in document["annotations"] if one["image_id"] == image["id"] and one.get("mask_value")]
        own = [one for one in own if (drawn == one["mask_value"]).mean() >= 0.01]
        array = np.array([one["bbox"] for one in own], dtype=np.float32).reshape(-1, 4)
        bare = Detections(array, np.ones(len(own), np.float32), np.zeros(len(own), np.int64))
        masks = with_masks(bare, Image.fromarray(photos[number]), engine).masks
        assert masks is not None
        for place, one in enumerate(own):
            x, y, width, height = whole_pixels(tuple(array[place].tolist()), (pixels.shape[1], pixels.shape[0]))
            wanted = drawn == one["mask_value"]
            inside = wanted[y : y + height, x : x + width]
            seconds.append(timed(masks.__getitem__, place))
            mask = masks[place]
            overlaps.append((mask & inside).sum() / (mask.sum() + wanted.sum() - (mask & inside).sum()))
            boxes.append(inside.sum() / (inside.size + wanted.sum() - inside.sum()))
    details = f"the box itself {np.mean(boxes):.3f}; {1000 * median(seconds):.0f} ms each; {len(boxes)} objects"
    yield measured("objects-masks", float(np.mean(overlaps)), details)


def map_of(truth: Annotations, found: Sequence[Sequence[Annotation]], least: float = 0.3) -> BoxEvaluation:
    """The measures on VOC's photos and classes."""
    pairs = [
        (picture, Annotated(picture.name, picture.size, tuple(boxes)))
        for picture, boxes in zip(truth.pictures, found, strict=True)
        if picture.name.startswith("voc")
    ]
    return evaluate_boxes(pairs, VOC, least)


def decoded(file: Path, pixels: Pixels) -> list[Annotation]:
    """YOLOX's boxes as its authors decode them, without anything of cbir's."""
    import openvino

    side = 416
    scale = min(side / pixels.shape[0], side / pixels.shape[1])
    width, height = int(pixels.shape[1] * scale), int(pixels.shape[0] * scale)
    canvas = np.full((side, side, 3), 114, dtype=np.float32)
    canvas[:height, :width] = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    if file not in _compiled:
        _compiled[file] = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (rows,) = next(iter(_compiled[file](canvas[np.newaxis, :, :, ::-1].transpose(0, 3, 1, 2)).values()))
    strides = [(x, y, stride) for stride in (8, 16, 32) for y in range(side // stride) for x in range(side // stride)]
    x, y, stride = np.array(strides, dtype=np.float32).T
    middle = (rows[:, :2] + np.stack([x, y], axis=1)) * stride[:, np.newaxis]
    sides = np.exp(rows[:, 2:4]) * stride[:, np.newaxis]
    boxes = np.concatenate([middle - sides / 2, sides], axis=1) / scale
    scores = rows[:, 4:5] * rows[:, 5:]
    same = same_classes(COCO, VOC)
    kept: list[Annotation] = []
    for number, name in enumerate(COCO):
        its: list[Annotation] = []
        for place in np.argsort(-scores[:, number]).tolist():
            score = float(scores[place, number])
            if score < _FLOOR or name not in same:
                break
            box = tuple(boxes[place].tolist())
            if all(_overlap(box, one.box) <= _OVERLAP for one in its):
                its.append(Annotation(box, same[name], score))
        kept += its
    return kept


_compiled: dict[Path, object] = {}


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _annotations(found: Sequence[Detections], classes: Sequence[str]) -> list[list[Annotation]]:
    same = same_classes(classes, VOC)
    return [
        [Annotation(one.box, same[one.name], one.score) for one in detections.each(classes) if one.name in same]
        for detections in found
    ]


def _view(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels)
    return Large().make(image, (0, 0, *image.size), image.size)["pixels"]
