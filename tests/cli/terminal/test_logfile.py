"""`--log-file`, and runs as cron starts them: without a terminal, with hardly an environment."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.cli.terminal.logfile import LogFile
from cbir.errors import CbirError
from cbir.index.home import home
from cbir.index.lock import exclusive
from cbir.utils.cache import cache_folder
from tests.helpers.waiting import GUARD_SECONDS, wait_for

Folder = Callable[..., Path]

CHECKOUT = Path(__file__).parents[3]

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \[(\d+)\] (.+)")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def messages(log: Path) -> list[str]:
    """The lines of a log without time and process, each of which must be there."""
    found = [LINE.fullmatch(line) for line in os.fsdecode(log.read_bytes()).splitlines()]
    assert all(found), log.read_bytes()
    return [match[2] for match in found if match]


def last(log: Path) -> str:
    """The last line of a log, without the seconds in it."""
    return re.sub(r"\d+\.\d s", "… s", messages(log)[-1])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "cbir.log"


def test_a_run_is_a_first_line_its_files_and_a_last_line(photo_folder: Folder, log: Path) -> None:
    root = photo_folder(3)
    (root / "bad.jpg").write_text("no picture")
    result = run("index", root, "-q", "--log-file", log)
    assert (result.exit_code, result.stderr) == (0, "")
    first, *between = messages(log)[:-1]
    assert first == f"started: cbir index {root} -q --log-file {log}"
    assert any("Using efficientnet_lite0" in line for line in between)
    assert "skipped: bad.jpg: it is no picture in a known format" in between
    counts = "found 4, added 3, changed 0, touched 0, moved 0, copied 0, removed 0, unchanged 0, skipped 1"
    assert last(log) == f"index photos done, exit code 0, … s: {counts}"
    assert logging.getLogger("cbir").handlers[1:] == []

    (root / "img_000.jpg").rename(root / "moved.jpg")
    (root / "img_001.jpg").unlink()
    before = log.read_bytes()
    assert run("index", "--index", "photos", "--strict", "--log-file", log).exit_code == 4
    assert log.read_bytes().startswith(before)
    counts = "found 3, added 0, changed 0, touched 0, moved 1, copied 0, removed 1, unchanged 1, skipped 1"
    assert last(log) == f"index photos done, files were skipped, exit code 4, … s: {counts}"

    shutil.rmtree(root)
    assert run("index", "--index", "photos", "--log-file", log).exit_code == 3
    assert messages(log)[-2].startswith("Error: ")
    assert "--prune" in messages(log)[-2]
    assert last(log) == "index photos refused to forget, exit code 3, … s"

    missing = run("search", root / "none.jpg", "--index", "photos", "--log-file", log)
    assert missing.exit_code == 1
    assert messages(log)[-2] == missing.stderr.strip()
    assert last(log) == "search photos failed, exit code 1, … s"


@pytest.mark.parametrize(
    ("arguments", "error", "end"),
    [
        (["index", "--log-file", "{}", "nowhere"], "nowhere is not there", "index nowhere failed, exit code 1, … s"),
        (["search", "--log-file", "{}"], "Name a picture", "search wrong usage, exit code 2, … s"),
        # Click cannot read these at all
        (["index", "--no-such-option", "--log-file={}"], "No such option", "index wrong usage, exit code 2, … s"),
        (["indx", "photos", "--log-file", "{}"], "No such command", "cbir wrong usage, exit code 2, … s"),
        (["info", "--index", "none", "--log-file", "{}"], "no index", "info none failed, exit code 1, … s"),
    ],
)
def test_errors_and_wrong_usage_are_in_the_log(log: Path, arguments: list[str], error: str, end: str) -> None:
    result = run(*[argument.format(log) for argument in arguments])
    assert result.exit_code in (1, 2)
    assert messages(log)[-2].startswith("Error: ")
    assert error in messages(log)[-2]
    assert last(log).replace("index failed", "index nowhere failed") == end


def test_a_defect_of_cbir_is_in_the_log(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbir.index.home.all_directories", lambda: 1 / 0)
    assert isinstance(run("info", "--log-file", log).exception, ZeroDivisionError)
    assert messages(log)[-2] == "Error: ZeroDivisionError: division by zero"
    assert last(log) == "info failed, exit code 1, … s"


@pytest.mark.parametrize(("name", "reason"), [("nowhere/cbir.log", "no such file"), (".", "it is a folder")])
def test_a_log_that_cannot_be_written_is_an_error_before_anything_is_done(
    photo_folder: Folder, tmp_path: Path, name: str, reason: str
) -> None:
    result = run("index", photo_folder(1), "--log-file", tmp_path / name)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: Cannot write the log file {tmp_path / name}: {reason}")
    assert "--log-file" in result.stderr
    assert not home().exists()


def test_a_log_that_is_full_later_does_not_end_the_run(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resource = pytest.importorskip("resource", reason="limits of Unix")
    file = LogFile(log)
    file.append("first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    try:
        file.write("second")
        file.write("third")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert capsys.readouterr().err == f"Error: Cannot write the log file {log}: file too large.\n"


@pytest.mark.parametrize("what", ["photo", "text", "link", "hard link", "fifo", "device", "socket"])
def test_nothing_is_appended_to_but_logs(
    photo_folder: Folder, tmp_path: Path, log: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(1)
    kept = tmp_path / "kept.log"
    LogFile(kept).append("of another run")
    if what == "photo":
        shutil.copy(root / "img_000.jpg", log)
    elif what == "text":
        log.write_text("Dear diary,\n")
    elif what == "link":
        log.symlink_to(kept)
    elif what == "hard link":
        log.hardlink_to(kept)
    elif what == "fifo":
        os.mkfifo(log)
    elif what == "socket":
        monkeypatch.chdir(tmp_path)  # whose own name may be too long for one
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(log.name)
    else:
        log = Path("/dev/null")
    before = [path.read_bytes() for path in (kept, log) if path.is_file()]
    result = run("index", root, "--log-file", log)
    assert result.exit_code == 1
    assert f"Error: Cannot write the log file {log}: it is " in result.stderr
    assert [path.read_bytes() for path in (kept, log) if path.is_file()] == before
    assert not home().exists()


def test_an_empty_file_and_an_older_log_are_gone_on_with(log: Path) -> None:
    log.touch()
    LogFile(log).append("one")
    LogFile(log).append("two")
    assert messages(log) == ["one", "two"]


def test_a_log_is_not_for_everybody(log: Path) -> None:
    before = os.umask(0o022)
    try:
        LogFile(log).append("one")
    finally:
        os.umask(before)
    assert log.stat().st_mode & 0o777 == 0o640


def test_the_log_goes_on_in_a_new_file_when_logrotate_has_moved_it(log: Path) -> None:
    file = LogFile(log)
    file.write("one")
    log.rename(log.with_suffix(".1"))
    file.write("two")
    assert (messages(log.with_suffix(".1")), messages(log)) == (["one"], ["two"])
    with log.open("r+b") as copied:  # logrotate's copytruncate
        copied.truncate(0)
    file.write("three")
    assert messages(log) == ["three"]


WRITE_MANY = """
import sys
from pathlib import Path
from cbir.cli.terminal.logfile import LogFile
log = LogFile(Path(sys.argv[1]))
for number in range(300):
    log.write(sys.argv[2] * 3000 + str(number))
"""


def test_lines_of_runs_that_write_at_once_do_not_mix(log: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", WRITE_MANY, log, letter]) for letter in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(messages(log)) == sorted(f"{letter * 3000}{number}" for letter in "abc" for number in range(300))


def test_a_name_is_one_line_whatever_is_in_it(log: Path) -> None:
    LogFile(log).write("skipped: übung ☃\n\x1b[31m\udcff.jpg")
    assert messages(log) == ["skipped: übung ☃\\n\\x1b[31m\udcff.jpg"]
    assert b"\xff.jpg" in log.read_bytes()


def as_cron(*arguments: str | bytes | Path, closed: bool = False, **environment: str) -> subprocess.CompletedProcess:
    """Run cbir with next to no environment, in the root folder; `closed` closes stdin, stdout and stderr."""
    variables = {"PYTHONPATH": str(CHECKOUT), "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"], **environment}
    shell = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"] if closed else []
    return subprocess.run(
        [*shell, sys.executable, "-m", "cbir", *arguments],
        env=variables,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def test_a_run_as_from_cron(photo_folder: Folder, tmp_path: Path, log: Path) -> None:
    root = photo_folder(2)
    name = "größe ☃.jpg"
    (root / "img_000.jpg").rename(root / name)
    with (root / "schön.jpg").open("w") as file:
        file.write("no picture")
    index = tmp_path / "ünter wegs"
    done = as_cron("index", root, "--index", f"{index}/", "--log-file", log)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("ünter wegs: 2 pictures (2 added, 1 skipped)")
    assert "skipped: schön.jpg: it is no picture" in done.stderr.decode()
    found = as_cron("search", root / "img_001.jpg", "--index", f"{index}/", "-0", "--log-file", log)
    assert found.stdout == os.fsencode(root / name) + b"\0"

    (root / os.fsdecode(b"\xe4.jpg")).write_text("no picture")
    # three closed streams: what cbir opens next must not be taken for one of them
    done = as_cron("index", root, "--index", f"{index}/", "--strict", "--log-file", log, closed=True)
    assert done.returncode == 4
    assert "skipped: \udce4.jpg: it is no picture in a known format" in messages(log)
    counts = "found 4, added 0, changed 0, touched 0, moved 0, copied 0, removed 0, unchanged 2, skipped 2"
    assert last(log) == f"index ünter wegs done, files were skipped, exit code 4, … s: {counts}"


def test_a_signal_leaves_its_line(photo_folder: Folder, tmp_path: Path, log: Path) -> None:
    root, directory = photo_folder(1), tmp_path / "index"
    directory.mkdir()
    command = [sys.executable, "-m", "cbir", "index", root, "--index", f"{directory}/", "--wait", "60"]
    with exclusive(directory, 0), subprocess.Popen([*command, "--log-file", log], stderr=subprocess.PIPE) as process:
        wait_for(log.exists, while_=lambda: process.poll() is None)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 130
    assert messages(log)[-2] == "Interrupted. What was committed is kept."
    assert last(log).endswith("interrupted, exit code 130, … s")


def test_home_is_found_without_an_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "CBIR_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert home().is_relative_to(pwd.getpwuid(os.getuid()).pw_dir)

    def nobody(number: int) -> None:
        raise KeyError(number)

    # an account that has no home folder, as of some services
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(CbirError, match=r"set \$CBIR_HOME or \$HOME"):
        home()
    with pytest.raises(CbirError, match=r"\$XDG_CACHE_HOME or \$CBIR_HOME"):
        cache_folder("compiled")
    monkeypatch.setenv("CBIR_HOME", str(tmp_path / "indexes"))
    assert home() == tmp_path / "indexes"
    assert cache_folder("compiled") == tmp_path / "indexes" / ".cache" / "compiled"
    assert "There is no index" in run("info").stdout


def test_whatever_goes_to_stderr_goes_to_the_log_too() -> None:
    """Commands say things with `output.tell`; an echo of their own to stderr would be missing from the log."""
    for module in (CHECKOUT / "cbir/cli").glob("*.py"):
        allowed = {"output.py": 1, "logfile.py": 1}.get(module.name, 0)
        assert module.read_text().count("err=True") == allowed, f"{module.name}: use cbir.cli.terminal.output.tell"
