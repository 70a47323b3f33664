"""The dates at which photos were taken, in an index: found with all else, or filled in without decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cbir.images.read
from cbir.cli import cli
from cbir.extract import loader
from cbir.images import safely
from cbir.index.columns.taken import TAKEN, known, moments, pack
from cbir.index.dates import taken_of
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.run import index_folder
from tests.images.test_notes import MOMENT, photo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three photos, of which one has no date."""
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo({}, {0x9003: "2005:06:03 12:34:56"}))
    (folder / "b.jpg").write_bytes(photo({}, {0x9003: "1999:01:01 00:00:00"}, quality=20))
    (folder / "c.png").write_bytes(photo({}, kind="PNG"))
    return folder


def without_dates(index: Index) -> None:
    """Make the index one that an older cbir wrote."""
    blocks = tuple(block.with_columns({TAKEN.name: None}) for block in index.meta.blocks)
    (index.directory / "meta.json").write_text(index.meta.but(blocks=blocks).dump())


def dates(index: Index) -> dict[str, int]:
    return dict(zip(index.files().paths, taken_of(index).tolist(), strict=True))


EXPECTED = {"a.jpg": MOMENT, "b.jpg": 915_148_800, "c.png": 0}


def test_a_run_keeps_when_photos_were_taken_and_info_tells_it(root: Path) -> None:
    index, _ = index_folder(root, "photos")
    assert dates(index) == EXPECTED
    assert not index.missing(TAKEN).any()
    assert "2 found, from 1999-01-01 to 2005-06-03, looked for in all" in CliRunner().invoke(cli, ["info"]).stdout


def test_an_older_index_gets_its_dates_once_and_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, _ = index_folder(root, "photos")
    without_dates(index)
    assert taken_of(Index.open(index.directory)).tolist() == [0, 0, 0]
    # a server in this process decodes all pictures apart from then on
    monkeypatch.setattr(safely, "_all_apart", [])
    monkeypatch.setattr(
        loader.Decoders, "view", lambda self, data, name, wanted: loader.view_safely(data, name, wanted)
    )
    monkeypatch.setattr(cbir.images.read, "_load", lambda *_, **__: pytest.fail("it was decoded"))
    index, report = index_folder(root, "photos")
    assert (report.unchanged, dict(report.backfilled), report.not_backfilled) == (3, {TAKEN.name: 3}, {})
    assert dates(index) == EXPECTED
    assert find_problems(index, verify=True) == []
    index, report = index_folder(root, "photos")
    assert (report.unchanged, dict(report.backfilled)) == (3, {})


def test_a_photo_that_moves_keeps_its_date(root: Path) -> None:
    index_folder(root, "photos")
    (root / "a.jpg").rename(root / "z.jpg")
    index, report = index_folder(root, "photos")
    assert report.moved == 1
    assert taken_of(index)[index.find(index.files().sha256s[-1])[0]] == MOMENT


def test_numbers_that_can_be_no_dates_are_none() -> None:
    lowest = np.iinfo(np.int64).min
    records = np.array([[0], [lowest], [lowest + 1], [np.iinfo(np.int64).max], [-(10**11)], [MOMENT]], dtype="<i8")
    assert known(records).tolist() == [False] * 5 + [True]
    assert moments(records).tolist() == [0] * 5 + [MOMENT]
    assert TAKEN.is_missing(records).tolist() == [True] + [False] * 5
    assert pack(0).tolist() == [1]
    assert TAKEN.check is not None
    TAKEN.check(records[[0, 1, 2, 5]])
    with pytest.raises(ValueError, match="a date is none"):
        TAKEN.check(records)
