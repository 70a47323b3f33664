"""Search by a region whose object is known: by an index's objects, or by its detector; else by likeness alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cbir.index.columns.objects import BOXES, OBJECTS
from cbir.index.entries import ObjectsEntry
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.run import index_folder
from cbir.search import objects
from cbir.search.filters import RowFilter
from cbir.search.object_query import ObjectQuery, WantedObject
from cbir.search.queries import AnyQuery, CombinedQuery, ImageQuery
from cbir.search.results import SearchResult
from cbir.search.searcher import Searcher
from tests.helpers.graph_files import BLUE, RED, picture, write
from tests.helpers.graph_files import NAMES as SQUARES
from tests.helpers.object_index import NAMES, Thing, packed


def search(index: Index, query: AnyQuery, **options: object) -> SearchResult:
    (result,) = Searcher(index).search([query], **options)  # type: ignore[arg-type]
    return result


@pytest.fixture
def shown(tmp_path: Path, draw_picture: Callable) -> tuple[Path, Index]:
    """A folder of pictures, and its index: half of them show a dog in their upper left corner."""
    root = tmp_path / "pictures"
    root.mkdir()
    paths = [root / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        draw_picture(number, (64, 48)).save(path)
    made = index_folder(root, f"{tmp_path}/shown", model="efficientnet_lite0")[0]
    writer = Writer(made.directory, made.meta)
    for row in range(8):
        number = int(Path(made.record(row).path).stem)
        dog: Thing = ("dog", 0.9 - 0.05 * number, (0, 0, 30, 24))
        stored = packed([("cat", 0.3, (40, 20, 20, 20)), *([dog] if number % 2 == 0 else [])])
        for column in (OBJECTS, BOXES):
            writer.backfill(column, [row], stored[column.name])
    writer.commit(objects=ObjectsEntry("toy", "toy", "ab" * 32, "/toy.onnx", NAMES, 0.4))
    return root, Index.open(made.directory)


def region(path: Path, box: str = "0,0,32,24", **options: bool) -> ImageQuery:
    return ImageQuery.from_path(path, region=box, **options)


@pytest.mark.parametrize("options", [{}, {"kind": True}])
def test_a_region_finds_what_shows_the_same_first(shown: tuple[Path, Index], options: dict[str, bool]) -> None:
    root, index = shown
    result = search(index, region(root / "0.png", **options))
    assert result.shown is not None
    assert (result.shown.name, result.shown.box) == ("dog", (0, 0, 30, 24))
    names = [int(match.path.stem) for match in result.matches]
    assert {*names[:3]} == {2, 4, 6}
    assert [[one.name for one in match.objects] for match in result.matches[:4]] == [["dog"]] * 3 + [[]]
    # the order is by both, the score the likeness
    assert all(match.score != pytest.approx(0.8) for match in result.matches)
    assert result.to_dict()["shown"]["class"] == "dog"
    assert result.notices == ()
    few = search(index, region(root / "0.png", **options), count=2, offset=1, among=RowFilter(not_objects=()))
    assert [match.row for match in few.matches] == [match.row for match in result.matches[1:3]]
    dogs = RowFilter(objects=(WantedObject("dog"),))
    assert {int(match.path.stem) for match in search(index, region(root / "0.png", **options), among=dogs).matches} == {
        2,
        4,
        6,
    }


def test_a_region_that_shows_nothing_known_is_searched_by_likeness_alone(shown: tuple[Path, Index]) -> None:
    root, index = shown
    plain = Index.open(index.directory)
    plain.meta = plain.meta.but(objects=None)
    for box in ("0,0,64,48", "30,0,20,20", "0,0,64,10"):
        result = search(index, region(root / "0.png", box))
        assert result.shown is None
        assert result.notices == ()
        assert result.matches == search(plain, region(root / "0.png", box)).matches
    # several pictures, a notion's or a class's weights: likeness alone, too
    both = CombinedQuery((region(root / "0.png"), region(root / "2.png")))
    assert search(index, both).shown is None
    assert search(index, region(root / "0.png"), class_name="tabby").shown is None


def test_a_region_of_another_picture_is_shown_to_the_detector_or_the_reason_is_told(
    shown: tuple[Path, Index], tmp_path: Path, draw_picture: Callable
) -> None:
    _, index = shown
    draw_picture(50, (64, 48)).save(tmp_path / "new.png")
    result = search(index, region(tmp_path / "new.png"))
    assert result.shown is None
    (notice,) = result.notices
    assert "What the region of" in notice
    assert "/toy.onnx" in notice
    assert len(result.matches) == 8


def test_parts_of_pictures_count_together_with_their_objects(tmp_path: Path, shown: tuple[Path, Index]) -> None:
    root, index = shown
    parts = index_folder(root, f"{index.directory}/", parts=True)[0]
    result = search(parts, region(root / "0.png"))
    assert result.shown is not None
    assert {int(match.path.stem) for match in result.matches[:3]} == {2, 4, 6}
    assert all(match.box is not None for match in result.matches)
    same = search(parts, region(root / "0.png", kind=False))
    assert same.shown is None
    assert [match.score for match in same.matches] == sorted((match.score for match in same.matches), reverse=True)
    found = {match.row: match.score for match in same.matches}
    assert {match.row: match.score for match in result.matches} == pytest.approx(found)


def test_the_detector_tells_what_a_region_of_another_picture_shows(tmp_path: Path) -> None:
    root = tmp_path / "squares"
    root.mkdir()
    for number, colour in enumerate((RED, BLUE, RED, BLUE)):
        picture((colour, 128, 64)).save(root / f"{number}.png")
    detector = write(tmp_path / "some.onnx", "yolox", names=str(dict(enumerate(SQUARES))))
    index, _ = index_folder(root, f"{tmp_path}/index/", objects=True, detector=str(detector))
    picture((BLUE, 384, 256)).save(tmp_path / "new.png")
    (found,) = Searcher(index).search([ObjectQuery.from_text(SQUARES[1])], count=1)
    x, y, width, height = found.matches[0].objects[0].box
    moved = f"{x + 384 - 128:.0f},{y + 256 - 64:.0f},{width:.0f},{height:.0f}"
    result = search(index, region(tmp_path / "new.png", moved))
    assert result.shown is not None
    assert result.shown.name == SQUARES[1]
    assert [match.path.stem for match in result.matches[:2]] in (["1", "3"], ["3", "1"])
    detector.unlink()
    result = search(index, region(tmp_path / "new.png", moved))
    assert result.shown is None
    assert len(result.notices) == 1
    assert search(index, region(tmp_path / "new.png", moved, kind=True)).notices == result.notices


def test_the_class_counts_less_by_parts_unless_the_kind_is_looked_for_and_not_at_all_for_the_same_thing(
    tmp_path: Path, shown: tuple[Path, Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, index = shown
    parts = index_folder(root, f"{index.directory}/", parts=True)[0]
    weights: list[float] = []
    of = objects.Bonus.of
    monkeypatch.setattr(objects.Bonus, "of", lambda *asked: weights.append(asked[-1]) or of(*asked))
    for options in ({}, {"kind": True}, {"parts": False}):
        assert search(parts, region(root / "0.png", **options)).shown is not None
    assert weights == [0.2, 0.6, 0.6]
    assert search(parts, region(root / "0.png", kind=False)).shown is None
    assert len(weights) == 3
