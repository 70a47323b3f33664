"""Approximate masks: of what is in a box, and not of what is behind it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.detect.detection import Detections
from cbir.detect.geometry import whole_pixels
from cbir.detect.spreading import Spread, with_masks
from cbir.engines.lazy import LazyEngine
from cbir.segment.superpixels import Superpixels


@pytest.fixture(scope="module")
def engine() -> LazyEngine:
    """The bundled network."""
    return LazyEngine(describe(BUNDLED))


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    """Boxes of one class."""
    count = len(boxes)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.ones(count, np.float32), np.zeros(count, np.int64))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The intersection over union of two masks."""
    return float((one & other).sum() / (one | other).sum())


def test_a_disc_is_told_from_the_corners_of_its_box(engine: LazyEngine) -> None:
    image = Image.new("RGB", (500, 400), (60, 110, 50))
    truth = Image.new("1", image.size)
    for canvas, colour in ((image, (240, 150, 30)), (truth, 1)):
        ImageDraw.Draw(canvas).ellipse((150, 100, 349, 299), colour)
    found = with_masks(detections((150, 100, 200, 200), (0, 0, 500, 400)), image, engine)
    assert found.masks is not None
    mask = found.masks[0]
    assert mask.shape == (200, 200)
    drawn = np.asarray(truth)[100:300, 150:350]
    assert overlap(mask, drawn) > 0.95 > 0.9 > overlap(np.ones_like(drawn), drawn)
    assert found.masks[1].shape == (400, 500)


def test_masks_have_the_pixels_of_their_boxes(engine: LazyEngine) -> None:
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 255, (211, 307, 3), dtype=np.uint8))
    boxes = [(0.5, 0.5, 3.2, 3.2), (300.2, 200.7, 6.8, 10.3), (0, 0, 307, 211), (100, 50, 0.1, 0.1), (10, 10, 290, 1)]
    found = with_masks(detections(*boxes), image, engine)
    assert found.masks is not None
    for box, mask in zip(boxes, found.masks, strict=True):
        place = whole_pixels(box, image.size)
        assert mask.shape == (place.height, place.width)
        assert mask.dtype == bool


def test_a_picture_of_one_superpixel_is_all_thing() -> None:
    cut = Superpixels(
        np.zeros((4, 6), np.int64), np.ones(1, np.float32), *[np.zeros((1, 2), np.float32)] * 2, np.zeros((0, 2), int)
    )
    spread = Spread.of(cut, np.ones((1, 1), np.float32), (12, 8))
    assert spread.mask((0, 0, 12, 8)).all()


def test_no_detections_need_no_network() -> None:
    found = with_masks(detections(), Image.new("RGB", (50, 50)), LazyEngine(describe(BUNDLED)))
    assert found.masks is not None
    assert len(found.masks) == 0


def test_votes_stay_where_nothing_belongs_together() -> None:
    labels = np.arange(16).reshape(4, 4).repeat(10, axis=0).repeat(10, axis=1)
    shares = np.full(16, 1 / 16, np.float32)
    cut = Superpixels(
        labels, shares, np.zeros((16, 2), np.float32), np.zeros((16, 3), np.float32), np.zeros((0, 2), int)
    )
    apart = Spread.of(cut, np.full((16, 16), 0.01, np.float32), (40, 40)).mask((0, 0, 20, 20))
    assert apart.any()
    joined = np.full((16, 16), 0.01, np.float32)
    joined[:8, :8] = 0.99  # the upper half is one thing
    upper = Spread.of(cut, joined, (40, 40)).mask((0, 0, 40, 24))
    assert upper[:18].mean() > 0.95
    assert upper[21:].mean() < 0.05
