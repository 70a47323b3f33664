"""`kill -9` and power cuts: whenever a run dies, the index is one of its committed states, and the next run goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import cbir.indexing.makers
import cbir.indexing.run
from cbir.backbones.catalog import FAKE_SMALL
from cbir.detect.wish import Wish
from cbir.index.files import FileRecord
from cbir.index.format import META
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from tests.helpers.faults import Content, Server, content, replace_in, unnamed_files
from tests.helpers.graph_files import write
from tests.helpers.waiting import wait_for

#: The scenarios that add something to the rows of an index.
ADDED = ("parts", "objects", "faces", "treatment", "another network")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc"),
    pytest.mark.usefixtures("replaced"),
]


def refresh(root: Path, directory: Path, *, adding: str | None = None, detector: Path | None = None) -> Report:
    options = Options(
        prune=True,
        parts=True if adding == "parts" else None,
        objects=True if adding == "objects" else None,
        detector=Wish(weights=str(detector)) if adding == "objects" else None,
        faces=True if adding == "faces" else None,
        treatment=True if adding == "treatment" else None,
        model=FAKE_SMALL if adding == "another network" else None,
        keep_old=adding == "another network",
    )
    return build_index(choose_target(root, str(directory)), options)[0]


@dataclass
class Scenario:
    """A run of `cbir index` that goes through all kinds of commits, and all that it may leave behind.

    `before` is the index directory that the run starts with, or None; `states` are its contents after each commit,
    the one of before first. A run may be `adding` parts, objects, which the `detector` finds, faces, how
    pictures were treated, or another network.
    """

    root: Path
    before: Path | None
    states: list[Content | None]
    steps: list[str]
    adding: str | None
    detector: Path

    def arguments(self, directory: Path) -> list[str]:
        added = {
            "parts": ["--parts"],
            "objects": ["--objects", "--detector", str(self.detector)],
            "faces": ["--faces"],
            "treatment": ["--treatment"],
            "another network": ["--model", FAKE_SMALL, "--keep-old"],
        }
        return ["index", str(self.root), "--index", str(directory), "--prune", *added.get(self.adding or "", [])]

    def refresh(self, directory: Path) -> Report:
        return refresh(self.root, directory, adding=self.adding, detector=self.detector)

    def start(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, directory)


DrawPicture = Callable[..., Image.Image]


def fill(root: Path, draw_picture: DrawPicture) -> None:
    root.mkdir()
    for number in range(34):
        draw_picture(number, (48, 32)).save(root / f"{number:02}.png")


def change(root: Path, draw_picture: DrawPicture) -> None:
    """New, changed, gone, renamed, copied and touched files; as a process started later sees them."""
    for number in range(5):
        (root / f"{number:02}.png").unlink()
    for number in range(5, 10):
        draw_picture(100 + number, (48, 32)).save(root / f"{number:02}.png")
        os.utime(root / f"{number:02}.png", ns=(7, 7))
    for number in range(10, 13):
        (root / f"{number:02}.png").rename(root / f"renamed {number}.png")
        shutil.copy(root / f"{number + 10}.png", root / f"copy {number}.png")
        os.utime(root / f"{number + 3}.png", ns=(8, 8))
    for number in range(40, 46):
        draw_picture(number, (48, 32)).save(root / f"new {number}.png")


@pytest.fixture(scope="module", params=["a new index", "an update", "an older index", *ADDED])
def scenario(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, draw_picture: DrawPicture, server: Server
) -> Scenario:
    folder = tmp_path_factory.mktemp("kills")
    root, directory = folder / "photos", folder / "index"
    before: Path | None = None
    states: list[Content | None] = [None]
    fill(root, draw_picture)
    with pytest.MonkeyPatch.context() as patch:
        replace_in(patch)
        if request.param != "a new index":
            before = folder / "before"
            with pytest.MonkeyPatch.context() as older:
                if request.param == "an older index":
                    older.setattr(cbir.indexing.makers, "classifier_of", lambda backbone: None)
                refresh(root, before)
            change(root, draw_picture)
            shutil.copytree(before, directory)
            states = [content(before)]
        real = Writer._replace

        def replace(self: Writer, meta: object, written: int = 0) -> None:
            real(self, meta, written)  # type: ignore[arg-type]
            states.append(content(directory))

        patch.setattr(Writer, "_replace", replace)
        detector = write(folder / "some.onnx", "yolox")
        made = Scenario(root, before, states, [], request.param if request.param in ADDED else None, detector)
        made.refresh(directory)
    made.start(directory)
    status, made.steps, error = server.run(*made.arguments(directory), directory=directory)
    assert status == 0, error
    return made


def is_there(root: Path, record: FileRecord) -> bool:
    path = root / record.path
    return path.exists() and (path.stat().st_size, path.stat().st_mtime_ns) == (record.size, record.mtime_ns)


def rows_of(scenario: Scenario, index: Index) -> int:
    """How many rows are of files that are as they were."""
    return sum(is_there(scenario.root, record) for row, record in index.records() if index.valid[row])


def check(scenario: Scenario, directory: Path, clean: Content) -> int:
    """Hold what a dead run left against the promises; which state it was."""
    seen = 0
    if (directory / META).exists():
        index = Index.open(directory)
        assert find_problems(index, verify=True) == []
        found: Content | None = content(directory)
        done = rows_of(scenario, index)
        seen = sum(rows_of(scenario, Index(directory, state)) for state in index.meta.others)
    else:
        found, done = None, 0
    fitting = [number for number, state in enumerate(scenario.states) if state == found]
    assert fitting, "no committed state has this content"
    report = scenario.refresh(directory)
    assert report.unchanged == done
    if scenario.adding == "another network":
        assert [one.report.unchanged for one in report.by_others] == [seen]  # and nothing that was seen is lost
    assert content(directory) == clean
    assert unnamed_files(directory) == set()
    assert find_problems(Index.open(directory), verify=True) == []
    return fitting[0]  # later ones have the same content (a compaction, say)


def test_the_scenarios_go_through_all_kinds_of_commits(scenario: Scenario) -> None:
    names = " ".join(scenario.steps)
    assert scenario.steps.count("rename meta.json.new") >= 5
    assert "remove features-" in names
    assert "open index-" in names
    assert "remove classes-" in names
    if scenario.adding == "parts":
        assert "sync whitening-" in names
    if scenario.adding in ("parts", "objects", "faces", "treatment"):
        assert f"remove {scenario.adding}-" in names
    if scenario.before is not None:
        assert "remove index-" in names  # compacted, since candidates go only then or when they are renewed


def test_a_run_killed_at_any_step_leaves_a_committed_state_and_the_next_goes_on(
    scenario: Scenario, tmp_path: Path, server: Server
) -> None:
    directory = tmp_path / "index"
    clean = scenario.states[-1]
    assert clean is not None
    seen = []
    steps: Sequence[int] = range(1, len(scenario.steps) + 1)
    if scenario.adding and "CBIR_ALL_KILLS" not in os.environ:  # 200 runs, of which each reads 46 pictures large
        steps = sorted(random.Random(3).sample(steps, 8))
    for kill_at in steps:
        scenario.start(directory)
        status, _, error = server.run(*scenario.arguments(directory), directory=directory, kill_at=kill_at)
        assert status == -signal.SIGKILL, (kill_at, error)
        seen.append(check(scenario, directory, clean))
    assert seen == sorted(seen)
    if len(steps) == len(scenario.steps):
        assert len(seen) >= 50
        # all contents that a commit made were met, the one of before and the last one too
        assert len(set(seen)) == len({str(state) for state in scenario.states})


def test_a_power_cut_at_any_step_leaves_a_committed_state(scenario: Scenario, tmp_path: Path, server: Server) -> None:
    directory = tmp_path / "index"
    clean = scenario.states[-1]
    assert clean is not None
    rng = random.Random(1)
    for kill_at in rng.sample(range(1, len(scenario.steps) + 1), 5 if scenario.adding else 40):
        scenario.start(directory)
        server.run(
            *scenario.arguments(directory),
            directory=directory,
            kill_at=kill_at,
            power=rng.randrange(10**6),
        )
        check(scenario, directory, clean)


# The command line with the replacements, in a process of its own.
ALONE = "import sys; from tests.helpers import faults; faults.replace_all(); sys.exit(faults.run_cli(sys.argv[1:]))"


def test_a_process_killed_at_any_time_leaves_a_committed_state(scenario: Scenario, tmp_path: Path) -> None:
    directory = tmp_path / "index"
    clean = scenario.states[-1]
    assert clean is not None
    command = [sys.executable, "-c", ALONE, *scenario.arguments(directory)]
    path = str(Path(__file__).parents[2])
    rng = random.Random(2)
    for _ in range(1 if scenario.adding else 4):
        scenario.start(directory)
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL) as process:
            wait_for((directory / "lock.json").exists, while_=lambda: process.poll() is None)
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
        assert process.returncode in (-signal.SIGKILL, 0)
        check(scenario, directory, clean)
