"""Lists of windows: they find what a scan of all finds, follow the index, and are never trusted."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import IndexDamagedError, IndexWriteError
from cbir.index import format as index_format
from cbir.index import verified
from cbir.index.ann import base, lists, sieve
from cbir.index.ann.codes import quantised, signs
from cbir.index.ann.lists import LIST_RECORD, NONE, TILE, TILE_RECORD
from cbir.index.ann.sieve import NOWHERE, Sieve
from cbir.index.columns.parts import MOST, NUMBERS, PARTS, SIGNS, WORDS, PartRows, pack
from cbir.index.entries import PartsEntry
from cbir.index.files import FileRecord
from cbir.index.format import load_meta
from cbir.index.newfiles import NewFiles
from cbir.index.rowfile import npy_bytes
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage, without_damaged_columns
from cbir.index.writer import Writer
from cbir.search.by_parts import PartsFound, find_parts
from cbir.utils.vectors import l2_normalize
from tests.helpers.faults import unnamed_files
from tests.helpers.feature_index import make_index

PICTURES, PLACES, DIMENSION = 300, 17, 200

_BOXES = np.tile(np.array([0, 0, 10, 10], dtype=np.int32), (PLACES, 1))


def parts_of(pictures: int, seed: int) -> list[PartRows]:
    """Windows that lie in sixty heaps, as those of photos do more or less."""
    heaps = np.random.default_rng(0).normal(size=(60, DIMENSION))
    random = np.random.default_rng(seed)
    found = []
    for _ in range(pictures):
        vectors = heaps[random.integers(0, 60, PLACES)] + 0.8 * random.normal(size=(PLACES, DIMENSION))
        rows = quantised(l2_normalize(vectors.astype(np.float32)))
        found.append(PartRows(_BOXES, rows, signs(rows)))
    return found


def add(writer: Writer, parts: list[PartRows]) -> None:
    random = np.random.default_rng(writer.meta.rows)
    for row, one in enumerate(parts, writer.meta.rows):
        columns = dict(zip((PARTS.name, SIGNS.name), pack(one), strict=True))
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), random.random(16), columns)
    writer.commit()
    writer.tidy()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "SMALL", 100)
        directory = tmp_path_factory.mktemp("lists") / "index"
        first = make_index(directory, np.random.default_rng(0).random((1, 16)))
        writer = Writer(directory, first.meta.but(parts=PartsEntry("5a" * 32)))
        writer.invalidate([0])
        add(writer, parts_of(PICTURES, 1))
    return directory


@pytest.fixture
def copy(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the index; of its windows a search compares few by their numbers."""
    monkeypatch.setattr(base, "SMALL", 100)
    monkeypatch.setattr(sieve, "CANDIDATES", 200)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copytree(made, tmp_path / "index"))


def query_of(seed: int) -> np.ndarray:
    numbers = parts_of(1, seed)[0].numbers[3].astype(np.float32)
    return l2_normalize(numbers)


def scanned(directory: Path, query: np.ndarray, count: int = 10) -> PartsFound:
    """What a scan of all windows finds."""
    return find_parts(Index(directory, load_meta(directory).but(part_lists=None)), query, count, [])


def test_lists_find_what_a_scan_finds_and_read_less(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.open(copy)
    entry = index.meta.part_lists
    assert entry is not None
    assert (entry.rows, entry.backend) == (PICTURES + 1, "lists")
    assert entry.recall >= 0.98
    assert entry.settings["probed"] < entry.settings["lists"] / 2
    seen = []
    add_windows = Sieve.add
    monkeypatch.setattr(Sieve, "add", lambda self, apart, *rest: (seen.append(apart), add_windows(self, apart, *rest)))
    hits = 0
    for seed in range(100, 140):
        query = query_of(seed)
        hits += len(set(find_parts(index, query, 10, []).rows.tolist()) & set(scanned(copy, query).rows.tolist()))
    assert hits / 400 >= 0.97
    monkeypatch.setattr(sieve, "CANDIDATES", 4000)
    seen.clear()
    find_parts(index, query, 10, [])
    assert sum(int((apart < NOWHERE).sum()) for apart in seen) < 0.6 * PICTURES * PLACES
    # scores are those of a scan, and longer lists of matches come from more lists
    found, wanted = find_parts(index, query, 100, []), scanned(copy, query, 100)
    assert len(set(found.rows.tolist()) & set(wanted.rows.tolist())) >= 98
    scores = dict(zip(wanted.rows.tolist(), wanted.scores.tolist(), strict=True))
    assert all(scores.get(row, score) == score for row, score in zip(found.rows.tolist(), found.scores, strict=True))


def test_what_is_sifted_does_not_depend_on_the_order_in_which_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "CANDIDATES", 300)
    monkeypatch.setattr(sieve, "candidate_count", lambda rows: 900)
    random = np.random.default_rng(5)
    rows = quantised(l2_normalize(random.normal(size=(200 * MOST, NUMBERS)).astype(np.float32)))
    its_signs, query = signs(rows), l2_normalize(random.normal(size=NUMBERS).astype(np.float32))
    apart = ((query > 0) != (rows > 0)).sum(axis=1).astype(np.uint16)
    kept = []
    for order in (np.arange(200), np.arange(200)[::-1], random.permutation(200)):
        one = Sieve(query, np.ones(200, dtype=np.bool_), 1)
        for number in order.tolist():
            these = slice(MOST * number, MOST * (number + 1))
            one.add(apart[these], np.arange(200 * MOST)[these], lambda at, these=these: its_signs[these][at])
        kept.append(one.best().tolist())
    assert kept[0] == kept[1] == kept[2]
    near = np.flatnonzero(apart <= np.sort(apart)[899])
    best = near[np.argsort(-((rows[near] > 0) @ query), kind="stable")[:300]]
    assert kept[0] == sorted(best.tolist())


def test_new_pictures_are_found_before_the_lists_are_made_anew_and_gone_ones_are_not(copy: Path) -> None:
    fresh = parts_of(8, 7)
    before = load_meta(copy).part_lists
    add(Writer(copy, load_meta(copy)), fresh)
    assert load_meta(copy).part_lists == before
    query = l2_normalize(fresh[5].numbers[3].astype(np.float32))
    found = find_parts(Index.open(copy), query, 3, [])
    assert found.rows[0] == PICTURES + 1 + 5
    own = find_parts(Index.open(copy), query, 3, [PICTURES + 6]).rows.tolist()
    assert PICTURES + 6 not in own
    writer = Writer(copy, load_meta(copy))
    writer.invalidate([PICTURES + 6, own[0]])
    writer.commit()
    assert not {PICTURES + 6, own[0]} & set(find_parts(Index.open(copy), query, 20, []).rows.tolist())
    assert find_problems(Index.open(copy), verify=True) == []
    # many more make new lists
    add(Writer(copy, load_meta(copy)), parts_of(101, 8))
    entry = load_meta(copy).part_lists
    assert entry is not None
    assert entry.rows == load_meta(copy).rows
    assert not unnamed_files(copy)


def test_a_small_index_has_no_lists(made: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(made, tmp_path / "index"))
    Writer(directory, load_meta(directory)).replace(load_meta(directory).but(part_lists=None))
    Writer(directory, load_meta(directory)).tidy()
    assert load_meta(directory).part_lists is None
    assert "part_lists" not in json.loads((directory / "meta.json").read_text())
    assert not [*directory.glob("lists-*"), *directory.glob("centres-*")]


@pytest.mark.parametrize("change", ["backfill", "drop parts", "damage a column", "drop a block", "compact"])
def test_lists_go_where_the_windows_change_that_they_have(copy: Path, change: str) -> None:
    meta = load_meta(copy)
    writer = Writer(copy, meta)
    if change == "backfill":
        for column, records in zip((PARTS, SIGNS), pack(parts_of(1, 9)[0]), strict=True):
            writer.backfill(column, [4], records)
        writer.commit()
    elif change == "drop parts":
        writer.replace(meta.without(PARTS.group))
    elif change in ("damage a column", "drop a block"):
        kind = "signs" if change == "damage a column" else "features"
        file = next(copy.glob(f"{kind}-*"))
        file.write_bytes(file.read_bytes()[:-8])
        sound, problems = (without_damaged_columns if kind == "signs" else without_damage)(copy, meta)
        assert problems
        assert sound.part_lists is None
        return
    else:
        writer.invalidate(range(1, 120))
        writer.commit()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cbir.index.writer.WORTH_COMPACTING", 10)
            patch.setattr(base, "SMALL", 5000)
            writer.tidy()
        assert load_meta(copy).rows == PICTURES - 119
    assert load_meta(copy).part_lists is None
    assert not list(copy.glob("lists-*"))


def forge(directory: Path, change: Callable[[np.ndarray, np.ndarray], None]) -> None:
    """Change centres, shape (n,), and tiles, shape (m,), and let all checksums fit."""
    meta = load_meta(directory)
    entry = meta.part_lists
    assert entry is not None
    records = {}
    for key, dtype in (("centres", LIST_RECORD), ("tiles", TILE_RECORD)):
        file = directory / entry.files[key].name
        data = file.read_bytes()
        count = entry.settings["lists" if key == "centres" else "tiles_of_all"]
        records[key] = np.frombuffer(data[len(data) - count * dtype.itemsize :], dtype=dtype).copy()
    change(records["centres"], records["tiles"])
    writer = Writer(directory, meta)
    new = NewFiles(directory, writer._new.rights)
    number = f"{meta.next_number:06}"
    files = {
        key: new.write(
            f"{beginning}-{number}.npy",
            npy_bytes((len(records[key]), 1), records[key].dtype, iter([records[key][:, np.newaxis]])),
        )
        for key, beginning in lists.FILES.items()
    }
    writer.replace(meta.but(part_lists=replace(entry, files=files), next_number=meta.next_number + 1))


def spoil(directory: Path, damage: str) -> None:
    entry = load_meta(directory).part_lists
    assert entry is not None
    tiles, centres = (directory / entry.files[key].name for key in ("tiles", "centres"))
    data = bytearray(tiles.read_bytes())
    if damage == "delete":
        tiles.unlink()
    elif damage == "delete centres":
        centres.unlink()
    elif damage == "cut off":
        tiles.write_bytes(data[:-100])
    elif damage == "zeros":
        tiles.write_bytes(bytes(len(data)))
    elif damage == "a bit":
        data[len(data) // 2] ^= 4
        tiles.write_bytes(data)
    elif damage == "a bit of a centre":
        data = bytearray(centres.read_bytes())
        data[len(data) // 2] ^= 4
        centres.write_bytes(data)
    elif damage == "a link":
        tiles.rename(directory.parent / "elsewhere")
        tiles.symlink_to(directory.parent / "elsewhere")
    else:
        forge(directory, _FORGED[damage])


def _duplicated(centres: np.ndarray, tiles: np.ndarray) -> None:
    tiles["windows"][0, 0] = tiles["windows"][1, 0]


def _hidden(centres: np.ndarray, tiles: np.ndarray) -> None:
    tiles["windows"][2][tiles["windows"][2] != NONE] = NONE


def _beyond(centres: np.ndarray, tiles: np.ndarray) -> None:
    tiles["windows"][0, 0] = NONE - 1


def _moved(centres: np.ndarray, tiles: np.ndarray) -> None:
    tiles["windows"][0, 0] = MOST * 5 + PLACES  # a place at which that picture has no window


def _not_finite(centres: np.ndarray, tiles: np.ndarray) -> None:
    centres["centre"][3, 7] = np.nan


def _other_lengths(centres: np.ndarray, tiles: np.ndarray) -> None:
    centres["tiles"][0] = 0xFFFFFFFF


_FORGED = {
    "a window twice": _duplicated,
    "windows hidden": _hidden,
    "a picture beyond": _beyond,
    "a place beyond": _moved,
    "centres not finite": _not_finite,
    "other lengths": _other_lengths,
}
_DAMAGES = ["delete", "delete centres", "cut off", "zeros", "a bit", "a bit of a centre", "a link", *_FORGED]


@pytest.mark.parametrize("damage", _DAMAGES)
def test_damaged_and_forged_lists_are_left_and_made_again(
    copy: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(copy, damage)
    index = Index.open(copy)
    with pytest.raises(IndexDamagedError, match=r"lists-|centres-"):
        index.part_lists()
    assert find_problems(index)
    query = query_of(100)
    for _ in range(2):
        found, wanted = find_parts(index, query, 10, []), scanned(copy, query)
        assert found.rows.tolist() == wanted.rows.tolist()
        assert found.scores.tolist() == wanted.scores.tolist()
    assert caplog.text.count("All parts are compared instead.") == 1
    assert not index.damage
    Writer(copy, load_meta(copy)).tidy()
    assert find_problems(Index.open(copy), verify=True) == []
    assert Index.open(copy).part_lists() is not None


def test_a_file_that_is_changed_while_it_is_open_ends_in_a_scan(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = Index.open(copy)
    assert index.part_lists() is not None
    entry = index.meta.part_lists
    assert entry is not None
    file = copy / entry.files["tiles"].name
    with file.open("rb+") as stream:
        stream.seek(128)
        stream.write(b"\xfe" * (file.stat().st_size - 128))
    query = query_of(100)
    assert find_parts(index, query, 10, []).rows.tolist() == scanned(copy, query).rows.tolist()
    assert "All parts are compared instead." in caplog.text
    with file.open("rb+") as stream:
        stream.truncate(1000)
    again = Index(copy, load_meta(copy))
    with pytest.raises(IndexDamagedError):
        again.part_lists()


def test_sound_lists_are_hashed_once_and_beside_the_trees(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "_SETTLED_SECONDS", 0.0)
    hashed = []
    right = lists.file_sha256
    monkeypatch.setattr(lists, "file_sha256", lambda path: (hashed.append(path.name), right(path))[1])
    for _ in range(3):
        index = Index.open(copy)
        assert index.candidates() is not None
        assert index.part_lists() is not None
    assert len(hashed) == 2


def test_many_threads_search_at_once(copy: Path) -> None:
    index = Index.open(copy)
    queries = [query_of(seed) for seed in range(100, 112)]
    wanted = [find_parts(Index.open(copy), query, 10, []).rows.tolist() for query in queries]
    found: dict[int, list[int]] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: find_parts(index, queries[n], 10, []).rows.tolist()}))
        for n in range(len(queries))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(queries))] == wanted


def test_a_reader_of_an_older_state_scans_what_a_writer_has_replaced(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = Index.open(copy)
    add(Writer(copy, load_meta(copy)), parts_of(120, 8))
    with caplog.at_level(logging.WARNING):
        assert find_parts(index, query_of(100), 10, []).rows.tolist()
    assert index.part_lists() is None
    assert "compared instead" not in caplog.text


def test_a_disk_that_is_full_leaves_the_state_of_before(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Writer(copy, load_meta(copy)).replace(load_meta(copy).but(part_lists=None))
    before = load_meta(copy)
    write = NewFiles.write

    def full(self: NewFiles, name: str, content: object) -> object:
        if name.startswith("lists-"):
            raise OSError(28, "No space left on device")
        return write(self, name, content)

    monkeypatch.setattr(NewFiles, "write", full)
    with pytest.raises(IndexWriteError, match="no space left"):
        Writer(copy, before).tidy()
    monkeypatch.undo()
    assert load_meta(copy) == before
    assert not unnamed_files(copy)
    assert find_parts(Index.open(copy), query_of(100), 10, []).rows.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"rows": PICTURES + 2},
        {"rows": 0},
        {"lists": 0},
        {"tiles_of_all": 10**10},
        {"probed": "many"},
        {"recall": 2},
        {"tiles": None},
        {"centres": {"name": "../centres-000001.npy", "bytes": 1, "sha256": "5a" * 32}},
    ],
)
def test_impossible_entries_are_refused(copy: Path, change: dict[str, object]) -> None:
    rewrite_entry(copy, change)
    with pytest.raises(IndexDamagedError, match=r"meta\.json"):
        Index.open(copy)


@pytest.mark.parametrize("change", [{"lists": 3}, {"tiles_of_all": 10**9}])
def test_entries_that_do_not_fit_their_files_end_in_a_scan(copy: Path, change: dict[str, object]) -> None:
    rewrite_entry(copy, change)
    with pytest.raises(IndexDamagedError):
        Index.open(copy).part_lists()
    assert (
        find_parts(Index.open(copy), query_of(100), 10, []).rows.tolist() == scanned(copy, query_of(100)).rows.tolist()
    )


def test_lists_of_another_kind_are_passed_over(copy: Path) -> None:
    rewrite_entry(copy, {"kind": "graph"})
    assert Index.open(copy).part_lists() is None
    assert find_parts(Index.open(copy), query_of(100), 10, []).rows.tolist()


def rewrite_entry(directory: Path, change: dict[str, object]) -> None:
    path = directory / "meta.json"
    record = json.loads(path.read_text())
    del record["checksum"]
    record["part_lists"].update(change)
    record["checksum"] = index_format._checksum(record)
    path.write_text(json.dumps(record))


def test_tiles_have_the_place_of_words_and_windows_that_is_written_down() -> None:
    assert TILE_RECORD.itemsize == 4 * TILE + 8 * WORDS * TILE == 7424
    assert LIST_RECORD.itemsize == 4 * NUMBERS + 4
