"""Detection by regions: the nodes of merge trees, what is proposed of them, and the classes of proposals."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.detect import region_detector as regions
from cbir.detect.detection import FLOOR
from cbir.detect.objectness import FACTS, LEARNT, Nodes, Objectness, proposals
from cbir.detect.registry import open_detector
from cbir.detect.wish import Wish
from cbir.errors import ModelError, WordError
from cbir.images.large import Large
from cbir.segment.hierarchy import merge
from cbir.segment.superpixels import Superpixels
from cbir.utils.boxes import overlaps
from scripts.objectness import regression


def quarters() -> tuple[Superpixels, Nodes]:
    """A picture of four superpixels, of which the upper two are alike, and the lower two a little less."""
    labels = np.zeros((40, 60), dtype=np.int64)
    labels[:20, 30:], labels[20:, :30], labels[20:, 30:] = 1, 2, 3
    together = np.array([[1, 0.9, 0.1, 0.1], [0.9, 1, 0.1, 0.1], [0.1, 0.1, 1, 0.7], [0.1, 0.1, 0.7, 1]], np.float32)
    edges = np.array([[0, 1], [2, 3], [0, 2], [1, 3]])
    cut = Superpixels(labels, np.full(4, 0.25, np.float32), np.zeros((4, 2), np.float32), np.zeros((4, 3)), edges)
    return cut, Nodes.of(cut, merge(together, cut.shares, edges))


def test_nodes_are_superpixels_and_what_becomes_of_them() -> None:
    _, nodes = quarters()
    assert nodes.boxes.tolist() == [
        [0, 0, 30, 20], [30, 0, 30, 20], [0, 20, 30, 20], [30, 20, 30, 20], [0, 0, 60, 20], [0, 20, 60, 20],
        [0, 0, 60, 40],
    ]  # fmt: skip
    assert nodes.members[4:].tolist() == [[True, True, False, False], [False, False, True, True], [True] * 4]
    assert nodes.shares.tolist() == [0.25] * 4 + [0.5, 0.5, 1]
    assert nodes.formed[:4].tolist() == [0] * 4
    assert nodes.gone[:6].tolist() == nodes.formed[[4, 4, 5, 5, 6, 6]].tolist()
    assert nodes.formed[4] < nodes.formed[5] < nodes.formed[6] <= nodes.gone[6]


def test_facts_of_nodes() -> None:
    _, nodes = quarters()
    facts = dict(zip(FACTS, nodes.facts().T.tolist(), strict=True))
    assert np.exp(facts["log area"]) == pytest.approx([0.25] * 4 + [0.5, 0.5, 1])
    assert facts["fill"] == pytest.approx([1] * 7)
    assert facts["borders"] == [2, 2, 2, 2, 3, 3, 4]
    assert facts["centre across"] == [0.25] * 4 + [0] * 3
    assert facts["longer side"] == [0.5] * 4 + [1] * 3
    assert facts["persistence"] == pytest.approx(nodes.gone - nodes.formed)


def test_proposals_are_the_best_that_do_not_overlap_much() -> None:
    _, nodes = quarters()
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], dtype=np.float32)
    assert proposals(nodes, scores, 3).tolist() == [6, 5, 4]
    same = Nodes(nodes.members, nodes.boxes[[6] * 7], nodes.shares, nodes.formed, nodes.gone, nodes.size)
    assert proposals(same, scores, 3).tolist() == [6]
    small = Nodes(nodes.members, nodes.boxes, nodes.shares / 1000, nodes.formed, nodes.gone, nodes.size)
    assert proposals(small, scores, 3).tolist() == [6]


def test_the_objectness_is_learnt() -> None:
    random = np.random.default_rng(0)
    facts = random.normal(size=(20_000, 3)) * [1, 5, 0.2] + [3, 0, 1]
    log_odds = facts @ [1.5, -0.3, 2] - 4
    learnt = regression(facts, random.random(len(facts)) < 1 / (1 + np.exp(-log_odds)))
    assert learnt.weights == pytest.approx([1.5, -0.3, 2], rel=0.1)
    assert learnt.bias == pytest.approx(-4, rel=0.1)


def test_a_large_thing_in_the_middle_looks_more_like_one_than_a_corner() -> None:
    _, nodes = quarters()
    boxes = np.array([[15, 8, 30, 24], [0, 0, 3, 2]] + [[0, 0, 1, 40]] * 5, dtype=np.float32)
    some = Nodes(nodes.members, boxes, nodes.shares, nodes.formed, nodes.gone, nodes.size)
    middle, corner, strip = LEARNT.of(some)[:3]
    assert middle > 2 * corner
    assert middle > 2 * strip


@pytest.mark.parametrize(("name", "classes"), [("dog", 118), ("couch", 1), ("tv", 1), ("person", 3)])
def test_names_gather_classes(name: str, classes: int) -> None:
    assert (regions.weights_of(name) == 1).sum() == classes


def test_a_cow_is_looked_for_as_an_ox_and_a_giraffe_not_at_all() -> None:
    assert regions.weights_of("cow").max() > 0.9
    with pytest.raises(WordError, match="no class of 'giraffe'"):
        regions.weights_of("giraffe")
    assert "dog" in regions.known_classes()
    assert "giraffe" not in regions.known_classes()
    with pytest.raises(ModelError, match="cannot look for all"):
        open_detector(Wish(name="regions", classes=("dog", "giraffe")))


@pytest.fixture(scope="module")
def detector() -> regions.RegionsDetector:
    """The detector, with the bundled network."""
    found = open_detector(Wish(name="regions"))
    assert isinstance(found, regions.RegionsDetector)
    return found


def test_things_are_found(detector: regions.RegionsDetector) -> None:
    ball = Image.new("RGB", (400, 300), (70, 120, 60))
    ImageDraw.Draw(ball).ellipse((120, 70, 280, 230), (240, 140, 20))
    (found,) = detector.detect([np.asarray(ball)])
    assert len(found)
    best = max(overlaps(found.boxes, np.array([[120, 70, 160, 160]], np.float32))[:, 0])
    assert best > 0.8
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min() >= FLOOR
    assert {"boxes": found.boxes.dtype, "scores": found.scores.dtype} == {"boxes": "f4", "scores": "f4"}
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, :2] + found.boxes[:, 2:] <= [400, 300]).all()


def test_boxes_are_in_pixels_of_the_picture(detector: regions.RegionsDetector) -> None:
    image = Image.new("RGB", (500, 400), (70, 120, 60))
    ImageDraw.Draw(image).rectangle((100, 100, 300, 300), (240, 140, 20))
    arrays = Large().make(image, (0, 0, 500, 400), image.size)["pixels"]
    once, twice = (detector.start(arrays, size)() for size in ((500, 400), (1000, 800)))
    assert np.allclose(once.boxes * 2, twice.boxes, atol=1e-3)


def test_odd_pictures_have_no_detections_or_some(detector: regions.RegionsDetector) -> None:
    for shape in ((1, 1), (3, 900), (900, 2)):
        (found,) = detector.detect([np.full((*shape, 3), 128, np.uint8)])
        assert np.isfinite(found.boxes).all()


def test_what_it_is_depends_on_all_that_makes_its_boxes(detector: regions.RegionsDetector) -> None:
    backbone = describe(BUNDLED)

    def made(*, classes: tuple[str, ...] = ("dog",), bias: float = 0.0, overlap: float = 0.45) -> str:
        objectness = Objectness(LEARNT.weights, bias)
        return regions.RegionsDetector(backbone, detector._engine, classes, overlap, objectness).identity

    assert made() == made()
    assert len({made(), made(classes=("cat",)), made(bias=1.0), made(overlap=0.5)}) == 4
