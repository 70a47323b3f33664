"""Runs that are killed while they send rows to milvus-lite, which is killed with them."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("pymilvus", reason="cbir[milvus] is not installed")
pytest.importorskip("milvus_lite", reason="cbir[milvus] is not installed")

from cbir.index.store import Index
from cbir.index.verify import find_problems
from tests.helpers.faults import Server, content, replace_in, run_cli, unnamed_files

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc"),
]

#: At most so many steps at which a run is killed.
KILLS = 24


def test_a_run_killed_at_any_step_leaves_a_committed_state_and_the_next_sends_the_rest(
    tmp_path: Path, draw_picture: Callable[..., Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_in(monkeypatch)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root, both, saved = tmp_path / "photos", tmp_path / "both", tmp_path / "saved"
    root.mkdir()
    for number in range(34):
        draw_picture(number, (48, 32)).save(root / f"{number:02}.png")
    directory = both / "index"
    first = ["index", str(root), "--index", str(directory), "--candidates", f"milvus+lite:{both / 'lite.db'}"]
    again = ["index", "--index", str(directory)]
    server = Server()
    try:
        both.mkdir()
        assert server.run(*first, directory=directory)[0] == 0
        shutil.copytree(both, saved)
        for number in (3, 4, 5):
            (root / f"{number:02}.png").unlink()
            draw_picture(number + 50, (48, 32)).save(root / f"{number + 50:02}.png")
        status, steps, error = server.run(*again, directory=directory)
        assert status == 0, error
        clean = content(directory)
        begun = next(number for number, name in enumerate(steps, 1) if name == "rename meta.json.new")
        every = max(1, (len(steps) - begun) // KILLS)
        sent_before = 0
        for kill_at in range(begun, len(steps) + 1, every):
            shutil.rmtree(both)
            shutil.copytree(saved, both)
            status, _, error = server.run(*again, directory=directory, kill_at=kill_at)
            assert status == -signal.SIGKILL, error
            index = Index.open(directory)
            assert find_problems(index, verify=True) == [], steps[kill_at - 1]
            assert index.meta.candidates is not None
            sent_before += index.meta.candidates.rows < index.rows
            assert server.run(*again, directory=directory)[0] == 0
            assert content(directory) == clean
            assert unnamed_files(directory) == set()
            index = Index.open(directory)
            assert find_problems(index, verify=True) == []
            assert index.meta.candidates is not None
            assert index.meta.candidates.rows == index.rows
            assert run_cli(["info", "--index", str(directory), "--verify"]) == 0
        assert sent_before > 3, "no run was killed while it sent"
    finally:
        server.close()
