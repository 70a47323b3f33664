"""A terminal for tests: a process that runs in one, and what it wrote there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.waiting import GUARD_SECONDS


def run_in_terminal(
    *arguments: str | Path,
    columns: int = 80,
    answers: Mapping[bytes, bytes] | None = None,
    stdin: int | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 2 * GUARD_SECONDS,
) -> tuple[int, str]:
    """The exit code of `cbir` with `arguments` in a terminal so wide, and what it wrote there, newlines as `\\n`.

    To each of the questions in `answers` that the process writes, the terminal answers; else it answers nothing.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    variables |= {"TERM": "xterm-256color", **(environment or {})}
    command = [sys.executable, "-m", "cbir", *map(str, arguments)]

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command,
        stdin=theirs if stdin is None else stdin,
        stdout=theirs,
        stderr=theirs,
        env=variables,
        preexec_fn=own_terminal,
    )
    os.close(theirs)
    written, asked = b"", dict(answers or {})
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            written += data
            for question in [question for question in asked if question in written]:
                os.write(ours, asked.pop(question))
        else:
            process.kill()
            raise TimeoutError(written.decode(errors="replace"))
    finally:
        os.close(ours)
    return process.wait(), written.decode(errors="surrogateescape").replace("\r\n", "\n")
