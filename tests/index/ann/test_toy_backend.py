"""A backend of a plug-in, which compares all rows, made in this file alone: indexes live with it as with Annoy.

Run as a program, this file is the server of `tests.helpers.faults` with that backend.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.index.ann import base, registry
from cbir.index.ann.registry import register, registered
from cbir.index.entries import CandidatesEntry
from cbir.index.exact import Rows, RowSource
from cbir.index.files import FileRecord
from cbir.index.format import META, load_meta
from cbir.index.newfiles import NewFiles
from cbir.index.rowfile import RowFile, npy_bytes
from cbir.index.store import Index
from cbir.index.verify import find_problems, without_damage
from cbir.index.writer import Writer
from cbir.search.searcher import Searcher
from cbir.utils.hashing import file_sha256
from cbir.utils.vectors import Floats
from tests.helpers.faults import Server, content, replace_in, run_cli, serve, unnamed_files
from tests.helpers.feature_index import make_index


@dataclass(frozen=True)
class Scanned:
    """All rows that it covers, in memory."""

    features: Floats
    most: int = 10**6

    @property
    def rows(self) -> int:
        return len(self.features)

    def search(self, queries: Floats, count: int) -> list[Rows]:
        return [np.argsort(-(self.features @ query), kind="stable")[:count] for query in queries]

    def search_direction(self, direction: Floats, count: int) -> Rows:
        centred = self.features - self.features.mean(axis=0)
        lengths = np.maximum(np.linalg.norm(centred, axis=1), 1e-9)
        return np.argsort(-(centred @ direction) / lengths, kind="stable")[:count]

    def check(self) -> None:
        """Nothing on the disk is needed any more."""


class Scan:
    """Keeps the features once more, and remembers how many numbers that are."""

    name = "scan"
    files = {"copy": "scan"}  # noqa: RUF012
    settings = {"numbers": (1, 10**9)}  # noqa: RUF012

    def build(self, source: RowSource, new: NewFiles, number: int) -> CandidatesEntry:
        shape = source.rows, source.dimension
        chunks = (chunk for _, chunk in source.chunks())
        file = new.write(f"scan-{number:06}.npy", npy_bytes(shape, np.dtype("<f4"), chunks))
        return CandidatesEntry(source.rows, {"copy": file}, {"numbers": int(np.prod(shape))}, 1.0, self.name)

    def open(self, directory: Path, entry: CandidatesEntry, dimension: int, valid: np.ndarray) -> Scanned:
        file = RowFile(directory, entry.files["copy"], (entry.rows, dimension), np.dtype("<f4"))
        if file_sha256(directory / entry.files["copy"].name) != entry.files["copy"].sha256:
            raise file.damaged("is not what was written")
        return Scanned(file.between(0, entry.rows))


ROWS, DIMENSION = 400, 16


def features() -> np.ndarray:
    """Features in clusters of twenty, shape (ROWS, DIMENSION)."""
    random = np.random.default_rng(3)
    centres = random.gamma(0.5, 1.0, (ROWS // 20, DIMENSION))
    found: np.ndarray = np.maximum(centres.repeat(20, axis=0) + random.normal(0, 0.2, (ROWS, DIMENSION)), 0.01)
    return found


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(base, "SMALL", 30)
    with registered(Scan()):
        yield


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Callable[..., Image.Image], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 34 pictures, for commands with the replacements."""
    replace_in(monkeypatch)
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(34):
        draw_picture(number, (48, 32)).save(root / f"{number:02}.png")
    return root


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return make_index(tmp_path / "index", features())


def rankings(index: Index) -> list[list[int]]:
    searcher = Searcher(index)
    return [
        searcher.ranked(index.features([row])[0], 10, reranked=reranked)[0][:10].tolist()
        for row in range(0, index.rows, 7)
        for reranked in (False, True)
    ]


def test_a_search_finds_what_it_finds_by_annoy(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as unknown:
        unknown.delitem(registry._BACKENDS, "scan")
        by_annoy = make_index(tmp_path / "annoy", features())
    assert by_annoy.meta.candidates is not None
    assert by_annoy.meta.candidates.backend == "annoy"
    expected = rankings(by_annoy)
    assert index.meta.candidates is not None
    assert index.meta.candidates.backend == "scan"
    asked: list[int] = []
    for name in ("search", "search_direction"):
        real = getattr(Scanned, name)
        monkeypatch.setattr(Scanned, name, lambda *its, real=real: (asked.append(its[2]), real(*its))[1])
    assert rankings(index) == expected
    assert {200, 300} <= set(asked)  # of a plain search, and of re-ranking


def test_it_stands_in_meta_json_and_annoy_does_not(index: Index) -> None:
    entry = json.loads((index.directory / META).read_text())["shortlist"]
    assert {key: entry[key] for key in ("kind", "rows", "numbers", "recall")} == {
        "kind": "scan",
        "rows": ROWS,
        "numbers": ROWS * DIMENSION,
        "recall": 1.0,
    }
    assert set(entry) == {"kind", "rows", "numbers", "recall", "copy"}
    assert load_meta(index.directory) == index.meta
    assert find_problems(index, verify=True) == []
    assert unnamed_files(index.directory) == set()


@pytest.mark.parametrize("damage", ["gone", "short", "other numbers"])
def test_damage_of_its_file_is_told_and_made_good(index: Index, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    expected, directory = rankings(index), index.directory
    file = next(directory.glob("scan-*"))
    data = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(data[:-4] if damage == "short" else data[:-4] + b"\0\0\0\1")
    index = Index.open(directory)
    assert any(file.name in problem for problem in find_problems(index))
    assert rankings(index)[::2] == expected[::2]
    assert caplog.text.count("All pictures are compared instead.") == 1
    assert without_damage(directory, index.meta)[1] == []  # it is none of what pictures are read again for
    Writer(directory, index.meta).tidy()
    index = Index.open(directory)
    assert find_problems(index, verify=True) == []
    assert rankings(index) == expected
    assert not file.exists()


def test_rows_come_and_go(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbir.index.writer.WORTH_COMPACTING", 10)
    directory, fresh = index.directory, np.eye(DIMENSION, dtype=np.float32)[:8]
    writer = Writer(directory, index.meta)
    for number, feature in enumerate(fresh):
        writer.add(FileRecord(f"new {number}.jpg", 1, 1, f"{ROWS + number:064x}"), feature)
    writer.invalidate([0, 1, 2])
    writer.commit()
    writer.tidy()
    index = Index.open(directory)
    assert index.meta.candidates == writer.meta.candidates
    assert index.meta.candidates is not None
    assert index.meta.candidates.rows == ROWS
    for number, feature in enumerate(fresh):
        assert Searcher(index).ranked(feature, 5, reranked=False)[0][0] == ROWS + number
    assert not {0, 1, 2} & set(Searcher(index).ranked(features()[1], 40, reranked=False)[0].tolist())
    writer.invalidate(range(3, 150))
    writer.commit()
    writer.tidy()  # rows have other numbers, so there are others
    index = Index.open(directory)
    assert index.meta.candidates is not None
    assert index.meta.candidates.rows == index.rows == ROWS + 8 - 150
    assert find_problems(index, verify=True) == []


def test_who_does_not_know_it_compares_all_rows_and_makes_its_own(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, expected = index.directory, rankings(index)
    with monkeypatch.context() as unknown:
        unknown.delitem(registry._BACKENDS, "scan")
        plain = Index.open(directory)
        assert plain.candidates() is None
        assert find_problems(plain, verify=True) == []
        assert rankings(plain)[::2] == expected[::2]
        Writer(directory, plain.meta).tidy()
        assert "kind" not in json.loads((directory / META).read_text())["shortlist"]
        assert Index.open(directory).candidates() is not None
    assert Index.open(directory).candidates() is not None
    Writer(directory, load_meta(directory))
    assert not list(directory.glob("scan-*"))


def test_a_name_that_another_backend_has() -> None:
    other = Scan()
    other.name = "annoy"
    with pytest.raises(ValueError, match="there is a backend annoy already"):
        register(other)


def test_commands_work_with_it(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(tmp_path / "index")
    assert run_cli(["index", str(photos), "--index", name]) == 0
    assert run_cli(["info", "--index", name, "--verify"]) == 0
    assert "shortlist  34 rows, by scan, numbers 4,352, recall at 10 1.000" in capsys.readouterr().out
    file = next(Path(name).glob("scan-*"))
    file.write_bytes(b"")
    assert run_cli(["info", "--index", name]) == 1
    assert run_cli(["index", str(photos), "--index", name, "--repair"]) == 0
    assert run_cli(["info", "--index", name, "--verify"]) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc")
@pytest.mark.faults
def test_a_run_killed_while_it_writes_leaves_a_committed_state_and_the_next_goes_on(
    photos: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "index"
    arguments = ["index", str(photos), "--index", str(directory)]
    server = Server(__file__)
    try:
        status, steps, error = server.run(*arguments, directory=directory)
        assert status == 0, error
        clean = content(directory)
        writes = [number for number, name in enumerate(steps, 1) if "scan-" in name]
        assert len(writes) == 2  # opened and synced
        renamed = steps.index("rename meta.json.new", writes[-1]) + 1
        for kill_at in range(writes[0], renamed + 2):
            shutil.rmtree(directory)
            status, _, error = server.run(*arguments, directory=directory, kill_at=kill_at)
            assert status == -signal.SIGKILL, error
            index = Index.open(directory)
            assert find_problems(index, verify=True) == []
            assert content(directory) == clean
            assert run_cli(arguments) == 0
            assert content(directory) == clean
            assert unnamed_files(directory) == set()
            assert Index.open(directory).candidates() is not None
            assert find_problems(Index.open(directory), verify=True) == []
    finally:
        server.close()


if __name__ == "__main__":
    register(Scan())
    serve()
