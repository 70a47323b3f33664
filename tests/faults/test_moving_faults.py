"""`kill -9` and full disks while rows are exported, imported and merged: all of them are there, or none."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from cbir.index.format import META
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.moving.export import export
from tests.faults.test_disk_full import assert_failed, cbir
from tests.helpers.faults import Server, unnamed_files
from tests.helpers.feature_index import make_index
from tests.moving.test_vectorfile import unit

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc"),
    pytest.mark.usefixtures("replaced"),
]

ROWS = 60


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    """Two indexes of sixty rows together."""
    make_index(tmp_path / "one", unit(40, 160, seed=1), tmp_path / "a")
    make_index(tmp_path / "two", unit(20, 160, seed=2), tmp_path / "b")
    return tmp_path / "one", tmp_path / "two"


@pytest.mark.parametrize("what", ["import", "merge"])
def test_rows_are_all_there_or_none_whenever_a_run_is_killed(
    sources: tuple[Path, Path], tmp_path: Path, server: Server, what: str
) -> None:
    directory = tmp_path / "new"
    if what == "import":
        np.save(tmp_path / "f.npy", unit(ROWS, 160).astype("<f4"))
        (tmp_path / "f.txt").write_text("".join(f"{row}.jpg\n" for row in range(ROWS)))
        run = ["import", tmp_path / "f.npy", "--made-by", "clip", "--root", tmp_path / "a", "--index", directory]
    else:
        run = ["merge", *sources, "--index", directory]
    status, steps, error = server.run(*run, directory=directory)
    assert status == 0, error
    assert steps.count("rename meta.json.new") == 3  # the rows, their candidates, how alike they are
    wanted = Index.open(directory).features(range(ROWS))
    seen = set()
    for step in range(1, len(steps) + 1):
        shutil.rmtree(directory, ignore_errors=True)
        status, _, error = server.run(*run, directory=directory, kill_at=step)
        assert status == -signal.SIGKILL, error
        is_there = (directory / META).exists()
        seen.add(is_there)
        status, _, error = server.run(*run, directory=directory)
        assert status == is_there, error  # a new index is made of nothing but where there is none
        index = Index.open(directory)
        assert np.array_equal(index.features(range(ROWS)), wanted)
        assert find_problems(index, verify=True) == []
        if not is_there:
            assert unnamed_files(directory) == set()
    assert seen == {False, True}


@pytest.mark.parametrize("what", ["import", "merge"])
@pytest.mark.parametrize("limit", [500, 3000, 7000])
def test_a_limit_of_file_sizes_leaves_nothing(
    sources: tuple[Path, Path], tmp_path: Path, what: str, limit: int
) -> None:
    export(Index.open(sources[0]), tmp_path / "f.npy")
    run = ["merge", *sources] if what == "merge" else ["import", tmp_path / "f.npy"]
    result = cbir(*run, "--index", tmp_path / "new", limit=limit)
    assert_failed(result, "file too large")
    assert not (tmp_path / "new").exists()
    assert cbir(*run, "--index", tmp_path / "new").returncode == 0


@pytest.mark.parametrize("ending", [".npy", ".fvecs", ".parquet"])
def test_a_full_disk_keeps_what_was_exported_before(sources: tuple[Path, Path], tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    out.mkdir()
    file = out / f"f{ending}"
    assert cbir("export", "--index", sources[0], file).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = cbir("export", "--index", sources[1], file, "--force", limit=1500)
    assert result.returncode == 1
    assert "file too large" in result.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_file_that_vanishes_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read a second time, when rows are written, is cut off after the first."""
    from cbir.errors import CbirError
    from cbir.moving import take as taking

    np.save(tmp_path / "f.npy", unit(ROWS).astype("<f4"))
    (tmp_path / "f.txt").write_text("".join(f"{row}.jpg\n" for row in range(ROWS)))
    looked = taking._with_direction

    def then_cut(*given: object) -> object:
        found = looked(*given)  # type: ignore[arg-type]
        os.truncate(tmp_path / "f.npy", 2000)
        return found

    monkeypatch.setattr(taking, "_with_direction", then_cut)
    options = taking.TakeOptions(made_by="clip", root=tmp_path)
    with pytest.raises(CbirError, match="it ends too early"):
        taking.take([tmp_path / "f.npy"], tmp_path / "new", options)
    assert not (tmp_path / "new").exists()
