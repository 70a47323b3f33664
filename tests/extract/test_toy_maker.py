"""A record maker made in this file alone, which keeps the mean colour of each image: column, view and maker.

Run as a program, this file is the server of `tests.helpers.faults` with that maker.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.engines import select
from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.images.fit import Extent
from cbir.images.read import read_image
from cbir.images.views import Arrays, Layout, Size
from cbir.index.columns import registry
from cbir.index.columns.column import Column, Records
from cbir.index.format import META
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import makers
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.search.searcher import Searcher
from tests.helpers.faults import Server, content, replacements, run_cli, serve, unnamed_files

Folder = Callable[..., Path]

RECORD = np.dtype([("state", "u1"), ("colour", "<f4", (3,))])


def pack(colour: np.ndarray, state: int = 1) -> Records:
    return np.array([(state, colour)], dtype=RECORD)


COLUMN = Column(
    "mean",
    RECORD,
    1,
    pack(np.zeros(3), 2),
    is_missing=lambda records: np.asarray(records["state"][:, 0] == 0),
    is_unavailable=lambda records: np.asarray(records["state"][:, 0] == 2),
)


@dataclass(frozen=True)
class MeanView:
    """The mean of all pixels."""

    name = "mean colour"
    layouts = {"colour": Layout("<f4", (3,))}  # noqa: RUF012

    def at_least(self, size: Size | None) -> int | None:
        return 200

    def make(self, image: Image.Image, box: Extent, size: Size) -> Arrays:
        return {"colour": np.asarray(image.crop(box)).mean(axis=(0, 1)).astype("<f4")}  # type: ignore[arg-type]


@dataclass(frozen=True)
class MeanMaker:
    columns = ("mean",)
    view = MeanView()
    needs_features = False

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        waiting: list[Item] = []
        for item in items:  # three at a time, which are not those of a batch
            waiting.append(item)
            if len(waiting) == 3:
                yield from map(self._made, waiting)
                waiting = []
        yield from map(self._made, waiting)

    def _made(self, item: Item) -> Mapping[str, Records]:
        return {} if item.arrays is None else {"mean": pack(item.arrays["colour"])}


@pytest.fixture
def plugged() -> Iterator[None]:
    with registry.registered(COLUMN), makers.registered("mean", lambda making: MeanMaker()):
        yield


def refresh(root: Path, name: str = "photos", **options: object) -> Report:
    return build_index(choose_target(root, name), Options(**{"model": "fake", **options}))[0]  # type: ignore[arg-type]


def opened(root: Path, name: str = "photos") -> Index:
    return Index.open(choose_target(root, name).directory)


def colours(root: Path, name: str = "photos") -> dict[str, Records]:
    index = opened(root, name)
    records = index.stored(COLUMN, range(index.rows))
    return {record.path: records[row, 0] for row, record in index.records() if index.valid[row]}


def check(root: Path, name: str = "photos") -> None:
    """Every image's mean colour is stored, and the index is sound and searched."""
    found = colours(root, name)
    for path, record in found.items():
        assert record["state"] == 1, path
        assert np.abs(record["colour"] - read_image(root / path).mean(axis=(0, 1))).max() < 1.5
    index = opened(root, name)
    assert find_problems(index, verify=True) == []
    (result,) = Searcher(index).search([root / next(iter(found))])
    assert len(result.matches) > 0


@pytest.mark.usefixtures("plugged")
def test_an_index_has_it_and_loses_it_with_its_file(photo_folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    root = photo_folder(10, size=(900, 700))
    shutil.copy(root / "img_003.jpg", root / "img_003_copy.jpg")
    assert refresh(root).added == 10
    check(root)
    (root / "img_004.jpg").rename(root / "moved.jpg")
    shutil.copy(root / "img_005.jpg", root / "another_copy.jpg")
    shutil.copy(root / "img_007.jpg", root / "img_006.jpg")
    refresh(root)
    check(root)
    assert len(colours(root)) == 12
    file = next(opened(root).directory.glob("mean-*"))
    data = bytearray(file.read_bytes())
    data[-3] ^= 0xFF
    file.write_bytes(data)
    assert any("mean-" in problem for problem in find_problems(opened(root), verify=True))
    report = refresh(root, repair=True)
    assert report.backfilled == {"mean": 9}  # of the rows of that block that still count
    check(root)
    assert run_cli(["info", "--index", "photos"]) == 0
    assert "mean" in capfd.readouterr().out


def test_an_older_index_gets_it_without_the_network(photo_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = photo_folder(8)
    shutil.copy(root / "img_003.jpg", root / "img_003_copy.jpg")
    refresh(root)
    before = opened(root).features(range(9))
    with registry.registered(COLUMN):
        assert refresh(root).unchanged == 9  # nobody makes it
        assert {record["state"].item() for record in colours(root).values()} == {0}
        with makers.registered("mean", lambda making: MeanMaker()):
            with monkeypatch.context() as patch:
                patch.setattr(select, "open_engine", lambda *_, **__: pytest.fail("a network"))
                report = refresh(root)
                assert refresh(root).backfilled == {}
            assert report.backfilled == {"mean": 9}
            assert np.array_equal(opened(root).features(range(9)), before)
            check(root)


def test_a_name_has_one_maker() -> None:
    with pytest.raises(ValueError, match="classes is made already"):
        makers.register("classes", lambda making: None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(__file__)
    yield running
    running.close()


@pytest.mark.usefixtures("plugged")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps")
@pytest.mark.faults
def test_whenever_a_run_is_killed_the_next_goes_on(
    server: Server, tmp_path: Path, draw_picture: Callable[..., Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name, value in replacements():
        monkeypatch.setattr(owner, name, value)
    root, clean = tmp_path / "photos", tmp_path / "clean"
    root.mkdir()
    for number in range(20):
        draw_picture(number, (48, 32)).save(root / f"{number:02}.png")
    # else another test may have found out meanwhile which precision is the fastest, and features were not the same
    arguments = ["index", str(root), "--model", "efficientnet_lite0", "--precision", "f32", "--index"]
    status, steps, error = server.run(*arguments, str(clean), directory=clean)
    assert status == 0, error
    whole = content(clean)
    assert any("mean-" in name for name in steps)
    for kill_at in range(1, len(steps), 5):
        directory = tmp_path / f"killed {kill_at}"
        status, _, _ = server.run(*arguments, str(directory), directory=directory, kill_at=kill_at)
        assert status == -signal.SIGKILL
        if (directory / META).exists():
            left = content(directory)
            assert left.items() <= whole.items()
        assert server.run(*arguments, str(directory), directory=directory)[0] == 0
        assert content(directory) == whole
        assert find_problems(Index.open(directory), verify=True) == []
        assert unnamed_files(directory) == set()


if __name__ == "__main__":
    registry.register(COLUMN)
    makers.register("mean", lambda making: MeanMaker())
    serve()
