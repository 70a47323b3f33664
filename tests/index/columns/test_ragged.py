"""Columns of which each row has any number of records: written, read back at any place, and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import IndexDamagedError
from cbir.index import format as format_module
from cbir.index.columns import ragged
from cbir.index.columns.column import Column, Records
from cbir.index.columns.ragged import RaggedColumn, RaggedReader
from cbir.index.columns.registry import kept_together, registered
from cbir.index.format import META, load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage, without_damaged_columns
from cbir.index.writer import Writer
from tests.index.test_store import feature, first_state, record

MOST = 9


def counts(records: Records) -> np.ndarray:
    found = records[:, 0].astype(np.int64) - 1
    if found.max(initial=0) > MOST:
        raise ValueError("too many words")
    return found


def are_small(records: Records) -> None:
    if records.max(initial=0) > 200:
        raise ValueError("a word is none")


COUNT = Column(
    "wordcount",
    np.dtype("<u2"),
    1,
    np.array([1], "<u2"),
    is_missing=lambda records: np.asarray(records[:, 0] == 0),
    is_unavailable=lambda records: np.zeros(len(records), np.bool_),
    check=counts,
)
WORDS = RaggedColumn(
    "words",
    np.dtype("<i4"),
    3,
    np.zeros((0, 2), "<i4"),
    is_missing=ragged.are_missing,
    is_unavailable=lambda records: np.zeros(len(records), np.bool_),
    check=are_small,
    counted_by=COUNT,
    counts=counts,
    most=MOST,
)


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    with registered(COUNT), registered(WORDS):
        yield


def words(number: int) -> dict[str, np.ndarray]:
    """Of picture i there are i % 4 words of two numbers."""
    its = np.array([[number, place] for place in range(number % 4)], "<i4").reshape(-1, 2)
    return {"wordcount": np.array([1 + len(its)], "<u2"), "words": its}


def fill(writer: Writer, numbers: range, *, known: bool = True) -> None:
    for number in numbers:
        assert writer.add(record(number), feature(number), words(number) if known else None)
    writer.commit()


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """An index of 13 rows in two blocks, of which the second has no words."""
    path = tmp_path / "index"
    path.mkdir()
    writer = Writer(path, first_state())
    fill(writer, range(10))
    fill(writer, range(10, 13), known=False)
    return writer


def check(index: Index, without: set[int]) -> None:
    """Every row has the words of its own file, but for the files `without`, however they are read."""
    rows = np.arange(index.rows)
    stored = index.stored(WORDS, rows)
    chunks = np.concatenate([chunk for _, chunk in index.stored_chunks(WORDS)])
    shuffled = np.random.default_rng(0).permutation(index.rows)
    taken = index.stored(WORDS, shuffled)
    for row in rows:
        number = index.record(row).size - 100
        for found in (stored[row], chunks[row], taken[np.flatnonzero(shuffled == row)[0]]):
            if number in without:
                assert found is None
            else:
                assert found.tolist() == words(number)["words"].tolist()
    assert {index.record(row).size - 100 for row in np.flatnonzero(index.missing(WORDS))} == without
    assert (index.missing(WORDS) == index.missing(COUNT)).all()
    assert (index.missing(WORDS, unavailable_too=True) == index.missing(WORDS)).all()


def test_they_live_through_blocks_backfill_merging_and_compaction(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ragged, "CHUNK_BYTES", 16)  # two words at a time
    check(Index.open(writer.directory), {10, 11, 12})
    for name, records in words(11).items():
        writer.backfill({"wordcount": COUNT, "words": WORDS}[name], [11], records)
    writer.commit()
    check(Index.open(writer.directory), {10, 12})
    for column in (COUNT, WORDS):  # to other numbers than before, in a block that has some
        writer.backfill(column, [3], words(4)[column.name])
    writer.commit()
    assert Index.open(writer.directory).stored(WORDS, [2, 3, 4])[1].tolist() == []
    for column in (COUNT, WORDS):
        writer.backfill(column, [3], words(3)[column.name])
    fill(writer, range(13, 27))
    assert len(writer.meta.blocks) == 1
    check(Index.open(writer.directory), {10, 12})
    monkeypatch.setattr("cbir.index.writer.WORTH_COMPACTING", 3)
    writer.invalidate([0, 1, 2, 3, 4, 5, 6, 12])
    writer.commit()
    writer.tidy()
    assert Index.open(writer.directory).rows == 19
    check(Index.open(writer.directory), {10})
    assert find_problems(Index.open(writer.directory), verify=True) == []


def test_pieces_begin_where_the_last_ended(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragged, "CHUNK_BYTES", 16)
    reader = Index.open(writer.directory).blocks[0].columns["words"]
    starts, lengths = zip(*((start, len(read())) for start, read in reader.pieces(1)), strict=True)
    assert np.array_equal(np.cumsum([1, *lengths]), [*starts, 10])
    assert len(starts) > 4
    assert [1 if one is None else len(one) for one in reader.take(np.array([7, 0, 7]))] == [3, 0, 3]
    assert len(reader.between(8, 100)) == 2
    assert len(reader.between(20, 30)) == 0
    assert reader.items(np.array([7, 2]), np.array([2, 1])).tolist() == [7, 2]


def test_rows_whose_counts_differ_from_their_records_are_not_written(writer: Writer) -> None:
    writer.backfill(COUNT, [1], words(3)["wordcount"])
    with pytest.raises(ValueError, match="not as many words"):
        writer.commit()
    writer._backfilled.clear()
    writer.add(record(50), feature(50), {"words": words(3)["words"]})
    with pytest.raises(ValueError, match="not as many words"):
        writer.commit()


def test_an_index_without_any_record_has_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    writer = Writer(tmp_path / "index", first_state())
    for number in (0, 4):
        writer.add(record(number), feature(number), words(number))
    writer.commit()
    index = Index.open(writer.directory)
    check(index, set())
    assert find_problems(index, verify=True) == []
    fill(writer, range(5, 8))
    check(Index.open(writer.directory), set())


@pytest.mark.parametrize("damage", ["gone", "cut", "a word", "counts gone", "counts cut", "a count", "many", "fewer"])
def test_damage_of_one_is_damage_of_both_and_of_nothing_else(writer: Writer, damage: str) -> None:
    name = "words" if damage in ("gone", "cut", "a word") else "wordcount"
    path = writer.directory / writer.meta.blocks[0].columns[name].name
    data = bytearray(path.read_bytes())
    start = len(data) - (2 * 10 if name == "wordcount" else 8 * 13)
    changes = {"a word": (3, b"\1"), "a count": (2, b"\5"), "many": (2, b"\xff"), "fewer": (6, b"\1")}
    if damage.endswith("gone"):
        path.unlink()
    else:
        if damage in changes:
            offset, value = changes[damage]
            data[start + offset : start + offset + 1] = value
        path.write_bytes(data[:-2] if damage.endswith("cut") else data)
    index = Index.open(writer.directory)
    assert index.features([3]).shape == (1, 16)
    if damage == "a word":  # which only who looks at it can tell
        index.stored(WORDS, [3])
    else:
        with pytest.raises(IndexDamagedError, match=r"word.*--repair"):
            index.stored(WORDS, [3])
        assert index.missing(WORDS)[:10].all()
    assert len(find_problems(index)) == 1
    assert all(reader.missing().all() for reader in _sound(index))
    for sound, problems in (
        without_damage(writer.directory, load_meta(writer.directory)),
        without_damaged_columns(writer.directory, load_meta(writer.directory)),
    ):
        assert len(problems) == 1
        assert [{"words", "wordcount"} & {*block.columns} for block in sound.blocks] == [set(), set()]
        assert sound.blocks[0].features == index.meta.blocks[0].features


def _sound(index: Index) -> list[RaggedReader]:
    block = index.blocks[0].sound()
    return [block.columns["words"]] if index.blocks[0].columns["words"].is_damaged else []  # type: ignore[list-item]


@pytest.mark.parametrize("torn", ["words", "wordcount", "missing"])
def test_an_entry_without_its_other_half_is_left_out(writer: Writer, torn: str) -> None:
    path = writer.directory / META
    meta = json.loads(path.read_text())
    del meta["checksum"]
    if torn == "missing":
        meta["blocks"][0]["words"]["missing"] = [[0, 1]]
    else:
        meta["blocks"][0][torn] = None
    path.write_text(json.dumps({**meta, "checksum": format_module._checksum(meta)}))
    index = Index.open(writer.directory)
    assert index.meta.blocks[0].columns == {}
    check(index, set(range(13)))
    writer = Writer(writer.directory, index.meta)
    assert not [one for one in writer.directory.iterdir() if one.name.startswith("word")]


def test_files_of_more_records_than_there_may_be_are_refused(writer: Writer) -> None:
    """Before the memory for them is taken: whoever made the index may have written anything."""
    entry = writer.meta.blocks[0].columns["words"]
    path = writer.directory / entry.name
    for shape in ((91, 2), (13, 4), (13, 0)):
        np.save(path, np.zeros(shape, "<i4"))
        forged = type(entry)(entry.name, path.stat().st_size, entry.sha256, entry.missing)
        blocks = (writer.meta.blocks[0].with_columns({"words": forged}), *writer.meta.blocks[1:])
        index = Index(writer.directory, writer.meta.but(blocks=blocks))
        assert index.has_damaged_columns
        with pytest.raises(IndexDamagedError, match="holds something else"):
            index.stored(WORDS, [0])


def test_those_that_count_each_other_are_known() -> None:
    assert kept_together(WORDS) == kept_together(COUNT) == [COUNT, WORDS]
