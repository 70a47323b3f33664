"""`kill -9`, power cuts and full disks while a notion is learnt, learnt anew or forgotten: it is there or it is not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.notions.store import load_notion, to_bytes
from tests.faults.test_disk_full import assert_failed, cbir, files
from tests.helpers.faults import Server, content, unnamed_files

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc"),
    pytest.mark.usefixtures("replaced"),
]


@pytest.fixture
def directory(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    """An index of 24 pictures, with two lists of labels beside it: by colour, red or blue, right and in part wrong."""
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(24):
        drawn = draw_picture(number, (48, 32)).point(lambda value: value // 4)
        tint = Image.new("RGB", drawn.size, (180, 0, 0) if number % 2 else (0, 0, 180))
        Image.blend(drawn, tint, 0.8).save(root / f"{number:02}.png")
    build_index(choose_target(root, str(tmp_path / "index")), Options())
    for name, count in (("labels", 24), ("fewer", 16)):
        lines = (f"{number:02}.png,{'red' if number % 2 else 'blue'}\n" for number in range(count))
        (tmp_path / f"{name}.csv").write_text("".join(lines))
    return tmp_path / "index"


def notion_of(directory: Path) -> bytes | None:
    """What the index says of its notion now, but for the second in which it was learnt; None where it has none."""
    index = Index.open(directory)
    if not index.meta.notions:
        return None
    notion = load_notion(index, "colours")
    object.__setattr__(notion, "created", "")
    return to_bytes(notion)


@pytest.mark.parametrize("what", ["learnt", "learnt anew", "forgotten"])
def test_a_notion_is_whole_or_not_there_whenever_its_run_is_killed(
    directory: Path, tmp_path: Path, server: Server, what: str
) -> None:
    learn = ["learn", "colours", "--index", directory, "--labels"]
    if what != "learnt":
        assert server.run(*learn, tmp_path / "fewer.csv", directory=directory)[0] == 0
    run = (
        ["learn", "--forget", "colours", "--index", directory]
        if what == "forgotten"
        else [*learn, tmp_path / "labels.csv", *(["--anew"] if what == "learnt anew" else [])]
    )
    start = tmp_path / "start"
    shutil.copytree(directory, start)
    before, pictures = notion_of(directory), content(directory)
    status, steps, error = server.run(*run, directory=directory)
    assert status == 0, error
    after = notion_of(directory)
    assert before != after
    assert "rename meta.json.new" in steps
    assert (what == "forgotten") or any(step.startswith("sync notion-") for step in steps)
    seen = []
    rng = random.Random(3)
    for power in (None, 1):
        for kill_at in range(1, len(steps) + 1):
            shutil.rmtree(directory)
            shutil.copytree(start, directory)
            status, _, error = server.run(
                *run, directory=directory, kill_at=kill_at, power=power and rng.randrange(10**6)
            )
            assert status == -signal.SIGKILL, (kill_at, error)
            assert find_problems(Index.open(directory), verify=True) == []
            found = notion_of(directory)
            assert found in (before, after)
            seen.append(found == after)
            assert content(directory) == pictures
            Writer(directory, load_meta(directory))  # the next one removes what was left
            assert unnamed_files(directory) == set()
    assert {False, True} == set(seen)
    kills = seen[: len(steps)]
    assert kills == sorted(kills)


def test_a_full_disk_keeps_the_notion_of_before(directory: Path, tmp_path: Path) -> None:
    learn = ["learn", "colours", "--index", directory, "--labels"]
    assert cbir(*learn, tmp_path / "fewer.csv").returncode == 0
    before = files(directory)
    for _ in range(2):
        assert_failed(cbir(*learn, tmp_path / "labels.csv", "--anew", limit=600), "file too large")
        assert files(directory) == before
    assert cbir("learn", "--list", "--index", directory).returncode == 0
    done = cbir(*learn, tmp_path / "labels.csv", "--anew")
    assert done.returncode == 0, done.stderr


def test_a_notion_that_is_damaged_stays_until_repair_and_harms_nothing_else(directory: Path, tmp_path: Path) -> None:
    learn: list[object] = ["learn", "colours", "--index", directory, "--labels", tmp_path / "labels.csv"]
    assert cbir(*learn).returncode == 0
    path = next(directory.glob("notion-*"))
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + b"x")
    assert cbir("search", tmp_path / "photos" / "00.png", "--index", directory).returncode == 0
    told = cbir("info", "--index", directory)
    assert told.returncode == 1
    assert "Searches without the notion colours go on" in told.stdout
    assert cbir("index", tmp_path / "photos", "--index", directory).returncode == 0
    assert path.exists()  # a copy may still come back
    path.write_bytes(kept)
    assert cbir("info", "--index", directory, "--verify").returncode == 0
    path.write_bytes(kept[:-1] + b"x")
    done: subprocess.CompletedProcess[str] = cbir("index", tmp_path / "photos", "--index", directory, "--repair")
    assert done.returncode == 0
    assert path.name in done.stderr
    assert not os.path.exists(path)
    assert cbir("info", "--index", directory, "--verify").returncode == 0
