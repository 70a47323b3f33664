"""`cbir index --no-faces` that is killed at any step: the index is sound, and the next run leaves nothing of them."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from tests.helpers.faults import Server
from tests.helpers.toy_faces import vectors_in

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc"),
    pytest.mark.usefixtures("replaced"),
]


def test_a_run_that_takes_faces_away_may_be_killed_at_any_step(
    tmp_path: Path, draw_picture: Callable[..., Image.Image], server: Server
) -> None:
    root, before, directory = tmp_path / "photos", tmp_path / "before", tmp_path / "index"
    root.mkdir()
    for number in range(12):
        draw_picture(number, (48, 32)).save(root / f"{number}.png")
    build_index(choose_target(root, str(before)), Options(faces=True))
    Writer(before, load_meta(before)).keep_people(b"Anna")
    vectors = [np.float32(its[:4]).tobytes() for path in root.iterdir() for its in vectors_in(path)]
    assert len(vectors) > 5

    def told(file: Path) -> bool:
        content = file.read_bytes()
        return b"Anna" in content or any(one in content for one in vectors)

    def start() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(before, directory)

    start()
    assert any(map(told, directory.iterdir()))
    command = ["index", "--index", str(directory), "--no-faces"]
    status, steps, error = server.run(*command, directory=directory)
    assert (status, any(map(told, directory.iterdir()))) == (0, False), error
    assert len(steps) >= 8
    outcomes = set()
    for step in range(1, len(steps) + 1):
        start()
        status, _, error = server.run(*command, directory=directory, kill_at=step)
        assert status == -signal.SIGKILL, (step, error)
        index = Index.open(directory)
        assert find_problems(index, verify=True) == []
        outcomes.add((index.meta.faces is None, index.meta.people is None))
        # the next run asks no more for it, if the state says so already
        again = command if index.meta.faces else command[:-1]
        status, _, error = server.run(*again, directory=directory)
        assert (status, any(map(told, directory.iterdir()))) == (0, False), (step, error)
    assert outcomes == {(False, False), (True, True)}
