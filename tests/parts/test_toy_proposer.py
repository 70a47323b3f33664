"""A proposer of parts made in this file alone, which proposes the four quarters of an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.errors import CbirError
from cbir.images.views import Size
from cbir.index.columns.parts import PARTS
from cbir.index.format import META
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.parts import proposals
from cbir.parts.proposals import Boxes, checked, register, registered
from cbir.search.queries import Query
from cbir.search.searcher import Searcher

Draw = Callable[..., Image.Image]


class Quarters:
    name, most = "quarters", 4

    def __init__(self, version: int = 1) -> None:
        self.version = version

    def propose(self, size: Size, image: np.ndarray, found: np.ndarray) -> Boxes:
        assert image.ndim == 3
        width, height = size[0] // 2, size[1] // 2
        corners = [(0, 0), (width, 0), (0, height), (width, height)]
        return Boxes(size, np.array([(*corner, width, height) for corner in corners], dtype=np.int32))


@pytest.fixture
def plugged() -> Iterator[None]:
    with registered(Quarters()):
        yield


@pytest.fixture
def root(tmp_path: Path, draw_picture: Draw) -> Path:
    """Eight pictures, each of four."""
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(8):
        whole = Image.new("RGB", (640, 480))
        for quarter in range(4):
            whole.paste(draw_picture(10 * number + quarter, (320, 240)), (quarter % 2 * 320, quarter // 2 * 240))
        whole.save(root / f"{number}.png")
    return root


def refresh(root: Path, name: str = "photos", **options: object) -> Report:
    return build_index(choose_target(root, name), Options(**{"model": "fake", **options}))[0]  # type: ignore[arg-type]


def opened(root: Path, name: str = "photos") -> Index:
    return Index.open(choose_target(root, name).directory)


def boxes(index: Index) -> list[list[list[int]]]:
    stored = index.stored(PARTS, range(index.rows))["box"]
    return [[box for box in its.tolist() if box[2]] for its in stored]


QUARTERS = [[0, 0, 320, 240], [320, 0, 320, 240], [0, 240, 320, 240], [320, 240, 320, 240]]


@pytest.mark.usefixtures("plugged")
def test_an_index_has_its_boxes_and_is_searched_by_them(root: Path, draw_picture: Draw, tmp_path: Path) -> None:
    refresh(root, parts=True, proposer="quarters")
    index = opened(root)
    assert boxes(index) == [QUARTERS] * 8
    assert find_problems(index, verify=True) == []
    draw_picture(52, (320, 240)).save(tmp_path / "query.png")
    (result,) = Searcher(index).search([Query.from_path(tmp_path / "query.png", parts=True)])
    best = result.matches[0]
    assert (best.path.name, tuple(best.box or ())) == ("5.png", (0, 240, 320, 240))
    # an update goes on with them, without being told
    (root / "0.png").rename(root / "moved.png")
    draw_picture(99, (640, 480)).save(root / "new.png")
    refresh(root)
    index = opened(root)
    assert [one for one, is_valid in zip(boxes(index), index.valid, strict=True) if is_valid] == [QUARTERS] * 9
    assert find_problems(index, verify=True) == []


@pytest.mark.usefixtures("plugged")
def test_its_whitening_is_learnt_again_where_that_is_damaged(root: Path) -> None:
    refresh(root, parts=True, proposer="quarters")
    file = next(opened(root).directory.glob("whitening-*"))
    file.write_bytes(file.read_bytes()[:-9])
    refresh(root, repair=True)
    index = opened(root)
    assert find_problems(index, verify=True) == []
    assert boxes(index) == [QUARTERS] * 8
    assert index.meta.parts is not None
    assert index.meta.parts.proposer == "quarters-1"


@pytest.mark.usefixtures("plugged")
def test_it_stands_in_meta_json_and_windows_do_not(root: Path) -> None:
    refresh(root, "quarters", parts=True, proposer="quarters")
    refresh(root, "windows", parts=True)
    refresh(root, "named", parts=True, proposer="windows")
    entries = {}
    for name in ("quarters", "windows", "named"):
        meta = json.loads((opened(root, name).directory / META).read_text())
        entries[name] = meta["parts"].get("proposer", "nothing")
    assert entries == {"quarters": "quarters-1", "windows": "nothing", "named": "nothing"}
    assert len(boxes(opened(root, "windows"))[0]) > 4


def test_an_index_waits_for_it_to_be_there(root: Path, draw_picture: Draw) -> None:
    with registered(Quarters()):
        refresh(root, parts=True, proposer="quarters")
    refresh(root)  # nothing is to be proposed
    draw_picture(99, (640, 480)).save(root / "new.png")
    with pytest.raises(CbirError, match=r"parts of the index photos are those of quarters-1.*--no-parts"):
        refresh(root)
    with registered(Quarters(version=2)), pytest.raises(CbirError, match="quarters-1, which is not here"):
        refresh(root)
    with pytest.raises(CbirError, match="There is no proposer of parts quarters"):
        refresh(root, "other", parts=True, proposer="quarters")
    assert refresh(root, parts=False).added == 1


def test_means_are_those_of_the_pixels_within() -> None:
    map_ = np.random.default_rng(0).normal(0, 1, (3, 8, 16)).astype(np.float32)
    found = Boxes((160, 80), np.array([(0, 0, 80, 40), (80, 40, 80, 40), (15, 0, 10, 80)], np.int32)).means(map_)
    exact = [map_[:, :4, :8].mean(axis=(1, 2)), map_[:, 4:, 8:].mean(axis=(1, 2)), map_[:, :, 1:3].mean(axis=(1, 2))]
    assert np.allclose(found, exact, atol=1e-6)


@pytest.mark.parametrize("box", [(0, 0, 0, 9), (-1, 0, 9, 9), (0, 0, 9, 99), (60, 0, 50, 9)])
def test_boxes_that_cannot_be_are_refused(box: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    quarters = Quarters()
    monkeypatch.setattr(quarters, "propose", lambda size, image, found: Boxes(size, np.array([box], np.int32)))
    with pytest.raises(ValueError, match="quarters proposes boxes outside"):
        checked(quarters, (100, 60), np.zeros((6, 10, 3), np.uint8))


def test_names_are_one_proposers() -> None:
    for many in (0, 41):
        quarters = Quarters()
        quarters.most = many  # type: ignore[misc]
        with pytest.raises(ValueError, match="1 to 40 parts"):
            register(quarters)
    with registered(Quarters()), pytest.raises(ValueError, match="there is a proposer quarters"):
        register(Quarters())
    assert not proposals._PROPOSERS
