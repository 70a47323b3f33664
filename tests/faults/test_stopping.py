"""A run ends at the first SIGINT, SIGTERM or SIGHUP, whatever it waits for; what was finished is committed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cbir.index.lock import exclusive
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.indexing.run import index_folder
from tests.helpers.waiting import GUARD_SECONDS
from tests.helpers.waiting import wait_for as wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

Folder = Callable[..., Path]

# A file that cannot be opened before somebody writes to it, as on a disk that hangs, when twenty others are decoded.
HANGING_READ = """
import time
import cbir.extract.loader as extract
real, load, loaded = extract.read_bytes, extract.Loader._load, []
def read(path, share):
    if path.name != "zzz.jpg":
        return real(path, share)
    while len(loaded) < 20:
        time.sleep(0.01)
    open("hangs", "w").close()
    return open(str(path) + ".fifo", "rb").read()
def count(self, *arguments):
    found = load(self, *arguments)
    loaded.append(True)
    return found
extract.read_bytes, extract.Loader._load = read, count
"""

# A network that never comes back: a mutex that is locked twice, which no signal wakes.
HANGING_NETWORK = """
import ctypes
from cbir.engines.openvino_engine import OpenVINOEngine
real, seen = OpenVINOEngine.start, []
def start(self, pictures):
    seen.append(len(pictures))
    if sum(seen) > 90:
        mutex = ctypes.create_string_buffer(64)
        open("hangs", "w").close()
        while True:
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
    return real(self, pictures)
OpenVINOEngine.start = start
"""

RUN = "\nimport sys\nfrom cbir.cli import main\nsys.argv[0] = 'cbir'\nmain()\n"


@pytest.fixture
def converted(photo_folder: Folder) -> None:
    """The network is converted before, once for all: that takes seconds, in which nothing is finished."""
    index_folder(photo_folder(2, name="few"), "few")


def start(
    *arguments: str | Path, before: str = "", cwd: Path | None = None, ignored: Sequence[signal.Signals] = ()
) -> subprocess.Popen[bytes]:
    """Start cbir after the lines `before`, with signals that are ignored from the beginning or have their default."""

    def prepare() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-c", before + RUN, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
        preexec_fn=prepare,
    )


def wait_for(what: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    wait_until(what, while_=lambda: process.poll() is None)
    if not what():
        process.kill()
        raise AssertionError(process.communicate())


def ended(process: subprocess.Popen[bytes]) -> str:
    """Wait until a process has ended; what it said on stderr. Nothing of its session is left.

    What these processes wait for never comes, so one that waited for it would not end at all.
    """
    _, error = process.communicate(timeout=GUARD_SECONDS)
    # killed children are still being taken away
    wait_until(lambda: not [entry for entry in Path("/proc").glob("[0-9]*/stat") if _is_of(process.pid, entry)])
    return error.decode()


def _is_of(session: int, stat: Path) -> bool:
    try:
        state, _, _, its = stat.read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return False
    return int(its) == session and state != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_read_that_hangs_holds_no_end_up(
    photo_folder: Folder, converted: None, tmp_path: Path, number: signal.Signals
) -> None:
    root, directory, log = photo_folder(20), tmp_path / "index", tmp_path / "log"
    (root / "zzz.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    os.mkfifo(root / "zzz.jpg.fifo")
    process = start("index", root, "--index", f"{directory}/", "--log-file", log, before=HANGING_READ, cwd=tmp_path)
    wait_for((tmp_path / "hangs").exists, process)
    time.sleep(0.5)  # the last of the others is handed over
    process.send_signal(number)
    error = ended(process)
    assert (process.returncode, error.count("Interrupted"), "Traceback" in error) == (130, 1, False)
    assert len(Index.open(directory)) == 20  # all that could be finished
    assert not (directory / "lock.json").exists()
    assert re.search(r"\] index index interrupted, exit code 130, [\d.]+ s\n$", log.read_text())


def test_a_network_that_hangs_holds_no_end_up_and_signals_that_follow_do_no_harm(
    photo_folder: Folder, converted: None, tmp_path: Path
) -> None:
    root, directory, log = photo_folder(120), tmp_path / "index", tmp_path / "log"
    process = start(
        *("index", root, "--index", f"{directory}/", "--log-file", log), before=HANGING_NETWORK, cwd=tmp_path
    )
    wait_for((tmp_path / "hangs").exists, process)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.killpg(process.pid, number)
    error = ended(process)
    assert (process.returncode, error.count("Interrupted"), "Traceback" in error) == (130, 1, False)
    index = Index.open(directory)
    assert 0 < len(index) < 120
    assert find_problems(index, verify=True) == []
    assert not (directory / "lock.json").exists()
    assert log.read_text().endswith(" s\n")
    assert "interrupted, exit code 130" in log.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "--files-from", "-"),
        ("search", "-"),
        ("tags", "--files-from", "-"),
        ("segment", "--files-from", "-"),
    ],
)
def test_a_command_that_waits_for_stdin_ends(photo_folder: Folder, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    log = tmp_path / "log"
    process = start(*arguments, "--log-file", log)
    wait_for(log.exists, process)
    process.send_signal(signal.SIGHUP)
    error = ended(process)
    assert (process.returncode, "Traceback" in error) == (130, False)
    assert "interrupted, exit code 130" in log.read_text().splitlines()[-1]


def test_a_signal_that_is_ignored_from_the_beginning_stays_so(tmp_path: Path) -> None:
    directory, log = tmp_path / "index", tmp_path / "log"
    directory.mkdir()
    (tmp_path / "photos").mkdir()
    with exclusive(directory, 0):
        arguments = ("index", tmp_path / "photos", "--index", f"{directory}/", "--wait", "60", "--log-file", log)
        process = start(*arguments, ignored=[signal.SIGHUP])  # as nohup starts it
        wait_for(log.exists, process)
        ignored = re.search(r"^SigIgn:\s*([0-9a-f]+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        assert ignored is not None
        assert int(ignored[1], 16) >> (signal.SIGHUP - 1) & 1
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        ended(process)
    assert process.returncode == 130
