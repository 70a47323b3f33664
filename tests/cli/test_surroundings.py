"""Poor surroundings: full disks at the other end of a pipe, small limits, no home. Each ends in a sentence."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.cli.terminal import failures
from cbir.utils.moments import moment
from tests.helpers.waiting import wait_for

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "cbir"]
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """Four pictures, two of which have the same content, indexed as `photos`."""
    root = tmp_path_factory.mktemp("surroundings")
    (root / "photos").mkdir()
    for seed in range(3):
        draw_picture(seed).save(root / "photos" / f"{seed}.jpg")
    shutil.copy(root / "photos/0.jpg", root / "photos/copy.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CBIR_HOME", str(root / "indexes"))
        assert CliRunner().invoke(cli, ["index", str(root / "photos"), "-q"]).exit_code == 0
    return root / "photos"


@pytest.fixture(autouse=True)
def _home(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_HOME", str(photos.parent / "indexes"))


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    given: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 120}
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, **{**given, **options})  # type: ignore[call-overload,no-any-return]


def assert_sentence(done: subprocess.CompletedProcess[str], codes: tuple[int, ...] = (0, 1)) -> None:
    """No traceback; and where it failed, the last line says so."""
    assert done.returncode in codes, done.stderr
    assert "Traceback" not in done.stderr
    assert "has a defect" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if done.returncode:
        # a library that has no memory to begin with may speak for itself
        assert re.match("Error: .|OpenBLAS error", done.stderr.splitlines()[-1]), done.stderr


def commands(photos: Path, tmp_path: Path) -> list[tuple[str | Path, ...]]:
    return [
        ("--help",),
        ("--version",),
        ("search", "--help"),
        ("search", photos / "1.jpg"),
        *(("search", photos / "1.jpg", "--format", name) for name in ("table", "json", "jsonl", "csv", "paths")),
        ("index", photos, "-q"),
        ("index", photos, "-n", "--json"),
        ("info",),
        ("models",),
        ("duplicates", "-q"),
        ("tags", photos / "1.jpg", "-q"),
        ("tags", "--index", "photos", "--format", "csv"),
        ("segment", photos / "1.jpg", "--fast", "--no-overlay", "--no-labels", "-q"),
        ("locate", photos / "1.jpg", photos / "2.jpg", "-q"),
        ("map", "--html", tmp_path / "map.html"),
    ]


@needs_full
def test_a_full_disk_behind_stdout_is_one_line(photos: Path, tmp_path: Path) -> None:
    for arguments in commands(photos, tmp_path):
        with FULL.open("wb") as full:
            done = run(*arguments, stdout=full)
        told = (done.returncode, done.stderr)
        assert told == (1, "Error: Cannot write to stdout: no space left on device.\n"), arguments


@needs_full
def test_a_full_disk_behind_stderr_changes_nothing_else(photos: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for arguments, code in (
        (("search", photos / "none.jpg", "--log-file", log), 1),
        (("search", "--none"), 2),
        (("index", photos, "-v"), 0),
        (("--debug", "search", photos / "none.jpg"), 1),
    ):
        with FULL.open("wb") as full:
            assert run(*arguments, stderr=full).returncode == code
            if code:
                assert run(*arguments, stderr=full, stdout=full).returncode == code
    assert "there is no such file" in log.read_text()


@needs_full
def test_a_full_disk_behind_stdout_is_in_the_log(photos: Path, tmp_path: Path) -> None:
    with FULL.open("wb") as full:
        run("search", photos / "1.jpg", "--log-file", tmp_path / "log", stdout=full)
    *_, error, last = (tmp_path / "log").read_text().splitlines()
    assert error.endswith("Error: Cannot write to stdout: no space left on device.")
    assert "search failed, exit code 1" in last


def test_pipes_that_close_early_are_no_failure(photos: Path, tmp_path: Path) -> None:
    for arguments in (("--help",), ("models",), ("search", photos / "1.jpg"), ("tags", "--index", "photos")):
        read, write = os.pipe()
        os.close(read)
        done = run(*arguments, stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (0, ""), arguments
    read, write = os.pipe()
    os.close(read)
    assert run("search", photos / "none.jpg", stderr=write).returncode == 1
    done = run(stdout=write, env={**os.environ, "_CBIR_COMPLETE": "bash_source"})
    assert (done.returncode, done.stderr) == (0, "")
    os.close(write)


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_empty_ones(photos: Path, streams: str) -> None:
    for arguments, code in ((("search", photos / "1.jpg"), 0), (("search", photos / "none.jpg"), 1), (("--help",), 0)):
        script = f'exec "$@" {streams}'
        done = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *COMMAND, *map(str, arguments)], capture_output=True, check=False
        )
        assert done.returncode == code
        assert b"Traceback" not in done.stderr


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        (resource.RLIMIT_NOFILE, 10),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_NOFILE, 24),
        *((resource.RLIMIT_AS, size * MEGABYTE) for size in (100, 200, 300, 600, 800)),
        (resource.RLIMIT_FSIZE, 512),
        (resource.RLIMIT_FSIZE, 0),
    ],
)
def test_small_limits_end_in_a_sentence(photos: Path, tmp_path: Path, limit: int, value: int) -> None:
    for arguments in (
        ("search", photos / "1.jpg", "-k", "1"),
        ("index", photos, "--index", f"{tmp_path}/index/"),
        ("tags", photos / "1.jpg", "--xmp"),
        ("search", photos / "1.jpg", "--html", tmp_path / "page.html", "--sheet", tmp_path / "sheet.png"),
    ):
        done = run(*arguments, preexec_fn=lambda: resource.setrlimit(limit, (value, value)))
        assert_sentence(done)
    assert not [path for path in photos.iterdir() if path.suffix == ".xmp" and not path.stat().st_size]


def test_nothing_begins_that_may_fault_for_want_of_memory(photos: Path, tmp_path: Path) -> None:
    # between 500 and 700 MB OpenVINO faulted, or OpenBLAS asked again for good, in one run of a few
    limit = 600 * MEGABYTE
    for arguments in (
        ("tags", photos / "1.jpg"),
        ("index", photos, "--index", f"{tmp_path}/index/"),
        ("segment", photos / "1.jpg", "-o", tmp_path / "segments"),
    ):
        done = run(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch("Error: There is not enough memory for this: .*\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "not enough memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
            "not enough memory",
        ),
        (RuntimeError("[CPU] Convolution node with name 'Multiply' can't alloc"), "not enough memory"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), "Too many files"),
        (RuntimeError("can't start new thread"), "No more threads"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "No more threads"),
        (ImportError("libfoo.so.1: cannot open shared object file: No such file or directory"), "A library cannot"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "permission denied (/x)"),
        (ValueError("memory of a map"), None),
        (ModuleNotFoundError("No module named 'x'"), None),
    ],
)
def test_what_is_short_is_said(error: Exception, told: str | None) -> None:
    sentence = failures.sentence_of(error)
    assert sentence is None if told is None else told in str(sentence)


def test_a_folder_that_is_gone_and_a_home_that_is_none(photos: Path, tmp_path: Path) -> None:
    script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'
    for arguments, code in (
        (("search", photos / "1.jpg"), 0),
        (("info",), 0),
        (("index", photos, "-q"), 0),
        (("index", "here"), 1),
        (("tags", photos / "1.jpg", "--log-file", "log"), 1),
        (("search", photos / "1.jpg", "--html", "page.html"), 1),
        (("map",), 1),
    ):
        command = ["/bin/sh", "-c", script, tmp_path / "gone", *COMMAND, *map(str, arguments)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=False
        )
        assert_sentence(done, (code,))
    for environment in (
        {"CBIR_HOME": "~nosuchuser/x"},
        {"CBIR_HOME": "/dev/null"},
        {"CBIR_HOME": "/tmp/a\nb\x1b[2J"},
        {"TMPDIR": "/nonexistent"},
        {"COLUMNS": "0", "LINES": "x", "TERM": "dumb"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONOPTIMIZE": "2"},
    ):
        for arguments in (("info",), ("search", photos / "1.jpg", "--format", "table"), ("search", "größe ☃.jpg")):
            assert_sentence(run(*arguments, env={**os.environ, **environment}))


def test_warnings_as_errors_are_none_of_a_users(photos: Path, tmp_path: Path, draw_picture: Callable) -> None:
    draw_picture(9).save(tmp_path / "new.jpg")
    done = run("search", tmp_path / "new.jpg", "-k", "1", env={**os.environ, "PYTHONWARNINGS": "error"})
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    done = run("index", photos, "--index", f"{tmp_path}/i/", "--json", env={**os.environ, "PYTHONWARNINGS": "error"})
    assert (json.loads(done.stdout)["added"], json.loads(done.stdout)["skipped"]) == (3, []), done.stderr


def test_names_come_through_whatever_stdout_is_said_to_be(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "names"
    root.mkdir()
    names = [os.fsdecode("größe ☃.jpg".encode()), os.fsdecode(b"caf\xe9.jpg")]
    for name, seed in zip(names, ("0", "1"), strict=True):
        shutil.copy(photos / f"{seed}.jpg", root / name)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    assert run("index", root, "--index", f"{tmp_path}/i/", "-q", env=environment).returncode == 0
    for format_ in ("paths", "csv"):
        arguments = [*COMMAND, "search", photos / "2.jpg", "--index", f"{tmp_path}/i/", "--format", format_]
        done = subprocess.run(arguments, env=environment, capture_output=True, check=False)
        assert all(os.fsencode(name) in done.stdout for name in names)


DEFECT = """
import sys
import termios
import time
import cbir.index.home
import cbir.cli
def fail(): raise TypeError("not a \\x1b[2Jthing\\nError: fake")
cbir.index.home.all_directories = fail
cbir.cli.main()
"""


def test_a_defect_is_one_line_that_says_where(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DEFECT]
    done = subprocess.run([*command, "info"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(
        r"Error: cbir has a defect \(TypeError in <string>, line \d+: not a \\x1b\[2Jthing\\nError: fake\)\. .*\n",
        done.stderr,
    )
    debugged = subprocess.run([*command, "--debug", "info"], capture_output=True, text=True, check=False)
    assert debugged.returncode == 1
    assert debugged.stderr.startswith("Traceback")
    assert "\x1b" not in debugged.stderr


# ---- times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (1_795_716_184, "2026-11-26T18:03:04Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (253_402_300_800, "+10000-01-01T00:00:00Z"),
        (9_000_000_000_000, "+287168-08-24T16:00:00Z"),
        (-62_135_596_801, "0000-12-31T23:59:59Z"),
        (-10_000_000_000_000, "-314918-08-13T06:13:20Z"),
        (2**63 - 1, "+292277026596-12-04T15:30:07Z"),
    ],
)
def test_times_of_any_year_are_told(seconds: int, text: str) -> None:
    assert moment(seconds) == text


def test_files_dated_centuries_ahead_are_indexed_and_told(photos: Path, tmp_path: Path) -> None:
    folder = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path  # which keeps any time
    root = folder / f"cbir-{os.getpid()}-times"
    shutil.copytree(photos, root)
    try:
        for when in (300_000_000_000, 13_569_465_600, -2_000_000_000):
            os.utime(root / "0.jpg", (when, when))
            kept = int((root / "0.jpg").stat().st_mtime)
            for _ in range(2):
                assert_sentence(run("index", root, "--index", f"{tmp_path}/{when}/"), (0,))
            for format_ in ("json", "table", "csv"):
                done = run("duplicates", "--index", f"{tmp_path}/{when}/", "--format", format_, "--exact")
                assert_sentence(done, (0,))
                if format_ == "json":
                    members = json.loads(done.stdout)[0]["members"]
                    assert moment(kept) in {member["mtime"] for member in members}
    finally:
        shutil.rmtree(root)


def _waiting_in(pipe: int) -> int:
    """Bytes that were written to a pipe and not read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_stdout_that_does_not_wait_loses_nothing(photos: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    command = [*COMMAND, "search", *[str(photos / "1.jpg")] * 150, "--format", "json"]
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        wait_for(lambda: _waiting_in(read) > 60_000)  # more than that a pipe does not take
        with open(read, "rb") as pipe:
            assert len(json.load(pipe)) == 150
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0
