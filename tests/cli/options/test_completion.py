"""What shells offer on Tab, asked of the shells themselves, which are given a terminal and keys."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbir.backbones.catalog import KNOWN
from cbir.cli.options.completion import MODELS
from tests.helpers.waiting import GUARD_SECONDS

CHECKOUT = Path(__file__).parents[3]

#: How each shell is started without anybody's settings, and has the completion switched on; as in docs/completion.md.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(_CBIR_COMPLETE=bash_source cbir)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -U compinit; compinit -u -D; unsetopt beep; eval "$(_CBIR_COMPLETE=zsh_source cbir)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "_CBIR_COMPLETE=fish_source cbir | source"),
}

#: What is typed before Tab, and the words of the line after it.
CASES = {
    "cbir sea": ["cbir", "search"],
    "cbir search --toge": ["cbir", "search", "--together"],
    "cbir search x.jpg --format js": ["cbir", "search", "x.jpg", "--format", "json"],
    "cbir index . --engine o": ["cbir", "index", ".", "--engine", "openvino"],
    "cbir search --index hol": ["cbir", "search", "--index", "holiday"],
    "cbir index . --model r": ["cbir", "index", ".", "--model", "resnet50"],
    "cbir search ges": ["cbir", "search", "gesehen ☃.jpg"],
    "cbir index . --weights unt": ["cbir", "index", ".", "--weights", "untrained"],
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._main, side = pty.openpty()
        self._process = subprocess.Popen(
            command,
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # fish wants to be asked by its own terminal
        )
        os.close(side)

    def type(self, keys: str, until: str) -> str:
        """Press keys, and read what is shown until something in it matches; AssertionError where nothing ever does."""
        os.write(self._main, keys.encode())
        shown = b""
        deadline = time.monotonic() + GUARD_SECONDS
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._main], [], [], 0.1)
            if ready:
                shown += os.read(self._main, 65536)
            if (found := re.search(until, shown.decode(errors="replace"))) is not None:
                return found[0]
        raise AssertionError(f"{until!r} is not in {shown.decode(errors='replace')!r}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._main)


@pytest.fixture(params=SHELLS)
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """Each of the shells that are here, in a folder with a picture, with `cbir` in its path and two indexes."""
    command, setup = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "cbir"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cbir "$@"\n')
    program.chmod(0o755)
    for name in ("holiday", "work"):
        (tmp_path / "indexes" / name).mkdir(parents=True)
        (tmp_path / "indexes" / name / "meta.json").touch()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "gesehen ☃.jpg").touch()
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "HOME": str(tmp_path),
        "CBIR_HOME": str(tmp_path / "indexes"),
        "LC_ALL": "C.UTF-8",
        "TERM": "vt100",
    }
    shell = Terminal(command, tmp_path / "here", environment)
    shell.type(f"{setup}; printf '%s-%s' is ready\r", "is-ready")
    yield shell
    shell.close()


def test_tab(terminal: Terminal) -> None:
    for typed, words in CASES.items():
        # Ctrl-A, and the line becomes the arguments of printf, which shows its words
        shown = terminal.type(f"{typed}\t", re.escape(typed[-3:]))
        time.sleep(0.05)
        shown = terminal.type("\x01printf '<%s>' \x05 END\r", r"(<[^<>%]*>)+<END>")
        assert re.findall("<(.*?)>", shown) == [*words, "END"], typed


def test_tab_offers_the_networks_that_are_known() -> None:
    assert tuple(KNOWN) == MODELS


COMPLETE = """
import sys
from cbir.cli import main
try:
    main()
finally:
    heavy = {"numpy", "torch", "torchvision", "openvino", "annoy", "PIL", "scipy"}
    print("imported:", *sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("line", ["cbir ", "cbir search --format ", "cbir search --index ", "cbir index . --model "])
def test_tab_imports_nothing_heavy(line: str) -> None:
    words = len(line.split(" ")) - 1
    environment = {**os.environ, "_CBIR_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(words)}
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[0].startswith(("plain,", "dir,")), done
    assert done.stderr.endswith("imported:\n"), done.stderr
