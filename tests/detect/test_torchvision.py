"""torchvision's detectors: converted to OpenVINO, they find what they find in torch."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torchvision.models import get_model, get_model_weights  # noqa: E402
from torchvision.models.detection.roi_heads import paste_masks_in_image  # noqa: E402

from cbir.backbones.weights import Weights  # noqa: E402
from cbir.cli.options.detectors import NAMES  # noqa: E402
from cbir.detect import masks, registry, scene  # noqa: E402
from cbir.detect import torchvision as detectors  # noqa: E402
from cbir.detect.classes import coco_91  # noqa: E402
from cbir.detect.detection import Pixels  # noqa: E402
from cbir.detect.geometry import whole_pixels  # noqa: E402
from cbir.detect.wish import Wish  # noqa: E402
from cbir.engines.select import has_cuda  # noqa: E402
from cbir.errors import EngineError, ModelError, WeightsError  # noqa: E402
from cbir.images.framed import Scaled  # noqa: E402

FIRST = "fasterrcnn_mobilenet_v3_large_320_fpn"

#: How much livelier than at the start the numbers are made that decide on classes.
LIVELIER = {FIRST: 8.0, "fcos_resnet50_fpn": 4.0, "maskrcnn_resnet50_fpn": 6.0}
DECISIVE = ("cls_score.weight", "cls_logits.weight", "classification_head")

#: How much a block of a residual network adds to what it is given. At the start it is as much again, and each block
#: makes more of the rounding of those before; a trained one adds little.
ADDED = 0.1

# Numbers of a network, as a runtime returns them: boxes as corners, scores, labels, perhaps masks.
Outputs = Sequence[np.ndarray]


def lively(name: str, path: Path) -> Path:
    """Save weights of a network that nobody trained, but that is sure of much, and hardly swayed by rounding."""
    torch.manual_seed(3)
    network = get_model(name, weights=None, weights_backbone=None).eval()
    for key, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):  # so that nothing vanishes or explodes on the way
            module.reset_running_stats()
            module.momentum = None
            module.train()
            if key.endswith("bn3"):
                nn.init.constant_(module.weight, ADDED)
    image = tensor(detectors.example(detectors.KNOWN[name].view)[0].numpy())
    network.transform.min_size = (min(image.shape[1:]),)  # as it will be, and not larger
    with torch.no_grad():
        network([image, image.flip(2)])
        for key, numbers in network.named_parameters():
            if key.endswith("weight") and any(part in key for part in DECISIVE):
                numbers *= LIVELIER.get(name, 1.0)
            if key.endswith("mask_fcn_logits.weight"):
                numbers *= 0.3  # or they were as sure as can be of each point
    torch.save(network.state_dict(), path)
    return path


def tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255


def views(detector: detectors.TorchvisionDetector) -> list[Pixels]:
    """The drawn scene in three shapes, as the detector takes them."""
    drawn = scene.draw()
    pictures = [drawn, drawn.resize((300, 500)), drawn.crop((60, 20, 500, 380))]
    return [detector.view.make(one, (0, 0, *one.size), one.size)["pixels"] for one in pictures]


@pytest.fixture
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have networks look at pictures of 320 pixels: at 1,333 rounding alone moves boxes by .003."""
    original = detectors.build

    def build(name: str, weights: Weights) -> nn.Module:
        network = original(name, weights)
        network.transform.min_size, network.transform.max_size = (320,), 640
        return network

    monkeypatch.setattr(detectors, "build", build)
    for name in ("fcos_resnet50_fpn", "maskrcnn_resnet50_fpn"):
        known = dataclasses.replace(detectors.KNOWN[name], view=Scaled(320, 640))
        monkeypatch.setitem(detectors.KNOWN, name, known)


def assert_alike(found: Outputs, expected: Outputs, pixels: float = 1e-3, numbers: float = 1e-5) -> None:
    """Boxes agree to some `pixels`, all other numbers to `numbers`; ties may change places.

    Suppression decides, and rounding may turn a close decision: of one box in a hundred.
    """
    boxes, scores, labels, *masks_ = expected
    assert len(found[0]) == len(boxes)
    missed = 0
    for row, box in enumerate(boxes):
        if scores[row] < scores.min() + numbers:
            continue  # of those that are as good as the last one, any may have come in
        places = np.flatnonzero((found[2] == labels[row]) & (abs(found[0] - box).max(axis=1) < pixels))
        if not len(places):
            missed += 1
            continue
        assert abs(found[1][places[0]] - scores[row]) < numbers
        if masks_:
            assert abs(found[3][places[0]] - masks_[0][row]).max() < numbers
    assert missed <= len(boxes) / 100


def both(name: str, folder: Path) -> Iterator[tuple[detectors.TorchvisionDetector, Pixels, Outputs, Outputs]]:
    """Yield the detector, each view of the scene, and what OpenVINO and torch make of it."""
    path = lively(name, folder / "lively.pth")
    detector = detectors.open_detector(Wish(name=name, weights=str(path)))
    network = detectors.build(name, detector.weights)
    for pixels in views(detector):
        with torch.no_grad(), detectors.maps_of_masks():
            (expected,) = network([tensor(pixels)])
        keys = [key for key in ("boxes", "scores", "labels", "masks") if key in expected]
        yield detector, pixels, detector._start(pixels[np.newaxis])(), [expected[key].numpy() for key in keys]


def assert_torch_and_openvino_agree(name: str, folder: Path) -> None:
    count = 0
    for _, _, found, expected in both(name, folder):
        assert_alike(found, expected)
        count += len(found[0])
    assert count > 20


def test_the_first_choice_finds_what_it_finds_in_torch(tmp_path: Path) -> None:
    assert_torch_and_openvino_agree(FIRST, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("smaller")
@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "fcos_resnet50_fpn"])
def test_others_find_what_they_find_in_torch(name: str, tmp_path: Path) -> None:
    assert_torch_and_openvino_agree(name, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("smaller")
def test_mask_rcnn_finds_what_it_finds_in_torch(tmp_path: Path) -> None:
    """Masks, pasted as they are in torchvision, differ in one pixel of a thousand at most."""
    for detector, pixels, found, expected in both("maskrcnn_resnet50_fpn", tmp_path):
        assert_alike(found, expected)
        assert expected[3].std() > 0.1
        height, width = pixels.shape[:2]
        detections = detector.start(pixels, (width, height))()
        assert detections.masks is not None
        assert len(detections) > 20
        corners, of_torch = (torch.from_numpy(expected[place]) for place in (0, 3))
        pasted = paste_masks_in_image(of_torch, corners, (height, width))[:, 0].numpy() > 0.5
        differ = count = 0
        for (x, y, wide, high), number, mask in zip(
            detections.boxes.tolist(), detections.classes, detections.masks, strict=True
        ):
            far = abs(expected[0] - np.array([x, y, x + wide, y + high])).max(axis=1) + (expected[2] != number)
            if far.min() < 1e-2:
                place = whole_pixels((x, y, wide, high), (width, height))
                cut = pasted[far.argmin(), place.y : place.y + place.height, place.x : place.x + place.width]
                differ, count = differ + np.count_nonzero(mask != cut), count + mask.size
        assert differ < count / 1000


@pytest.mark.parametrize(
    "box", [(10.3, 20.6, 81.2, 40.9), (0.0, 0.0, 30.5, 61.0), (100.2, 70.1, 19.8, 9.9), (3.1, 4.2, 0.6, 0.4)]
)
def test_masks_are_pasted_as_torchvision_does(box: tuple[float, float, float, float]) -> None:
    size = (120, 80)
    values = torch.rand((1, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    x, y, width, height = box
    corners = torch.tensor([[x, y, x + width, y + height]])
    expected = paste_masks_in_image(values, corners, (size[1], size[0]))[0, 0].numpy()
    place = whole_pixels(box, size)
    cut = expected[place.y : place.y + place.height, place.x : place.x + place.width]
    pasted = masks.paste(values[0, 0].numpy(), box, size)
    assert pasted.shape == (place.height, place.width)
    assert abs(pasted - cut).max() < 1e-5
    assert cut.max() > 0.1


def test_known_detectors_are_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(detectors.KNOWN) == NAMES
    for name, known in detectors.KNOWN.items():
        published = get_model_weights(name).DEFAULT
        assert known.weights.url == published.url
        assert known.megabytes == round(published.meta["_file_size"])
        assert coco_91() == tuple(published.meta["categories"])
        assert known.has_masks == name.startswith("maskrcnn")


@pytest.mark.parametrize("name", [FIRST, "retinanet_resnet50_fpn", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"])
def test_views_are_of_the_size_that_a_network_would_resize_to(name: str) -> None:
    transform = get_model(name, weights=None, weights_backbone=None).transform
    view = detectors.KNOWN[name].view
    for size in ((640, 480), (300, 1000), (4000, 3000), (1201, 800), (97, 101)):
        placed = view.placed(size)
        resized, _ = transform.resize(torch.zeros(3, placed.height, placed.width), None)
        assert tuple(resized.shape[1:]) == (placed.height, placed.width)
        if hasattr(view, "shorter"):
            plain, _ = transform.resize(torch.zeros(3, size[1], size[0]), None)
            assert abs(np.subtract(plain.shape[1:], (placed.height, placed.width))).max() <= 1


def test_weights_that_do_not_fit_are_told(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=f"other.pth do not fit {FIRST}: Missing key"):
        detectors.open_detector(Wish(name=FIRST, weights=str(tmp_path / "other.pth")))
    state = get_model(FIRST, weights=None, weights_backbone=None).state_dict()
    state["roi_heads.box_predictor.cls_score.bias"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match="not finite"):
        detectors.open_detector(Wish(name=FIRST, weights=str(tmp_path / "nan.pth")))


def test_engines_that_cannot_be_are_told() -> None:
    with pytest.raises(EngineError, match="no engine 'tpu'"):
        detectors.open_detector(Wish(name=FIRST, weights="untrained", engine="tpu"))
    with pytest.raises(EngineError, match=r"torch computes .* in f32, not in f16"):
        detectors.open_detector(Wish(name=FIRST, weights="untrained", engine="torch:f16"))
    with pytest.raises(WeightsError, match="has 91 classes, and 2 are named"):
        detectors.open_detector(Wish(name=FIRST, weights="untrained", classes=("a", "b")))
    with pytest.raises(ModelError, match="Did you mean fasterrcnn_resnet50_fpn"):
        registry.open_detector(Wish(name="fasterrcnn_resnet50"))


def test_a_kept_network_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = Wish(name=FIRST, weights="untrained")
    detector = detectors.open_detector(wish)
    found = detector.detect([np.asarray(scene.draw())])
    assert detector.identity != detectors.open_detector(dataclasses.replace(wish, overlap=0.3)).identity
    monkeypatch.setitem(sys.modules, "torch", None)
    again = detectors.open_detector(wish).detect([np.asarray(scene.draw())])
    assert np.array_equal(found[0].boxes, again[0].boxes)


def test_torch_itself_runs_it_and_masks_are_as_large_as_boxes(tmp_path: Path) -> None:
    path = lively(FIRST, tmp_path / "lively.pth")
    image = np.asarray(scene.draw())
    (by_torch,) = detectors.open_detector(Wish(name=FIRST, weights=str(path), engine="torch")).detect([image])
    (by_openvino,) = detectors.open_detector(Wish(name=FIRST, weights=str(path))).detect([image])
    assert len(by_torch) == len(by_openvino) > 5
    assert abs(by_torch.scores - by_openvino.scores).max() < 1e-3


@pytest.mark.skipif(not has_cuda(), reason="there is no CUDA device")
@pytest.mark.usefixtures("smaller")
def test_cuda_finds_what_openvino_finds(tmp_path: Path) -> None:
    name = "maskrcnn_resnet50_fpn"
    path = lively(name, tmp_path / "lively.pth")
    on_cuda = detectors.open_detector(Wish(name=name, weights=str(path), expected=1000))
    in_openvino = detectors.open_detector(Wish(name=name, weights=str(path), engine="openvino"))
    for pixels in views(on_cuda):
        found, expected = (one._start(pixels[np.newaxis])() for one in (on_cuda, in_openvino))
        assert_alike(found, expected, pixels=5e-3, numbers=1e-4)
        assert len(found[0]) > 20
        height, width = pixels.shape[:2]
        detections = on_cuda.start(pixels, (width, height))()
        assert detections.masks is not None
        for box, mask in zip(detections.boxes.tolist(), detections.masks, strict=True):
            where = whole_pixels(tuple(box), (width, height))
            assert mask.shape == (where.height, where.width)
