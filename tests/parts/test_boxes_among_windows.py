"""Boxes of objects become rows of parts among the windows, whichever of the two an index had first."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Container
from pathlib import Path

import numpy as np
import pytest

from cbir.detect.of_index import objects_of
from cbir.detect.registry import wish_for
from cbir.engines.lazy import LazyEngine
from cbir.errors import ImageReadError
from cbir.extract import loader
from cbir.extract.records import Item
from cbir.images.large import Large
from cbir.images.pipe import Wanted
from cbir.images.views import Viewed
from cbir.index.columns.objects import pack as pack_objects
from cbir.index.columns.parts import MOST, PARTS, SIGNS
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.parts.maker import LEAST_SCORE, PartMaker, start_means
from cbir.parts.proposals import NOTHING, WINDOWS, Boxes, checked
from cbir.parts.whitening import general
from cbir.parts.windows import grid
from tests.helpers.faults import content, replace_in
from tests.helpers.graph_files import BLUE, NAMES, RED, picture, write

SIZE = (640, 480)
IMAGE = np.zeros((400, 608, 3), np.uint8)


def proposed(*found: tuple[int, int, int, int]) -> list[list[int]]:
    return checked(WINDOWS, SIZE, IMAGE, np.array(found, dtype=np.int32).reshape(-1, 4)).boxes().tolist()


def test_boxes_take_the_places_that_are_left_the_best_first() -> None:
    windows = grid(*SIZE).boxes().tolist()
    assert len(windows) < MOST
    some = [(10 + 37 * number, 20, 30, 200) for number in range(10)]
    boxes = proposed(*some)
    assert boxes[: len(windows)] == windows
    assert boxes[len(windows) :] == [list(box) for box in some[: MOST - len(windows)]]
    assert len(boxes) == MOST


def test_a_window_gives_way_to_a_box_that_is_nearly_the_same_and_the_whole_does_not() -> None:
    windows = grid(*SIZE).boxes().tolist()
    x, y, width, height = windows[5]
    box = [x + 4, y, width, height - 6]
    boxes = proposed(tuple(box), (3, 3, 630, 470))
    assert windows[5] not in boxes
    assert boxes == [window for window in windows if window != windows[5]] + [box]


def test_without_boxes_and_with_such_as_cannot_be_the_windows_are_as_they_were() -> None:
    windows = grid(*SIZE).boxes().tolist()
    assert proposed() == windows
    assert proposed((600, 0, 50, 50), (0, 0, 0, 5), (-3, 0, 20, 20), (2**31 - 1, 1, 2**31 - 1, 5)) == windows


def test_means_of_boxes_are_exact() -> None:
    random = np.random.default_rng(1)
    map_ = random.random((5, 15, 20), dtype=np.float32)  # cells of 32 pixels
    found = np.array([[64, 96, 128, 32], [320, 320, 64, 96]], dtype=np.int32)
    regions = checked(WINDOWS, SIZE, IMAGE, found)
    means = regions.means(map_)
    assert len(means) == len(regions)
    assert np.allclose(means[: len(grid(*SIZE))], grid(*SIZE).means(map_))
    assert np.allclose(means[-2], map_[:, 3:4, 2:6].mean(axis=(1, 2)), atol=1e-6)
    assert np.allclose(means[-1], Boxes(SIZE, found[1:]).means(map_)[0])


@pytest.fixture(autouse=True)
def _small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_in(monkeypatch)
    monkeypatch.setenv("CBIR_MODEL", "efficientnet_lite0")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("detectors") / "some.onnx", "yolox", names=str(dict(enumerate(NAMES))))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for number, squares in enumerate(([(RED, 128, 64)], [(BLUE, 384, 256), (RED, 0, 0)], [((20, 150, 20), 300, 200)])):
        picture(*squares).save(root / f"{number}.png")
    shutil.copy(root / "1.png", root / "again.png")
    return root


def refresh(root: Path | None, detector: Path | None = None, name: str = "photos", **options: object) -> Report:
    wish = None if detector is None else wish_for(str(detector))
    return build_index(choose_target(root, name), Options(detector=wish, **options))[0]  # type: ignore[arg-type]


def opened(name: str = "photos") -> Index:
    index = Index.open(Path(os.environ["CBIR_HOME"]) / name)
    assert find_problems(index, verify=True) == []
    return index


def check(index: Index, without: Container[str] = ()) -> None:
    """The parts of each picture are its windows, and the boxes of its objects unless it is one of those `without`."""
    objects = objects_of(index)
    windows = grid(*SIZE).boxes()
    for row in range(index.rows):
        boxes = index.stored(PARTS, [row])["box"][0]
        boxes = boxes[boxes[:, 2] > 0].astype(int)
        found = objects.boxes(np.array([row]))[0][objects.scores[row] >= LEAST_SCORE]
        wanted = windows if index.record(row).path in without else checked(WINDOWS, SIZE, IMAGE, found).boxes()
        assert boxes.tolist() == wanted.tolist()
        assert index.stored(SIGNS, [row])[0, 0] == len(wanted)


def test_in_whichever_order_the_same_index_comes_to_be(root: Path, detector: Path) -> None:
    refresh(root, detector, "both", parts=True, objects=True)
    wanted = content(opened("both").directory)
    check(opened("both"))
    assert (opened("both").stored(SIGNS, [0, 1, 2])[:, 0] > len(grid(*SIZE))).any()
    refresh(root, None, "parts first", parts=True)
    plain = content(opened("parts first").directory)
    refresh(None, detector, "parts first", objects=True)
    assert content(opened("parts first").directory) == wanted
    assert plain != wanted
    refresh(root, detector, "objects first", objects=True)
    report = refresh(None, None, "objects first", parts=True)
    assert report.backfilled["objects"] == 0
    assert content(opened("objects first").directory) == wanted


def test_taking_objects_away_leaves_parts_and_new_pictures_get_windows(root: Path, detector: Path) -> None:
    refresh(root, detector, parts=True, objects=True)
    before = opened().stored(PARTS, [0, 1, 2, 3]).tobytes()
    refresh(None, objects=False)
    picture((BLUE, 64, 64)).save(root / "new.png")
    refresh(None)
    assert opened().stored(PARTS, [0, 1, 2, 3]).tobytes() == before
    assert opened().stored(SIGNS, [4])[0, 0] == len(grid(*SIZE))


def test_without_the_detector_parts_are_windows_until_it_is_there(
    root: Path, detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = Path(shutil.copy(detector, tmp_path / "own.onnx"))
    refresh(root, own, parts=True, objects=True)
    own.rename(tmp_path / "away.onnx")
    picture((BLUE, 64, 64)).save(root / "new.png")
    refresh(None)
    check(opened(), without={"new.png"})
    with caplog.at_level(logging.WARNING, "cbir"):
        assert refresh(None).backfilled.total() == 0
    (tmp_path / "away.onnx").rename(own)
    assert refresh(None).backfilled["parts"] == 1
    check(opened())


def test_parts_stay_where_a_picture_cannot_be_read_again(root: Path, detector: Path) -> None:
    refresh(root, parts=True)
    before = opened()
    row = before.files().paths.index("2.png")
    kept = before.stored(PARTS, [row]).tobytes()
    real = loader.view_safely

    def broken(data: bytes, name: str, wanted: Wanted) -> Viewed:
        if name.endswith("2.png"):
            raise ImageReadError(name, "it is damaged")
        return real(data, name, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "view_safely", broken)
        report = refresh(None, detector, objects=True)
    assert [name for name, _ in report.not_backfilled["objects"]] == ["2.png"]
    index = opened()
    assert index.stored(PARTS, [row]).tobytes() == kept
    assert not objects_of(index).known[row]


def test_objects_that_an_earlier_maker_found_are_parts_and_known_means_are_not_taken_for_them() -> None:
    engine = LazyEngine("efficientnet_lite0")
    whitening = general(engine.backbone)
    assert whitening is not None
    image = picture((RED, 128, 64))
    arrays = Large().make(image, (0, 0, *image.size), image.size)
    objects, boxes = pack_objects(np.array([0]), np.array([0.9]), np.array([[128.0, 64, 128, 128]]))
    items = [Item("a", image.size, arrays), Item("b", image.size, arrays, None, {"objects": objects, "boxes": boxes})]
    plain, with_box = PartMaker(whitening).run(iter(items), engine)
    count = len(grid(*SIZE))
    assert (plain["signs"][0], with_box["signs"][0]) == (count, count + 1)
    assert plain["parts"]["numbers"][:count].tolist() == with_box["parts"]["numbers"][:count].tolist()
    assert with_box["parts"]["box"][count].tolist() == [128, 64, 128, 128]
    means = start_means(checked(WINDOWS, image.size, arrays["pixels"], NOTHING), arrays, engine.opened())()
    (again,) = PartMaker(whitening, {"b": means}).run(iter(items[1:]), engine)
    assert again["parts"].tobytes() == with_box["parts"].tobytes()
