"""The detections of rows in an index directory: written, read back, kept with their rows, and harmless when damaged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cbir.detect.classes import numbers_of
from cbir.detect.of_index import IndexObjects, objects_of, pictures_by_name
from cbir.errors import CbirError, IndexDamagedError, WordError
from cbir.index import format as format_module
from cbir.index.columns import registry
from cbir.index.columns.objects import BOX, BOXES, MOST, OBJECTS, RECORD, pack, unpack, unpack_boxes
from cbir.index.entries import ObjectsEntry
from cbir.index.format import META, load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage
from cbir.index.writer import Writer
from cbir.search.objects import Sought
from tests.index.test_store import feature, first_state, record

NAMES = ("person", "dog", "cat", "bus")
ENTRY = ObjectsEntry("toy", "toy", "ab" * 32, "/toy.onnx", NAMES, 0.25)

#: Classes, scores and boxes of the picture of each number; there is nothing in the second.
FOUND = {
    0: ([1, 0, 1], [0.9, 0.5, 0.1], [(10, 20, 30, 40), (0, 0, 100, 100), (5.4, 5.6, 0.2, 300.4)]),
    1: ([], [], []),
    2: ([3], [1.0], [(0.4, 0.6, 99.9, 49.6)]),
}


def detections(number: int) -> dict[str, np.ndarray]:
    classes, scores, boxes = FOUND[number % 3]
    objects, places = pack(np.array(classes, int), np.array(scores, float), np.array(boxes, float).reshape(-1, 4))
    return {"objects": objects, "boxes": places}


def fill(writer: Writer, numbers: range, *, looked_at: bool = True) -> None:
    for number in numbers:
        assert writer.add(record(number), feature(number), detections(number) if looked_at else None)
    writer.commit(objects=ENTRY)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """An index of 13 rows in two blocks, of which the second has no objects."""
    path = tmp_path / "index"
    path.mkdir()
    writer = Writer(path, first_state())
    fill(writer, range(10))
    fill(writer, range(10, 13), looked_at=False)
    return writer


def check(index: Index, without: set[int]) -> None:
    """Every row has the detections of its own file, but for the files `without`."""
    found = objects_of(index)
    assert (found.names, found.least_score) == (NAMES, 0.25)
    assert found.classes.shape == found.scores.shape == (index.rows, MOST)
    boxes = found.boxes(np.arange(index.rows))
    for row in range(index.rows):
        number = index.record(row).size - 100
        assert bool(found.known[row]) == (number not in without)
        classes, scores, _ = FOUND[number % 3] if number not in without else ([], [], [])
        count = len(scores)
        assert found.classes[row, :count].tolist() == classes
        assert np.allclose(found.scores[row, :count], scores, atol=1e-5)
        assert not found.scores[row, count:].any()
        assert boxes[row, :count].tolist() == [list(box) for box in detections(number)["boxes"]["box"][:count]]
        assert not boxes[row, count:].any()


def test_pack_and_unpack() -> None:
    objects, boxes = (np.stack([detections(number)[name] for number in range(3)]) for name in ("objects", "boxes"))
    assert (objects.shape, boxes.shape) == ((3, MOST), (3, MOST))
    rows = unpack(objects, len(NAMES))
    assert (rows.scores > 0).sum(axis=1).tolist() == [3, 0, 1]
    assert rows.known.all()
    places = unpack_boxes(boxes)
    # whole pixels, and one at least
    assert places[0, :4].tolist() == [[10, 20, 30, 40], [0, 0, 100, 100], [5, 6, 1, 300], [0, 0, 0, 0]]
    assert places[2, 0].tolist() == [0, 1, 100, 49]
    # within a picture of 100 x 50 pixels, like the detection
    _, edge = pack(np.array([0]), np.array([0.5]), np.array([[99.7, 49.8, 0.3, 0.2]]))
    assert edge["box"][0].tolist() == [99, 49, 1, 1]


def test_nothing_found_not_looked_at_and_not_to_be_read_are_three_states() -> None:
    for column, name in ((OBJECTS, "objects"), (BOXES, "boxes")):
        nothing, blank = detections(1)[name], column.blank(1)[0]
        records = np.stack([detections(0)[name], nothing, blank, column.unavailable])
        assert column.is_missing(records).tolist() == [False, False, True, False]
        assert column.is_unavailable(records).tolist() == [False, False, False, True]
    rows = unpack(
        np.stack([detections(0)["objects"], detections(1)["objects"], OBJECTS.blank(1)[0], OBJECTS.unavailable])
    )
    assert rows.known.tolist() == [True, True, False, False]
    assert (rows.scores > 0).sum(axis=1).tolist() == [3, 0, 0, 0]
    assert not rows.classes[1:].any()
    assert not unpack_boxes(np.stack([detections(1)["boxes"], BOXES.unavailable])).any()


def test_impossible_records_are_refused() -> None:
    good = detections(0)["objects"][np.newaxis]
    unpack(good, len(NAMES))
    for place, name, value in ((0, "class", 4), (1, "score", 65535), (4, "score", 1), (4, "class", 1), (0, "score", 0)):
        bad = good.copy()
        bad[name][0, place] = value
        with pytest.raises(ValueError, match=r"class|score"):
            unpack(bad, len(NAMES))
    for place, side, value in ((0, 0, 1 << 30), (0, 2, 1 << 31), (1, 3, 0), (4, 3, 5)):
        bad = detections(0)["boxes"][np.newaxis].copy()
        bad["box"][0, place, side] = value
        with pytest.raises(ValueError, match="box"):
            unpack_boxes(bad)


def test_they_live_through_blocks_backfill_merging_and_compaction(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index.open(writer.directory)
    check(index, {10, 11, 12})
    assert index.meta.objects == ENTRY
    assert [column in index.meta.wanted_columns for column in (OBJECTS, BOXES)] == [True, True]
    assert np.flatnonzero(index.missing(OBJECTS)).tolist() == [10, 11, 12]
    for name, column in (("objects", OBJECTS), ("boxes", BOXES)):
        writer.backfill(column, [10], detections(10)[name])
        writer.backfill(column, [11], column.unavailable)
    writer.commit()
    check(Index.open(writer.directory), {11, 12})
    assert np.flatnonzero(Index.open(writer.directory).missing(OBJECTS)).tolist() == [12]
    assert np.flatnonzero(Index.open(writer.directory).missing(OBJECTS, unavailable_too=True)).tolist() == [11, 12]
    fill(writer, range(13, 27))
    assert len(writer.meta.blocks) == 1
    check(Index.open(writer.directory), {11, 12})
    monkeypatch.setattr("cbir.index.writer.WORTH_COMPACTING", 3)
    writer.invalidate([0, 1, 2, 3, 4, 5, 6, 11])
    writer.commit()
    writer.tidy()
    check(Index.open(writer.directory), {12})
    assert find_problems(Index.open(writer.directory), verify=True) == []


def test_pictures_are_counted_by_the_names_of_what_they_show(writer: Writer) -> None:
    # of ten, four show a person and a dog, three a bus; two of a name in one picture are one picture
    assert pictures_by_name(Index.open(writer.directory)) == [("person", 4), ("dog", 4), ("bus", 3)]
    writer.invalidate([0])
    writer.commit(objects=dataclasses.replace(ENTRY, classes=("dog", "dog", "cat", "bus")))
    assert pictures_by_name(Index.open(writer.directory)) == [("dog", 3), ("bus", 3)]


def best(found: IndexObjects, number: int, needed: int = 1) -> np.ndarray:
    return Sought((number,), needed=needed).scores(found)


def test_the_best_of_a_class_and_words_for_classes(writer: Writer) -> None:
    found = objects_of(Index.open(writer.directory))
    dog = NAMES.index("dog")
    assert np.allclose(best(found, dog)[:4], [0.9, 0, 0, 0.9], atol=1e-5)
    assert np.allclose(best(found, dog, 2)[:4], [0.1, 0, 0, 0.1], atol=1e-5)
    assert not best(found, dog, 3).any()
    assert not best(found, dog, MOST + 1).any()
    # person is class 0, as are places without any
    assert np.allclose(best(found, 0)[:3], [0.5, 0, 0], atol=1e-5)
    assert not best(found, 0, 2).any()
    assert numbers_of("animal", found.names) == [1, 2]
    with pytest.raises(WordError, match="knows no 'zebra'"):
        numbers_of("zebra", found.names)


def test_an_index_without_objects_says_so(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.mkdir()
    writer = Writer(path, first_state())
    writer.add(record(1), feature(1))
    writer.commit()
    index = Index.open(path)
    with pytest.raises(CbirError, match="has no objects: `cbir index --index index --objects`"):
        objects_of(index)
    assert OBJECTS not in index.meta.wanted_columns
    assert not {"objects", "boxes"} & {
        *json.loads((path / META).read_text()),
        *json.loads((path / META).read_text())["blocks"][0],
    }


def test_they_are_taken_away(writer: Writer) -> None:
    writer.replace(writer.meta.without(OBJECTS.group))
    assert load_meta(writer.directory).objects is None
    assert not [path for path in writer.directory.iterdir() if path.name.startswith(("objects", "boxes"))]


def test_who_does_not_know_them_passes_over_them(writer: Writer) -> None:
    """As an older cbir does, which commits the index without them."""
    with pytest.MonkeyPatch.context() as unknown:
        others = {name: column for name, column in registry._COLUMNS.items() if column not in (OBJECTS, BOXES)}
        unknown.setattr(registry, "_COLUMNS", others)
        index = Index.open(writer.directory)
        assert len(index) == 13
        assert find_problems(index, verify=True) == []


@pytest.mark.parametrize("damage", ["gone", "cut", "class", "score", "a bit", "boxes gone", "a box"])
def test_damage_harms_nothing_else_and_is_noticed(writer: Writer, damage: str) -> None:
    name = "boxes" if "box" in damage else "objects"
    path = writer.directory / writer.meta.blocks[0].columns[name].name
    data = bytearray(path.read_bytes())
    start = len(data) - 10 * MOST * (BOX if name == "boxes" else RECORD).itemsize
    if damage.endswith("gone"):
        path.unlink()
    else:
        changes = {
            "class": (0, b"\x04\0"),
            "score": (2, b"\x01\0"),
            "a bit": (2, bytes([data[start + 2] ^ 1])),
            "a box": (3, b"\xff"),
        }
        if damage in changes:
            offset, value = changes[damage]
            data[start + offset : start + offset + len(value)] = value
        path.write_bytes(data[:-4] if damage == "cut" else data)
    index = Index.open(writer.directory)
    assert index.features([3]).shape == (1, 16)
    if damage == "a bit":
        objects_of(index)
        assert find_problems(index) == []
    elif name == "objects":
        with pytest.raises(IndexDamagedError, match=r"objects-000001\.npy.*--repair"):
            objects_of(index)
    else:
        found = objects_of(index)
        with pytest.raises(IndexDamagedError, match=r"boxes.*--repair"):
            found.boxes(np.arange(3))
        assert any("boxes-000001" in problem for problem in find_problems(index))
    assert any(f"{name}-000001" in problem for problem in find_problems(index, verify=True))
    sound, problems = without_damage(writer.directory, load_meta(writer.directory))
    assert len(problems) == 1
    assert [name in block.columns for block in sound.blocks] == [False, False]
    assert sound.blocks[0].features == index.meta.blocks[0].features


def test_boxes_that_belong_to_other_objects_are_noticed(writer: Writer) -> None:
    writer.backfill(BOXES, [0], detections(2)["boxes"])
    writer.commit()
    found = objects_of(Index.open(writer.directory))
    assert len(found.boxes(np.array([1, 2]))) == 2
    with pytest.raises(IndexDamagedError, match="not as many"):
        found.boxes(np.array([0]))


@pytest.mark.parametrize(
    "forged",
    [
        {"identity": "no"},
        {"least_score": 2},
        {"least_score": float("nan")},
        {"classes": ["a"] * 20_001},
        {"classes": [1]},
        {"classes": ["x" * 300]},
        {"source": "a\0b"},
        {"name": None},
    ],
)
def test_a_forged_entry_is_damage(writer: Writer, forged: dict[str, object]) -> None:
    path = writer.directory / META
    meta = json.loads(path.read_text())
    del meta["checksum"]
    meta["objects"].update(forged)
    path.write_text(json.dumps({**meta, "checksum": format_module._checksum(meta)}))
    with pytest.raises(IndexDamagedError, match=r"meta\.json is damaged"):
        load_meta(writer.directory)
