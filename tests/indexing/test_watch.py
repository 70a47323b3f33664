"""An index that is kept fresh while files come and go: the command, real files, and what the system tells of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from cbir.errors import CbirError
from cbir.images.patterns import Patterns
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing import watch
from cbir.indexing.plan import make_plan
from cbir.indexing.policy import SECONDS
from cbir.indexing.run import index_folder
from cbir.indexing.watched import kept_fresh
from cbir.utils import stopping
from tests.helpers.signals import default_signals
from tests.helpers.waiting import GUARD_SECONDS, SOON_SECONDS, wait_for

pytest.importorskip("watchfiles")


def picture(path: Path, colour: int) -> None:
    """Write a picture whose content is like no other's."""
    Image.new("RGB", (48, 48), (colour % 256, colour // 256 % 256, 99)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four pictures, which have rested, in the index `photos`."""
    folder = tmp_path / "album"
    (folder / "trip").mkdir(parents=True)
    for number in range(4):
        picture(folder / "trip" / f"{number}.png", number)
    index_folder(folder, "photos")
    return folder


class Watching:
    """A `cbir index --watch` in a process of its own."""

    def __init__(self, log: Path, *options: str) -> None:
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cbir", "index", "--index", "photos", "--watch", *options],
                stdout=subprocess.PIPE,
                stderr=stderr,
                preexec_fn=default_signals,
            )

    @property
    def lines(self) -> list[str]:
        """The lines on stderr so far."""
        return self.log.read_text().splitlines()

    def end(self) -> int:
        """End it, soon, and return its exit code."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(GUARD_SECONDS)
        assert time.monotonic() - begin < SOON_SECONDS
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def begin(*options: str) -> Watching:
        one = Watching(tmp_path / f"stderr{len(started)}", *options)
        started.append(one)
        if not options:
            wait_for(lambda: one.lines, told="no first run")
        return one

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()


def opened() -> Index:
    return Index.open(Path(os.environ["CBIR_HOME"]) / "photos")


def paths() -> set[str]:
    """Return the files that the index has now."""
    index = opened()
    files = index.files().paths
    return {files[row] for row in range(index.rows) if index.valid[row]}


def test_a_burst_of_files_makes_few_runs(root: Path, start: Callable[..., Watching]) -> None:
    watching, begin = start(), time.monotonic()
    for number in range(2000):
        shutil.copy(root / "trip" / f"{number % 4}.png", root / f"copy{number}.png")
    copied = time.monotonic() - begin
    picture(root / "new.png", 5000)
    wait_for(lambda: len(paths()) == 2005)
    # on a machine that does other things the copying may rest
    assert len(watching.lines) <= 4 + copied // watch.QUIET, watching.lines
    assert watching.end() == 130
    assert find_problems(opened(), verify=True) == []


def test_a_folder_that_is_renamed_is_moved(root: Path, start: Callable[..., Watching]) -> None:
    watching = start()
    (root / "trip").rename(root / "journey")
    wait_for(lambda: "journey/0.png" in paths())
    wait_for(lambda: len(watching.lines) == 2)
    assert "(4 moved)" in watching.lines[1]
    (root / "journey" / "0.png").unlink()
    wait_for(lambda: len(paths()) == 3)
    picture(root / "journey" / "9.png", 9)  # folders that came later are watched too
    wait_for(lambda: "journey/9.png" in paths())


def test_a_disk_that_goes_away_is_told_once_and_waited_for(root: Path, start: Callable[..., Watching]) -> None:
    watching = start()
    away = root.with_name("away")
    root.rename(away)
    wait_for(lambda: len(watching.lines) == 2)
    assert "is a disk not mounted?" in watching.lines[1]
    root.mkdir()  # the empty folder below a disk
    time.sleep(2.5)
    assert len(watching.lines) == 2
    assert len(paths()) == 4
    root.rmdir()
    picture(away / "new.png", 77)
    away.rename(root)
    wait_for(lambda: len(watching.lines) == 3)
    assert "(1 added, 4 unchanged)" in watching.lines[2]


def test_a_file_that_is_still_being_written_is_left_until_it_rests(root: Path, start: Callable[..., Watching]) -> None:
    whole = root.with_name("whole.png")
    Image.effect_noise((200, 200), 90).save(whole)
    content = whole.read_bytes()
    watching = start()

    def is_written_slowly() -> bool:
        last, longest = time.monotonic(), 0.0
        with (root / "slow.png").open("wb") as file:
            for begin in range(0, len(content), len(content) // 16):
                file.write(content[begin : begin + len(content) // 16])
                file.flush()
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
                time.sleep(0.25)
                if longest < watch.RESTING / 2:
                    assert "slow.png" not in paths()
        return longest < watch.RESTING / 2  # else this process had to wait, and the file did rest

    for _ in range(10):
        if is_written_slowly():
            break
        (root / "slow.png").unlink()
        wait_for(lambda: "slow.png" not in paths())
    wait_for(lambda: "slow.png" in paths())
    assert not any("skipped" in line for line in watching.lines), watching.lines


def test_what_changed_a_moment_ago_keeps_its_row(root: Path) -> None:
    picture(root / "trip" / "0.png", 300)
    picture(root / "new.png", 301)
    exclude = Patterns(())
    plan = make_plan(root, exclude, opened(), resting=60)
    # the others were written a moment ago too, but are what the index has
    assert (plan.unsettled, plan.fresh, plan.gone, plan.stale) == (2, [], {}, {})
    plan = make_plan(root, exclude, opened(), resting=1e-9)
    assert [file.path for file in plan.fresh] == ["new.png", "trip/0.png"]


def test_a_kill_in_the_midst_loses_nothing(root: Path, start: Callable[..., Watching]) -> None:
    watching = start()
    for number in range(300):
        picture(root / f"{number}.png", 1000 + number)
    time.sleep(1.2)
    watching.process.kill()
    watching.process.wait()
    assert find_problems(opened(), verify=True) == []
    assert len(paths()) >= 4
    start()
    wait_for(lambda: len(paths()) == 304)
    assert find_problems(opened(), verify=True) == []


def test_a_second_writer_waits_and_is_waited_for(root: Path, start: Callable[..., Watching]) -> None:
    watching = start()
    lock = FileLock(opened().directory / "lock")
    with lock.acquire(timeout=GUARD_SECONDS):  # it is free between runs
        picture(root / "new.png", 7)
        wait_for(lambda: any("Another run is writing" in line for line in watching.lines))
        assert "new.png" not in paths()
    wait_for(lambda: "new.png" in paths())
    assert sum("Another run" in line for line in watching.lines) == 1
    picture(root / "newer.png", 8)
    _, report = index_folder(root, "photos", wait=30)
    wait_for(lambda: "newer.png" in paths())
    assert report.skipped == []


def test_an_index_within_its_folder_does_not_set_itself_off(tmp_path: Path, root: Path) -> None:
    seen = watch.changes(root, leave=root / "indexes")
    (root / "indexes").mkdir()
    assert next(seen) is False
    for number in range(5):
        (root / "indexes" / f"meta{number}").write_text("x")
        (root / ".hidden").write_text("x")
        assert next(seen) is False
    (root / "meta").write_text("x")
    wait_for(lambda: next(seen))
    seen.close()


def test_a_run_that_finds_nothing_says_nothing_and_others_are_json(root: Path, start: Callable[..., Watching]) -> None:
    watching = start("--json", "-q")
    stdout = watching.process.stdout
    assert stdout is not None

    def record() -> dict[str, object]:
        text = b""
        while True:
            text += stdout.readline()
            try:
                found: dict[str, object] = json.loads(text)
            except json.JSONDecodeError:
                continue
            return found

    assert record()["unchanged"] == 4
    (root / "notes.txt").write_text("no picture")
    time.sleep(2.5)
    picture(root / "new.png", 7)
    assert (found := record())["added"] == 1, found
    assert watching.lines == []


def test_where_the_system_tells_nothing_it_is_looked_each_minute(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError(28, "OS file watch limit reached.")

    monkeypatch.setattr("watchfiles.watch", refuse)
    monkeypatch.setattr(watch, "EACH_MINUTE", 1.0)
    seen = watch.changes(root, leave=root / "indexes")
    begin = time.monotonic()
    wait_for(lambda: next(seen))
    assert 0.9 < time.monotonic() - begin < SOON_SECONDS
    assert "fs.inotify.max_user_watches" in caplog.text
    assert "looking each minute" in caplog.text


def test_changes_that_never_end_are_looked_at_all_the_same() -> None:
    now = 0.0
    pace = watch.Pace(lambda: now)
    begin = now
    while not pace.is_due:
        pace.changed()
        now += 0.5
    assert now - begin == SECONDS
    pace.ran(watch.NET)
    assert not pace.is_due
    now += watch.NET
    assert pace.is_due


def test_without_the_extra_it_says_which_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(CbirError, match=r"install cbir\[watch\]"):
        watch.require()


def test_a_server_has_its_indexes_kept_fresh_by_processes_that_end_with_it(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    others = set(stopping.children)
    with kept_fresh([opened().directory]) as begin_to_end:
        picture(root / "new.png", 7)
        wait_for(lambda: "new.png" in paths())
        (child,) = stopping.children - others
        begin_to_end()
        assert child.wait(SOON_SECONDS) is not None
        begin = time.monotonic()
    assert time.monotonic() - begin < SOON_SECONDS
    assert capfd.readouterr().err == ""
