"""Measures of boxes against pycocotools and against plain definitions."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from cbir.detect.formats import coco
from cbir.detect.formats.annotations import Annotated, Annotation, Size
from cbir.evaluation.boxes import OVERLAPS, BoxEvaluation, evaluate_boxes

NAMES = ("cat", "dog", "cow", "never drawn", "never found")
SIZE = Size(200, 160)


def drawn_and_found(seed: int, *, crowds: bool = True, difficult: bool = False) -> list[tuple[Annotated, Annotated]]:
    """Pictures with objects, and with boxes that are near them, twice at times, or are nowhere."""
    random = np.random.default_rng(seed)

    def box() -> np.ndarray:
        return np.array([*random.uniform(0, 100, 2), *random.uniform(5, 90, 2)]).round(1)

    def some(name: str) -> Annotation:
        kind = random.random()
        return Annotation(tuple(box().tolist()), name, crowd=crowds and kind < 0.15, difficult=difficult and kind > 0.8)

    pairs = []
    for place in range(30):
        names = random.choice([*NAMES[:3], NAMES[4]], random.integers(0, 8))
        drawn = [some(str(name)) for name in names]
        found = []
        for one in drawn:
            for _ in range(int(random.integers(0, 4)) if one.name != NAMES[4] else 0):
                near = np.maximum(np.array(one.box) + random.normal(0, 2, 4), 0.5).round(1)
                # scores of few values: many are alike
                found.append(Annotation(tuple(near.tolist()), one.name, float(random.integers(1, 10) / 10)))
        found += [
            Annotation(tuple(box().tolist()), str(random.choice(NAMES[:4])), float(random.random())) for _ in range(3)
        ]
        # COCO's rule looks at the first hundred
        many = 130 if place == 7 else 0
        found += [Annotation(tuple(box().tolist()), "dog", float(random.random())) for _ in range(many)]
        pairs.append((Annotated(f"{place}.jpg", SIZE, tuple(drawn)), Annotated(f"{place}.jpg", SIZE, tuple(found))))
    return pairs


def by_pycocotools(pairs: list[tuple[Annotated, Annotated]], folder: Path) -> dict[str, np.ndarray]:
    """The average precisions of each class, (overlaps,), by pycocotools; -1 where it has no objects."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, results = folder / "truth.json", folder / "results.json"
    truth.write_text(json.dumps(coco.dataset([one for one, _ in pairs], NAMES)))
    results.write_text(json.dumps(coco.results([one for _, one in pairs], coco.read(truth))))
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO(str(truth))
        evaluation = COCOeval(data, data.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # all areas, the first hundred
    return {name: precision[:, :, place].mean(axis=1) for place, name in enumerate(NAMES)}


def measured(pairs: list[tuple[Annotated, Annotated]], least_score: float = 0.5) -> BoxEvaluation:
    """The same by cbir."""
    return evaluate_boxes(pairs, NAMES, least_score)


@pytest.mark.parametrize("seed", range(6))
def test_average_precisions_are_those_of_pycocotools(seed: int, tmp_path: Path) -> None:
    pairs = drawn_and_found(seed, crowds=seed % 2 == 0)
    # scores and boxes as they are in the files
    rounded = [
        (
            one,
            Annotated(
                two.name, SIZE, tuple(Annotation(a.box, a.name, round(a.score or 0, 5)) for a in two.annotations)
            ),
        )
        for one, two in pairs
    ]
    expected, found = by_pycocotools(pairs, tmp_path), measured(rounded)
    for name in NAMES:
        if expected[name][0] < 0:
            assert np.isnan(found.classes[name].ap)
            continue
        assert found.classes[name].ap50 == pytest.approx(expected[name][0], abs=1e-6)
        assert found.classes[name].ap == pytest.approx(expected[name].mean(), abs=1e-6)
    known = [values for values in expected.values() if values[0] >= 0]
    assert len(known) == 4
    assert 0.05 < found.overall.ap < found.overall.ap50 < 0.9
    assert found.overall.ap50 == pytest.approx(np.mean([values[0] for values in known]), abs=1e-6)
    assert found.overall.ap == pytest.approx(np.mean(known), abs=1e-6)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The intersection over union of two boxes."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def by_the_development_kit(pairs: list[tuple[Annotated, Annotated]], name: str) -> float:
    """VOC's average precision of a class, box by box, its area in steps."""
    boxes = [
        (one.score, place, one) for place, (_, two) in enumerate(pairs) for one in two.annotations if one.name == name
    ]
    boxes.sort(key=lambda box: -(box[0] or 0))
    objects = {place: [one for one in drawn.annotations if one.name == name] for place, (drawn, _) in enumerate(pairs)}
    total = sum(not one.difficult for some in objects.values() for one in some)
    taken: set[int] = set()
    curve, right, wrong = [(0.0, 0.0)], 0, 0
    for _, place, box in boxes:
        best = max(objects[place], key=lambda one: overlap(one.box, box.box), default=None)
        if best is not None and overlap(best.box, box.box) >= 0.5:
            if best.difficult:
                continue
            is_new = id(best) not in taken
            taken.add(id(best))
            right, wrong = right + is_new, wrong + (not is_new)
        else:
            wrong += 1
        curve.append((right / total, right / (right + wrong)))
    return sum(
        (recall - before) * max(precision for _, precision in curve[place:])
        for place, ((recall, _), (before, _)) in enumerate(zip(curve[1:], curve[:-1], strict=True), start=1)
    )


@pytest.mark.parametrize("seed", range(4))
def test_average_precisions_of_voc(seed: int) -> None:
    pairs = drawn_and_found(seed, crowds=False, difficult=True)
    found = measured(pairs)
    for name in NAMES[:3]:
        assert found.classes[name].voc == pytest.approx(by_the_development_kit(pairs, name), abs=1e-9)
    assert found.classes[NAMES[4]].voc == 0


BOX = (10.0, 10.0, 20.0, 20.0)
FAR = (100.0, 100.0, 20.0, 20.0)


def one_picture(drawn: list[Annotation], found: list[Annotation], least_score: float = 0.5) -> BoxEvaluation:
    """The measures of one picture."""
    return measured([(Annotated("a", SIZE, tuple(drawn)), Annotated("a", SIZE, tuple(found)))], least_score)


def test_precision_and_recall_are_of_the_least_score() -> None:
    drawn = [Annotation(BOX, "cat"), Annotation(FAR, "cat")]
    found = [Annotation(BOX, "cat", 0.9), Annotation((60, 60, 5, 5), "cat", 0.6), Annotation(FAR, "cat", 0.4)]
    above, all_ = one_picture(drawn, found), one_picture(drawn, found, 0.1)
    assert (above.overall.precision, above.overall.recall) == (0.5, 0.5)
    assert (all_.overall.precision, all_.overall.recall) == (pytest.approx(2 / 3), 1)
    assert above.overall.ap50 == all_.overall.ap50
    assert above.pictures[0].missed == (drawn[1],)
    assert above.pictures[0].right == (True, False)
    assert above.pictures[0].agreement == 0.5


def test_what_is_ignored_neither_helps_nor_harms() -> None:
    drawn = [Annotation(BOX, "cat"), Annotation(FAR, "cat", difficult=True)]
    found = [Annotation(BOX, "cat", 0.8)]
    for more in ([], [Annotation(FAR, "cat", 0.9)]):
        result = one_picture(drawn, found + more)
        assert result.overall[2:] == (pytest.approx(1), pytest.approx(1), 1, 1, 1)
        assert result.overall.objects == 1
        assert (result.pictures[0].right, result.pictures[0].missed) == ((True,), ())


def test_a_second_box_of_an_object_is_wrong() -> None:
    result = one_picture([Annotation(BOX, "cat")], [Annotation(BOX, "cat", 0.8), Annotation(BOX, "cat", 0.9)])
    assert result.overall.precision == 0.5
    assert result.overall.voc == 1


def test_boxes_of_another_class_are_wrong() -> None:
    result = one_picture([Annotation(BOX, "cat")], [Annotation(BOX, "dog", 0.8)])
    assert (result.overall.ap50, result.overall.precision, result.overall.recall) == (0, 0, 0)
    assert result.classes["dog"].to_json() == {
        "objects": 0, "found": 1, "ap50": None, "ap": None, "voc": None, "precision": 0, "recall": None,
    }  # fmt: skip


def test_a_picture_without_anything() -> None:
    result = one_picture([], [])
    assert np.isnan(result.overall.ap)
    assert result.pictures[0].agreement == 1
    assert len(OVERLAPS) == 10
