"""`kill -9` and power cuts while people are named or forgotten: it is said or it is not, and faces are sound."""

from __future__ import annotations

import random
import shutil
import signal
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
from cbir.people.of_index import people_of, read_album
from cbir.people.person import people_in
from tests.faults.test_disk_full import assert_failed, cbir, files
from tests.helpers.faults import Server, unnamed_files

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc"),
    pytest.mark.usefixtures("replaced"),
]

THRESHOLD = 0.36


@pytest.fixture
def directory(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    """An index of six pictures, in which the toy finder finds one, one, none, none, three and two faces."""
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(6):
        draw_picture(number, (48, 32)).save(root / f"{number}.png")
    build_index(choose_target(root, str(tmp_path / "index")), Options(faces=True))
    return tmp_path / "index"


def names_of(directory: Path) -> list[tuple[str, int]]:
    """Who is in an index, and how many faces each has."""
    return [(one.name, len(one.faces)) for one in people_in(people_of(Index.open(directory), threshold=THRESHOLD))]


@pytest.mark.parametrize("what", ["named", "forgotten"])
def test_a_person_is_there_or_not_whenever_the_run_is_killed(
    directory: Path, tmp_path: Path, server: Server, what: str
) -> None:
    split = ["people", "split", "0.png#1", "1.png#1", "--name", "Anna", "--index", directory]
    forget = ["people", "forget", "Anna", "--index", directory]
    if what == "forgotten":
        assert server.run(*split, directory=directory)[0] == 0
    run = split if what == "named" else forget
    start = tmp_path / "start"
    shutil.copytree(directory, start)
    before = names_of(directory)
    status, steps, error = server.run(*run, directory=directory)
    assert status == 0, error
    after = names_of(directory)
    assert (before, after) == (([], [("Anna", 2)]) if what == "named" else ([("Anna", 2)], []))
    vectors = {row.tobytes() for row in Index.open(start).faces().vectors}
    left = {row.tobytes() for row in Index.open(directory).faces().vectors}
    rng = random.Random(3)
    seen = []
    for power in (None, 1):
        for kill_at in range(1, len(steps) + 1):
            shutil.rmtree(directory)
            shutil.copytree(start, directory)
            status, _, error = server.run(
                *run, directory=directory, kill_at=kill_at, power=power and rng.randrange(10**6)
            )
            assert status == -signal.SIGKILL, (kill_at, error)
            index = Index.open(directory)
            assert find_problems(index, verify=True) == []
            names = [one.name for one in read_album(index).people.values()]
            assert {row.tobytes() for row in index.faces().vectors} in (vectors, left)
            # only the name says whether it is done: until then it can be done again
            seen.append(names == [name for name, _ in after])
            if what == "forgotten":
                assert names == ["Anna"] or {row.tobytes() for row in index.faces().vectors} == left
                if names:
                    assert server.run(*forget, directory=directory)[0] == 0
                    assert names_of(directory) == after
                    assert {row.tobytes() for row in Index.open(directory).faces().vectors} == left
            Writer(directory, load_meta(directory))  # the next one removes what was left
            assert unnamed_files(directory) == set()
    assert {False, True} == set(seen)
    kills = seen[: len(steps)]
    assert kills == sorted(kills)


def test_a_full_disk_keeps_the_people_of_before(directory: Path) -> None:
    run = ["people", "split", "0.png#1", "1.png#1", "--name", "Anna", "--index", directory]
    before = files(directory)
    assert_failed(cbir(*run, limit=100), "file too large")
    assert files(directory) == before
    assert cbir(*run).returncode == 0
    assert names_of(directory) == [("Anna", 2)]
