"""Two writers and readers at the same time: one writes, the other is told who does; readers see committed states."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbir.extract.extractor import Extractor
from cbir.index.lock import HOLDER, LOCK
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.search.searcher import Searcher
from tests.helpers.faults import replace_in
from tests.helpers.waiting import GUARD_SECONDS, wait_for

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its tools look into /proc")

PATH = str(Path(__file__).parents[2])

# The command line; while a file of the name in $HOLD is there, it waits before each batch.
PATIENT = """
import os, sys, time
from cbir.engines.fake import FakeEngine
from tests.helpers import faults
def start(self, images, real=FakeEngine.start):
    while os.path.exists(os.environ["HOLD"]):
        time.sleep(0.01)
    return real(self, images)
FakeEngine.start = start
if "WAITS" in os.environ:  # a file that is made when the run begins to wait for the lock
    def sleep(seconds, real=time.sleep):
        open(os.environ["WAITS"], "w").close()
        real(seconds)
    time.sleep = sleep
faults.replace_all()
sys.exit(faults.run_cli(sys.argv[1:]))
"""

# Runs the command line for some seconds over and over, changing pictures in between; counts what came of it.
BUSY = """
import collections, json, os, random, shutil, sys, time
from tests.helpers import faults
seconds, seed, root, directory = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
faults.replace_all()
rng, end, codes = random.Random(seed), time.monotonic() + seconds, collections.Counter()
pool = sorted(os.listdir(root + "/../pool"))
while time.monotonic() < end:
    for _ in range(rng.randrange(1, 12)):
        name = f"{root}/{seed} {rng.randrange(40)}.png"
        if rng.random() < 0.5 and os.path.exists(name):
            os.unlink(name)
        else:
            shutil.copy(f"{root}/../pool/{rng.choice(pool)}", name + ".new")
            os.replace(name + ".new", name)
    codes[faults.run_cli(["index", root, "--index", directory, "--prune", "-q"])] += 1
print(json.dumps([codes[0], sum(codes.values()) - codes[0] - codes[1], codes[1]]))
"""


@pytest.fixture
def root(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        draw_picture(number, (48, 32)).save(folder / f"{number:02}.png")
    return folder


def start(code: str, *arguments: object, **environment: object) -> subprocess.Popen[str]:
    added = {
        "PYTHONPATH": PATH,
        "OPENBLAS_NUM_THREADS": "1",
        **{name: str(value) for name, value in environment.items()},
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, env={**os.environ, **added}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def held(root: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """A run that holds the lock until the file `hold` is removed."""
    (tmp_path / "hold").touch()
    process = start(PATIENT, "index", root, "--index", tmp_path / "index", HOLD=tmp_path / "hold")
    holder = tmp_path / "index" / HOLDER
    # the name is there a moment before the content
    wait_for(lambda: holder.exists() and holder.read_bytes().rstrip().endswith(b"}"), told=f"{holder} did not come")
    return process


def test_a_second_run_ends_at_once_and_says_who_is_first(
    held: subprocess.Popen[str], root: Path, tmp_path: Path
) -> None:
    second = start(PATIENT, "index", root, "--index", tmp_path / "index", HOLD=tmp_path / "no")
    _, error = second.communicate(timeout=GUARD_SECONDS)
    assert second.returncode == 1
    wanted = rf"process {held.pid} on {re.escape(socket.gethostname())}, since 2\d\d\d-.*--wait"
    assert re.search(wanted, error), error
    (tmp_path / "hold").unlink()
    _, error = held.communicate(timeout=GUARD_SECONDS)
    assert held.returncode == 0, error
    assert len(Index.open(tmp_path / "index")) == 12


def test_a_second_run_waits_where_it_is_told_to(held: subprocess.Popen[str], root: Path, tmp_path: Path) -> None:
    second = start(
        *(PATIENT, "index", root, "--index", tmp_path / "index", "--wait", 120),
        HOLD=tmp_path / "no",
        WAITS=tmp_path / "waits",
    )
    wait_for((tmp_path / "waits").exists, while_=lambda: second.poll() is None)
    assert second.poll() is None
    (tmp_path / "hold").unlink()
    output, error = second.communicate(timeout=GUARD_SECONDS)
    assert second.returncode == 0, error
    assert "12 unchanged" in output
    assert held.wait(GUARD_SECONDS) == 0
    held.communicate()


def test_the_lock_of_a_dead_run_does_not_block(held: subprocess.Popen[str], root: Path, tmp_path: Path) -> None:
    held.kill()
    held.communicate()
    assert (tmp_path / "index" / LOCK).exists()
    assert (tmp_path / "index" / HOLDER).exists()
    process = start(PATIENT, "index", root, "--index", tmp_path / "index", HOLD=tmp_path / "no")
    _, error = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 0, error
    assert not (tmp_path / "index" / HOLDER).exists()


def test_readers_see_committed_states_while_two_writers_are_at_work(
    root: Path,
    tmp_path: Path,
    draw_picture: Callable[..., Image.Image],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory, pool = tmp_path / "index", tmp_path / "pool"
    pool.mkdir()
    for number in range(40):
        draw_picture(number, (48, 32)).save(pool / f"{number:02}.png")
    replace_in(monkeypatch)
    build_index(choose_target(root, str(directory)))
    extractor = Extractor("fake")
    right = {}
    for result in extractor.run((path.name, path) for path in sorted(pool.iterdir())):
        assert result.feature is not None
        right[result.sha256] = result.feature / np.linalg.norm(result.feature)
    failures: list[BaseException] = []
    seen: set[str] = set()
    candidates = [0]
    done = threading.Event()

    def read() -> None:
        query = next(iter(right.values()))
        while not done.is_set() and not failures:
            try:
                index = Index.open(directory)
                seen.add(index.meta.dump())
                rows, scores = Searcher(index).ranked(query, 3, reranked=False)
                records = [record for _, record in index.records()]
                assert len(records) == index.rows
                features = index.features(range(index.rows))
                wanted = np.stack([right[record.sha256] for record in records])
                assert np.allclose(features, wanted, atol=2e-3)
                assert index.valid[rows].all()
                best = np.sort(features[index.valid] @ query)[::-1][: len(scores)]
                assert np.allclose(scores, best, atol=1e-3)
                paths = [record.path for row, record in enumerate(records) if index.valid[row]]
                assert len(set(paths)) == len(paths)
                candidates[0] += index.candidates() is not None
            except BaseException as error:
                failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [start(BUSY, 6, seed, root, directory) for seed in (1, 2)]
    for reader in readers:
        reader.start()
    results = [writer.communicate(timeout=2 * GUARD_SECONDS) for writer in writers]
    done.set()
    for reader in readers:
        reader.join(GUARD_SECONDS)
    if failures:
        raise failures[0]
    for writer, (_, error) in zip(writers, results, strict=True):
        assert writer.returncode == 0, error
        assert "Traceback" not in error, error
    codes = [json.loads(output.splitlines()[-1]) for output, _ in results]
    assert all(other == 0 for _, other, _ in codes), codes
    assert sum(code[0] for code in codes) >= 5, codes
    # only the lock may have stopped a run
    wrong = [
        line for _, error in results for line in error.splitlines() if "Error" in line and "Another run" not in line
    ]
    assert not wrong, wrong
    assert "repair" not in caplog.text  # what a writer took away is no damage
    assert len(seen) >= 5
    assert candidates[0] > 0
    build_index(choose_target(root, str(directory)), Options(prune=True))
    assert find_problems(Index.open(directory), verify=True) == []
    assert {record.path for row, record in Index.open(directory).records() if Index.open(directory).valid[row]} == {
        path.name for path in root.iterdir() if path.suffix == ".png"
    }
