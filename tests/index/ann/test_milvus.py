"""Rows in Milvus, with milvus-lite in this process: the same client, and what a server would be asked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymilvus", reason="cbir[milvus] is not installed")
pytest.importorskip("milvus_lite", reason="cbir[milvus] is not installed")

from cbir.errors import BackendError, CbirError, IndexConflictError, IndexDamagedError
from cbir.index.ann.milvus import collection, connection
from cbir.index.ann.milvus.address import MilvusAddress
from cbir.index.ann.milvus.backend import Milvus
from cbir.index.ann.milvus.collection import Collection, Sent
from cbir.index.entries import StoreEntry
from cbir.index.files import FileRecord
from cbir.index.format import META, _checksum, load_meta
from cbir.index.joined import join
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing import rows_elsewhere
from cbir.indexing.rows_elsewhere import keep_rows, refuse_without_features
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.moving.merge import merge
from cbir.search.filters import Among
from cbir.search.scanner import Scanner
from cbir.search.searcher import Searcher
from cbir.search.space import Space
from cbir.utils.workers import usable_cores
from tests.helpers.faults import replace_in
from tests.helpers.feature_index import make_index

ROWS, DIMENSION = 120, 16


def features(rows: int = ROWS, seed: int = 3) -> np.ndarray:
    """Features in clusters of twenty, shape (rows, DIMENSION)."""
    random = np.random.default_rng(seed)
    centres = random.gamma(0.5, 1.0, (rows // 20, DIMENSION))
    found: np.ndarray = np.maximum(centres.repeat(20, axis=0) + random.normal(0, 0.2, (rows, DIMENSION)), 0.01)
    return found


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cbir.index.store.SMALL", 30)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a file of milvus-lite that stays open: each index has its own collection there.

    Or of a server that `$CBIR_TEST_MILVUS` names, as `scripts/milvus_server.sh` starts it.
    """
    if server := os.environ.get("CBIR_TEST_MILVUS"):
        yield server
        return
    where = f"milvus+lite:{tmp_path_factory.mktemp('lite') / 'lite.db'}"
    opened = connection.Connection(MilvusAddress.parse(where), may_make=True)
    connection._OPEN[where, ""] = opened
    yield where
    del connection._OPEN[where, ""]


@pytest.fixture
def index(tmp_path: Path, lite: str) -> Index:
    """An index of ROWS rows, all of them in Milvus."""
    return in_milvus(make_index(tmp_path / "index", features(), tmp_path), lite)


def in_milvus(index: Index, lite: str, rows: str | None = None) -> Index:
    keep_rows(index.directory, index.meta, lite, rows)
    return tidied(index.directory)


def tidied(directory: Path, *, mend: bool = False) -> Index:
    Writer(directory, load_meta(directory)).tidy(mend=mend)
    return Index.open(directory)


def changed(directory: Path, added: np.ndarray, gone: list[int]) -> Index:
    """Commit that rows come and go, and have Milvus follow."""
    writer = Writer(directory, load_meta(directory))
    for feature in added:
        name = f"{writer.meta.next_number} {writer.pending}"
        writer.add(FileRecord(f"{name}.jpg", 1, 1, hashlib.sha256(name.encode()).hexdigest()), feature)
    writer.invalidate(gone)
    writer.commit()
    writer.tidy()
    return Index.open(directory)


def rankings(index: Index) -> list[list[int]]:
    searcher = Searcher(index)
    return [
        searcher.ranked(index.features([row])[0], 10, reranked=reranked)[0][:10].tolist()
        for row in range(0, ROWS, 17)
        for reranked in (False, True)
    ]


def sound(index: Index) -> None:
    assert find_problems(index, verify=True) == []
    entry = index.meta.candidates
    assert entry is not None
    assert entry.backend == "milvus"
    assert (entry.rows, entry.settings["live"]) == (index.rows, len(index))


def near(index: Index, row: int, count: int = 200) -> set[int]:
    """The candidates near a row."""
    candidates = index.candidates()
    assert candidates is not None
    return set(candidates.search(index.features([row]), count)[0].tolist())


def there(index: Index) -> Collection:
    """What the index has in Milvus."""
    assert index.meta.store is not None
    assert index.meta.candidates is not None
    return Milvus(index.meta.store).opened(index.meta.candidates, DIMENSION)


def test_a_search_finds_what_an_exact_scan_finds(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rankings(Index.open(make_index(tmp_path / "annoy", features()).directory))
    asked: list[int] = []
    real = Collection.nearest
    monkeypatch.setattr(Collection, "nearest", lambda *its: (asked.append(its[-1]), real(*its))[1])
    assert rankings(index) == expected
    assert {200, 300} <= set(asked)  # of a plain search, and of re-ranking
    assert index.meta.candidates is not None
    assert index.meta.candidates.recall == 1
    sound(index)


def test_a_state_sees_its_own_rows_while_others_come_and_go(index: Index) -> None:
    directory, fresh = index.directory, np.eye(DIMENSION, dtype=np.float32)[:8]
    before = near(index, 1)
    assert before == set(range(ROWS))
    newer = changed(directory, fresh, [0, 1, 2])
    sound(newer)
    assert near(newer, 3) == set(range(3, ROWS + 8))
    assert near(index, 1) == before  # which is still open
    assert newer.meta.store is not None
    assert newer.meta.store.lines == index.meta.store.lines  # type: ignore[union-attr]
    for number, feature in enumerate(fresh):
        assert Searcher(newer).ranked(feature, 5, reranked=False)[0][0] == ROWS + number


def test_rows_with_other_numbers_are_another_line_and_the_last_but_one_goes(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbir.index.writer.WORTH_COMPACTING", 10)
    assert near(index, 1) == set(range(ROWS))
    newer = changed(index.directory, features(20, 5), list(range(50)))
    assert newer.rows == ROWS + 20 - 50
    sound(newer)
    assert near(index, 1) == set(range(ROWS))  # the former line stays
    newest = changed(index.directory, features(20, 6), list(range(45)))
    sound(newest)
    lines = newest.meta.store.lines  # type: ignore[union-attr]
    assert set(there(newest).claims()) == set(lines)
    assert len(lines) == 2
    with pytest.raises(BackendError, match="lacks rows of the index"):
        near(index, 1)
    assert there(newest).keys(index.meta.store.lines[-1], ROWS, "gone == 0").size == 0  # type: ignore[union-attr]


class Killed(BaseException):
    """A run that ends at once: what `finally` says is done, but no `except` of the program's."""


def test_a_run_that_dies_at_any_step_leaves_the_state_of_before_and_the_next_goes_on(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, saved = index.directory, index.directory.with_name("saved")
    shutil.copytree(directory, saved)
    monkeypatch.setattr(collection, "_SENT", 4)
    fresh, gone = np.eye(DIMENSION, dtype=np.float32)[:8], [5, 6, 7, 8, 9]
    steps = [0]
    dies_at = [0]

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*its: Any, **named: Any) -> Any:
            steps[0] += 1
            if steps[0] == dies_at[0]:
                raise Killed
            return real(*its, **named)

        return step

    client = there(index)._client
    for name in ("upsert", "delete"):
        monkeypatch.setattr(client, name, counting(getattr(client, name)))
    monkeypatch.setattr(Writer, "_replace", counting(Writer._replace))
    steps[0], runs = 0, 0
    while True:
        steps[0], dies_at[0] = 0, runs + 2  # the first step is the commit of the rows themselves
        try:
            newer = changed(directory, fresh, gone)
        except Killed:
            runs += 1
        else:
            break
        dies_at[0] = 0
        meanwhile = Index.open(directory)
        assert meanwhile.rows == ROWS + 8
        assert find_problems(meanwhile, verify=True) == [], runs
        covered = meanwhile.meta.candidates.rows  # type: ignore[union-attr]
        assert near(meanwhile, 1) == set(range(ROWS)) - (set(gone) if covered > ROWS else set()) | set(
            range(ROWS, covered)
        )
        sound(tidied(directory))
        assert near(Index.open(directory), 1) == set(range(ROWS + 8)) - set(gone)
        # once more from the state of before, which is a copy's then: its rows go under another line
        shutil.rmtree(directory)
        shutil.copytree(saved, directory)
        fresh = np.roll(fresh, 1, axis=1)
        if runs % 2:  # or that is where the last run died, too
            continue
        sound(tidied(directory, mend=True))
        saved = directory.with_name(f"saved-{runs}")
        shutil.copytree(directory, saved)
    assert runs >= 6
    sound(newer)


def test_copies_of_an_index_do_not_disturb_each_other(index: Index, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(index.directory, copy)
    mine = changed(index.directory, np.eye(DIMENSION)[:3], [4])
    others = changed(copy, np.eye(DIMENSION)[8:16], [9, 10])
    sound(mine)
    sound(others)
    assert mine.meta.store.lines != others.meta.store.lines  # type: ignore[union-attr]
    assert near(mine, 1) == set(range(ROWS + 3)) - {4}
    assert near(others, 1) == set(range(ROWS + 8)) - {9, 10}
    sound(changed(index.directory, np.eye(DIMENSION)[3:5], []))
    sound(changed(copy, np.eye(DIMENSION)[3:5], []))
    keep_rows(copy, others.meta.but(), "annoy", None)
    sound(Index.open(index.directory))


def test_a_copy_that_writes_at_the_same_time_is_noticed_before_the_commit(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(index.directory, copy)
    real, is_first = Milvus._make_sure, [True]

    def meanwhile(*its: Any) -> None:
        if is_first.pop():
            is_first.append(False)
            changed(copy, np.eye(DIMENSION)[8:16], [9, 10])
        else:
            is_first.append(False)
        real(*its)

    monkeypatch.setattr(Milvus, "_make_sure", meanwhile)
    changed(index.directory, np.eye(DIMENSION)[:3], [4])
    assert "Another copy of the index wrote to" in caplog.text
    sound(Index.open(copy))
    sound(tidied(index.directory))
    sound(Index.open(copy))


def test_a_copy_goes_on_where_a_run_over_the_other_one_died(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(index.directory, copy)
    with monkeypatch.context() as dying:
        dying.setattr(Milvus, "_make_sure", lambda *its: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            changed(index.directory, np.eye(DIMENSION)[:9], [4, 5])
    others = changed(copy, np.eye(DIMENSION)[9:12], [])
    sound(others)
    assert others.meta.store.lines == index.meta.store.lines  # type: ignore[union-attr]
    assert near(others, 1) == set(range(ROWS + 3))
    sound(tidied(index.directory))
    sound(others)


def test_what_runs_left_that_died_goes_after_a_day(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = there(index)
    identity = index.meta.store.identity  # type: ignore[union-attr]
    old, young = (collection.Claim(line, identity, 0, 7, int(time.time()) - age) for line, age in ((1, 90_000), (2, 9)))
    for claim in (old, young):
        mine.put(claim)
        mine.send(claim.line, np.arange(5), features()[:5], None)
    changed(index.directory, np.eye(DIMENSION)[:3], [])
    assert {1, 2} & set(mine.claims()) == {2}
    assert mine.keys(1, 5, "gone == 0").size == 0


@pytest.mark.parametrize("is_other", ["schema", "index", "dimension", "rows"])
def test_a_collection_that_is_anothers_is_refused_and_kept(
    index: Index, tmp_path: Path, lite: str, monkeypatch: pytest.MonkeyPatch, is_other: str
) -> None:
    name, client = index.meta.store.collection, there(index)._client  # type: ignore[union-attr]
    monkeypatch.setattr(
        "cbir.indexing.rows_elsewhere._entry",
        lambda where, meta, whole: StoreEntry(where.server, name, rows_elsewhere._identity(meta), whole),
    )
    rows = features()
    if is_other == "schema":
        client.drop_collection(name)
        client.create_collection(name, dimension=16)
    elif is_other == "dimension":
        rows = np.concatenate([rows, rows], axis=1)
    other = make_index(tmp_path / "other", rows, tmp_path / "other")
    if is_other == "rows":
        client.delete(name, filter='note != ""')
    if is_other in ("rows", "schema"):
        other = index
    before = client.query(name, filter="id >= 0", output_fields=["count(*)"]) if is_other != "schema" else None
    sentence = {
        "schema": "was not made by cbir",
        "index": "has the rows of another index",
        "dimension": "has vectors near of 16 numbers, and the index needs near of 32",
        "rows": "was not made by cbir",
    }[is_other]
    meta = other.meta.but(store=None)
    with pytest.raises(BackendError, match=sentence):
        keep_rows(other.directory, meta, lite, None)
    if before is not None:
        assert client.query(name, filter="id >= 0", output_fields=["count(*)"])[0] == before[0]
    assert load_meta(other.directory) == other.meta


def test_with_rows_in_milvus_a_copy_without_features_is_searched(
    index: Index, tmp_path: Path, lite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Collection._queried  # a server answers in any order
    monkeypatch.setattr(
        Collection,
        "_queried",
        lambda *its, **named: Sent(*(None if one is None else one[::-1] for one in vars(real(*its, **named)).values())),
    )
    expected = rankings(index)
    whole = in_milvus(index, lite, "milvus")
    assert whole.meta.store.collection.endswith("_rows")  # type: ignore[union-attr]
    sound(whole)
    changed(index.directory, np.eye(DIMENSION)[:2], [ROWS - 1])
    copy = tmp_path / "copy"
    shutil.copytree(index.directory, copy, ignore=shutil.ignore_patterns("features-*"))
    here, elsewhere = Index.open(index.directory), Index.open(copy)
    assert not here.features_are_elsewhere
    assert elsewhere.features_are_elsewhere
    sound(elsewhere)
    rows = [5, 3, 3, ROWS + 1, ROWS]
    assert np.array_equal(elsewhere.features(rows), here.features(rows))
    assert all(np.array_equal(a[1][:50], b[1][:50]) for a, b in zip(elsewhere.chunks(), here.chunks(), strict=True))
    assert rankings(elsewhere) == rankings(here) != [] != expected
    with pytest.raises(IndexConflictError, match="it is a copy for searching"):
        refuse_without_features(copy)
    refuse_without_features(index.directory)
    # rows that Milvus has not got yet do not count there
    writer = Writer(index.directory, load_meta(index.directory))
    writer.add(FileRecord("late.jpg", 1, 1, "f" * 64), np.eye(DIMENSION)[5])
    writer.commit()
    shutil.rmtree(copy)
    shutil.copytree(index.directory, copy, ignore=shutil.ignore_patterns("features-*"))
    late = Index.open(copy)
    assert len(late) == len(elsewhere) == len(Index.open(index.directory)) - 1
    assert rankings(late) == rankings(elsewhere)
    there(late).drop()
    with pytest.raises(BackendError):
        Searcher(Index.open(copy)).ranked(features()[0], 5, reranked=False)


def test_several_indexes_are_searched_and_joined_and_none_takes_the_rows_of_another(
    index: Index, tmp_path: Path, lite: str
) -> None:
    index = in_milvus(index, lite, "milvus")
    other = make_index(tmp_path / "other", features(40, 9), tmp_path / "other")
    writer = Writer(index.directory, load_meta(index.directory))
    writer.add(FileRecord("late.jpg", 1, 1, "f" * 64), np.eye(DIMENSION)[5])
    writer.commit()
    copy = tmp_path / "copy"
    shutil.copytree(index.directory, copy, ignore=shutil.ignore_patterns("features-*"))
    here, elsewhere = (join([Index.open(one), other]) for one in (index.directory, copy))
    assert here.meta.store is None
    assert len(here) == ROWS + 1 + 40
    assert len(elsewhere) == ROWS + 40  # without the one that Milvus has not got yet
    ranked = [Searcher(one).ranked(other.features([3])[0], 10, reranked=False)[0].tolist() for one in (here, elsewhere)]
    assert ranked[0] == ranked[1]
    assert ROWS + 1 + 3 in ranked[0]
    merge([Index.open(index.directory), other], tmp_path / "merged")
    assert load_meta(tmp_path / "merged").store is None
    sound(tidied(index.directory))


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_missing_or_other_is_found_and_sent_again(
    index: Index, lite: str, whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if whole:
        index = in_milvus(index, lite, "milvus")
    line, mine = index.meta.store.lines[-1], there(index)  # type: ignore[union-attr]
    mine.forget(line, ROWS - 5)
    [problem] = find_problems(index, verify=True)
    assert "lacks 5 of 120 rows of the index. `cbir index --repair` sends them again" in problem
    sent: list[int] = []
    real = Collection.send
    with pytest.MonkeyPatch.context() as watched:
        watched.setattr(Collection, "send", lambda *its: (sent.extend(its[2].tolist()), real(*its))[1])
        index = tidied(index.directory, mend=True)
    sound(index)
    assert sorted(sent) == list(range(ROWS - 5, ROWS))
    rows = np.arange(7, 9)
    mine.send(line, rows, features()[rows + 50], np.eye(DIMENSION)[:2] if whole else None)
    [problem] = find_problems(index, verify=True)
    assert "has other rows than the index" in problem
    sound(tidied(index.directory, mend=True))
    mine.send(line, rows, features()[rows], np.eye(DIMENSION)[:2] if whole else None, gone=1)
    assert len(find_problems(index, verify=True)) == 1
    sound(tidied(index.directory, mend=True))
    mine.drop()
    assert "lacks rows of the index" in find_problems(index, verify=True)[0]
    assert len(rankings(Index.open(index.directory))) == 16
    assert caplog.text.count("All pictures are compared instead.") == 1
    sound(tidied(index.directory, mend=True))


def test_annoy_goes_back_and_leaves_nothing_there(index: Index, lite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbir.index.ann.base.SMALL", 30)
    mine, expected = there(index), rankings(index)
    keep_rows(index.directory, index.meta, "annoy", None)
    back = tidied(index.directory)
    assert back.meta.store is None
    assert back.meta.candidates is not None
    assert back.meta.candidates.backend == "annoy"
    assert not mine.exists
    assert rankings(back) == expected
    again = in_milvus(back, lite)
    with pytest.MonkeyPatch.context() as gone:
        gone.setattr(Milvus, "leave", lambda self: (_ for _ in ()).throw(BackendError("It is away.")))
        keep_rows(again.directory, again.meta, "annoy", None)
    assert load_meta(again.directory).store is None


def test_a_file_that_another_process_has_is_said_so_and_all_is_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "index"
    expected = rankings(make_index(directory, features(), tmp_path))
    in_milvus(Index.open(directory), f"milvus+lite:{tmp_path / 'lite.db'}")  # what is open goes with it
    code = (
        "import sys; from milvus_lite.db import MilvusLite; db = MilvusLite(sys.argv[1]); print('open', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lite.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        assert rankings(Index.open(directory)) == expected
        assert "is in use by another process, and milvus-lite lets one at a time have it" in caplog.text
        caplog.clear()
        changed(directory, np.eye(DIMENSION)[:3], [])
        assert "the next run sends what Milvus lacks of them" in caplog.text
        assert len(Index.open(directory)) == ROWS + 3
        holder.communicate()
    sound(tidied(directory))


def test_an_address_that_only_an_index_names_is_not_asked(
    index: Index, tmp_path: Path, lite: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another user"))
    monkeypatch.setattr(connection, "_OPEN", {})
    monkeypatch.setattr(connection, "Connection", pytest.fail)
    rankings(Index.open(index.directory))
    assert f"export CBIR_SOURCES='{index.meta.store}'" in caplog.text
    assert "All pictures are compared instead" in caplog.text
    with pytest.raises(BackendError, match="nobody named here yet"):
        keep_rows(index.directory, index.meta, None, "milvus")
    monkeypatch.undo()
    monkeypatch.setattr("cbir.index.store.SMALL", 30)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another user"))
    monkeypatch.setenv("CBIR_SOURCES", lite)
    assert near(Index.open(index.directory), 1) == set(range(ROWS))


def test_tokens_stand_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("milvus://me:secret@h:1/c", "milvus://h:1/c?token=me:secret"):
        one = MilvusAddress.parse(text)
        assert (str(one), one.uri, one.token) == ("milvus://h:1/c", "http://h:1", "me:secret")
    assert MilvusAddress.parse("milvus+https://h/c").uri == "https://h:19530"
    for wrong in (
        "milvus://me:secret@h:1/c/d",
        "milvus://me:secret@:1/c",
        "milvus://me:secret@h:99999999/c",
        "http://me:secret@h/c",
        "milvus://h/c?token=secret&x=1",
        "secret",
        "milvus+lite:",
    ):
        with pytest.raises(CbirError) as told:
            MilvusAddress.parse(wrong)
        assert "secret" not in str(told.value)
    monkeypatch.setenv("MILVUS_TOKEN", "other")
    assert MilvusAddress.of(StoreEntry("milvus://h:1", "c", "0" * 64)).token == "other"
    one.use_token()
    assert MilvusAddress.of(StoreEntry("milvus://h:1", "c", "0" * 64)).token == "me:secret"


@pytest.mark.parametrize(
    "forged",
    [
        {"server": "http://h:1"},
        {"server": "milvus://me:secret@h:1"},
        {"server": "milvus://h"},
        {"server": 3},
        {"collection": "a b"},
        {"collection": "x" * 300},
        {"identity": "short"},
        {"whole": 1},
        {"lines": [1, 2, 3]},
        {"lines": [0]},
        {"token": -1},
        None,
        {},
    ],
)
def test_what_cannot_be_in_meta_json_is_damage(tmp_path: Path, forged: dict[str, Any] | None) -> None:
    directory = make_index(tmp_path / "index", features(20)).directory
    sound = StoreEntry("milvus://h:1", "c", "0" * 64, lines=(1, 2), token=7)
    record = json.loads(load_meta(directory).but(store=sound).dump())
    del record["checksum"]
    if forged is None:  # candidates in Milvus, and no word of where
        del record["store"]
        file = {"name": "projection-000009.npy", "bytes": 9, "sha256": "0" * 64}
        settings = {"line": 1, "state": 1, "token": 1, "live": 20, "learnt": 20, "former": 0}
        record["shortlist"] = {"kind": "milvus", "rows": 20, "recall": 1, "projection": file, **settings}
    else:
        record["store"] |= forged
    (directory / META).write_text(json.dumps({**record, "checksum": _checksum(record)}))
    if not forged:
        found = load_meta(directory)
        assert (found.store, found.candidates) == (None if forged is None else sound, None)
        return
    with pytest.raises(IndexDamagedError, match="is damaged"):
        load_meta(directory)


def test_a_search_that_needs_none_of_it_does_not_load_it(tmp_path: Path, lite: str) -> None:
    plain = make_index(tmp_path / "plain", features(20), tmp_path)
    in_milvus(plain, lite)
    code = (
        "import sys; from cbir.index.open import open_index; from cbir.search.searcher import Searcher; "
        "index = open_index(sys.argv[1]); Searcher(index).ranked(index.features([0])[0], 3, reranked=True); "
        "assert not {'pymilvus', 'grpc', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(plain.directory)], check=True)


def test_a_server_with_milvus_lite_searches_in_one_process(index: Index, tmp_path: Path) -> None:
    from cbir.serve.service import Service

    plain = make_index(tmp_path / "plain", features(20), tmp_path / "plain")
    for directories, is_one in (([plain.directory], False), ([plain.directory, index.directory], True)):
        service = Service.open(directories)
        assert (service.processes._most == 0) is (is_one or usable_cores() == 1)
        service.end()


def test_a_filter_goes_together_with_candidates_from_there(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cbir.search.scanner.FEW", 5)
    monkeypatch.setattr("cbir.search.scanner.USUAL", 10)
    asked: list[int] = []
    real = Collection.nearest
    monkeypatch.setattr(Collection, "nearest", lambda *its: (asked.append(its[-1]), real(*its))[1])
    among = Among.of(np.arange(ROWS) % 20 < 14)
    plain = make_index(tmp_path / "plain", features(), tmp_path / "plain")
    monkeypatch.setattr(plain, "candidates", lambda: None)
    for row in (0, 47, 90):
        feature = index.features([row])[0]
        found, expected = (Scanner(one, Space()).nearest(feature, 4, among)[0].tolist() for one in (index, plain))
        assert found == expected
    assert len(asked) == 3
    assert min(asked) > 10  # as many more as the filter takes away


@pytest.mark.parametrize("keep_old", [False, True])
def test_an_index_is_moved_to_another_network_and_leaves_or_keeps_its_rows_there(
    photo_folder: Callable[..., Path],
    lite: str,
    keep_old: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    replace_in(monkeypatch)
    root = photo_folder(34)

    def run(**options: Any) -> Index:
        target = choose_target(root, "photos")
        build_index(target, Options(**options))
        return Index.open(target.directory)

    first = run(candidates=lite)
    store = first.meta.store
    assert store is not None
    sound(first)
    moved = run(model="fake_small", keep_old=keep_old)
    assert moved.meta.store is None
    assert f"for Milvus say --candidates {store} again" in caplog.text
    assert bool(moved.meta.kept) is keep_old
    assert Collection(MilvusAddress.of(store), store.identity, {}).exists is keep_old
    shutil.copy(next(root.glob("*.*")), root / "again.png")
    both = run(candidates=lite)
    sound(both)  # what it has by the other network, too
    assert [one.candidates.rows for one in both.meta.kept if one.candidates] == [len(both)] * keep_old
    if keep_old:
        alone = run(drop="fake")
        sound(alone)
        assert not Collection(MilvusAddress.of(store), store.identity, {}).exists
