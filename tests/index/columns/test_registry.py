"""A column of a plug-in, the mean colour of each picture, made in this file alone: it lives in an index like ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import IndexDamagedError
from cbir.index.columns import registry
from cbir.index.columns.column import Column, Records
from cbir.index.columns.registry import register, registered
from cbir.index.format import META
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage, without_damaged_columns
from cbir.index.writer import Writer
from cbir.search.searcher import Searcher
from tests.helpers.faults import run_cli
from tests.helpers.feature_index import make_index
from tests.index.test_store import feature, first_state, record

_UNAVAILABLE = 2

RECORD = np.dtype([("state", "u1"), ("colour", "u1", (3,))])


def pack(colour: tuple[int, ...], state: int = 1) -> Records:
    return np.array([(state, colour)], dtype=RECORD)


def are_colours(records: Records) -> None:
    if (records["state"] > _UNAVAILABLE).any():
        raise ValueError("there is no such state")


COLOUR = Column(
    "colour",
    RECORD,
    1,
    pack((0, 0, 0), _UNAVAILABLE),
    is_missing=lambda records: np.asarray(records["state"][:, 0] == 0),
    is_unavailable=lambda records: np.asarray(records["state"][:, 0] == _UNAVAILABLE),
    check=are_colours,
)


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    with registered(COLOUR):
        yield


def colour(number: int) -> Records:
    return pack((number, 2 * number, 255 - number))


def fill(writer: Writer, numbers: range, *, coloured: bool = True) -> None:
    for number in numbers:
        assert writer.add(record(number), feature(number), {"colour": colour(number)} if coloured else None)
    writer.commit()


def check(index: Index, without: set[int], unavailable: int = 0) -> None:
    """Every file has its own colour, but for those `without`, and so many for which there can be none."""
    stored = index.stored(COLOUR, range(index.rows))
    chunks = np.concatenate([chunk for _, chunk in index.stored_chunks(COLOUR)])
    assert (stored == chunks).all()
    for row in range(index.rows):
        number = index.record(row).size - 100
        if stored[row]["state"] != _UNAVAILABLE:
            assert stored[row] == (pack((0, 0, 0), 0) if number in without else colour(number))
    assert index.missing(COLOUR).sum() == len(without)
    assert index.missing(COLOUR, unavailable_too=True).sum() == len(without) + unavailable
    assert COLOUR in index.meta.wanted_columns
    assert find_problems(index, verify=True) == []


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """An index of 13 rows in two blocks, of which the second has no colours."""
    path = tmp_path / "index"
    path.mkdir()
    writer = Writer(path, first_state())
    fill(writer, range(10))
    fill(writer, range(10, 13), coloured=False)
    return writer


def test_it_is_written_joined_compacted_and_filled_in_later(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    check(Index.open(writer.directory), {10, 11, 12})
    assert writer.stored(COLOUR, 3) == colour(3)
    assert writer.stored(COLOUR, 10) is None
    writer.backfill(COLOUR, [10], colour(10))
    writer.backfill(COLOUR, [11], COLOUR.unavailable)
    assert writer.uncommitted == 2
    writer.commit()
    check(Index.open(writer.directory), {12}, unavailable=1)
    fill(writer, range(13, 27))
    index = Index.open(writer.directory)
    assert len(index.meta.blocks) == 1
    check(index, {12}, unavailable=1)
    monkeypatch.setattr("cbir.index.writer.WORTH_COMPACTING", 3)
    writer.invalidate([0, 1, 2, 3, 4, 5, 6, 11])
    writer.commit()
    writer.tidy()
    index = Index.open(writer.directory)
    assert index.rows == 19
    check(index, {12})
    assert len(list(writer.directory.glob("colour-*"))) == 1


def test_an_index_that_has_it_is_searched(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.random.default_rng(1).gamma(0.5, 1.0, (40, 16)))
    query, plain = (
        index.features([5])[0],
        [found.tolist() for found in Searcher(index).ranked(index.features([5])[0], 10, reranked=True)],
    )
    writer = Writer(index.directory, index.meta)
    for row in range(40):
        writer.backfill(COLOUR, [row], colour(row))
    writer.commit()
    index = Index.open(index.directory)
    assert not index.missing(COLOUR).any()
    assert [found.tolist() for found in Searcher(index).ranked(query, 10, reranked=True)] == plain


@pytest.mark.parametrize("damage", ["gone", "other numbers", "a forged number"])
def test_damage_of_its_file_is_told_and_repaired_without_harm_to_anything_else(writer: Writer, damage: str) -> None:
    directory, meta = writer.directory, writer.meta
    path = directory / meta.blocks[0].columns["colour"].name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[-4] = 3 if damage == "a forged number" else 2
        path.write_bytes(content)
    index = Index.open(directory)
    seen = find_problems(index, verify=damage == "other numbers")
    assert any(path.name in problem for problem in seen)
    if damage == "gone":
        with pytest.raises(IndexDamagedError, match="is missing"):
            index.stored(COLOUR, [0])
    sound, problems = (without_damage if damage == "other numbers" else without_damaged_columns)(directory, meta)
    assert len(problems) == 1
    assert [block.features for block in sound.blocks] == [block.features for block in meta.blocks]
    writer.replace(sound)
    check(Index.open(directory), set(range(13)))
    assert not path.exists()


def test_info_tells_how_many_pictures_have_it(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["info", "--index", str(writer.directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  colour     of 10 of 13 pictures: `cbir index --index index` makes the others" in lines
    assert run_cli(["info", "--index", str(writer.directory), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["colour"] == {"pictures": 10}


def test_who_does_not_know_it_passes_over_it_and_commits_without_it(tmp_path: Path) -> None:
    directory = tmp_path / "index"
    directory.mkdir()
    fill(Writer(directory, first_state()), range(3))
    assert json.loads((directory / META).read_text())["blocks"][0]["colour"]["missing"] == []
    with pytest.MonkeyPatch.context() as unknown:
        unknown.delitem(registry._COLUMNS, "colour")
        index = Index.open(directory)
        assert find_problems(index, verify=True) == []
        fill(Writer(directory, index.meta), range(3, 4))
        assert "colour" not in json.loads((directory / META).read_text())["blocks"][0]
        assert list(directory.glob("colour-*"))
    writer = Writer(directory, Index.open(directory).meta)
    check(Index.open(directory), {0, 1, 2, 3})
    assert not list(directory.glob("colour-*"))
    fill(writer, range(4, 5))
    check(Index.open(directory), {0, 1, 2, 3})


@pytest.mark.parametrize("name", ["", "Colour", "features", "rows", "a-1", "../colour", "projection"])
def test_names_that_a_column_cannot_have(name: str) -> None:
    other = Column(name, RECORD, 1, COLOUR.unavailable, COLOUR.is_missing, COLOUR.is_unavailable)
    with pytest.raises(ValueError, match="no name of a column"):
        register(other)


def test_a_name_that_another_column_has() -> None:
    other = Column("classes", RECORD, 1, COLOUR.unavailable, COLOUR.is_missing, COLOUR.is_unavailable)
    with pytest.raises(ValueError, match="there is a column classes already"):
        register(other)
