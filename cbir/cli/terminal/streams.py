"""stdin, stdout and stderr of the process: closed ones, full ones, and what may get to a terminal."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import sys
from typing import IO, Any, TextIO

from cbir.errors import StdoutError, reason_of
from cbir.utils.printable import printable


def prepare() -> None:
    """Make the three streams such that a run ends well whatever is at their other ends. To be called once."""
    _open_missing()
    if os.name == "nt":  # its console is no file
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return
    stdout = _Checked.over(sys.stdout, is_heard=True)
    stderr = _Checked.over(sys.stderr, is_heard=False)
    if stdout is not None:
        # results for people are printable by then, and those for programs are written as bytes
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(stdout),
            encoding=_encoding(sys.stdout),
            errors="backslashreplace",
            line_buffering=sys.stdout.isatty(),
        )
    if stderr is not None:
        sys.stderr = _Messages(
            io.BufferedWriter(stderr), encoding=_encoding(sys.stderr), errors="backslashreplace", line_buffering=True
        )


def discard_stdout() -> None:
    """Let whatever is still to be written to stdout go nowhere: the interpreter's last flush would fail otherwise."""
    with contextlib.suppress(OSError, ValueError):
        _discard(sys.stdout.fileno())


class _Messages(io.TextIOWrapper):
    """stderr: the last place at which a message can steer a terminal, whoever wrote it.

    Commands say things by `output.tell`, which keeps each on one line. What comes by other ways are tracebacks,
    warnings and messages of libraries, and progress bars, which go back to the start of their line.
    """

    def write(self, text: str, /) -> int:
        bar, rest = ("\r", text[1:]) if text.startswith("\r") else ("", text)
        super().write(bar + "\n".join(map(printable, rest.split("\n"))))
        return len(text)


class _Checked(io.FileIO):
    """A stream's file, which after its first failure takes all and keeps nothing.

    That failure is an StdoutError where it `is_heard`, which is stdout's: what was asked for is lost. A pipe that was
    closed stays the BrokenPipeError that it is.
    """

    def __init__(self, descriptor: int, *, is_heard: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._is_heard = is_heard

    @classmethod
    def over(cls, stream: IO[Any], *, is_heard: bool) -> _Checked | None:
        """Make one for the file of `stream`; None where it is none of the system's."""
        try:
            return cls(stream.fileno(), is_heard=is_heard)
        except (AttributeError, OSError, ValueError):
            return None

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]  # what typeshed calls it differs
        try:
            while (written := super().write(data)) is None:  # another program has made it non-blocking
                select.select([], [self], [])
            return written
        except OSError as error:
            if self._is_heard and isinstance(error, BrokenPipeError):
                raise
            _discard(self.fileno())
            if self._is_heard:
                raise StdoutError(f"Cannot write to stdout: {reason_of(error)}.") from error
            return super().write(data)


def _encoding(stream: TextIO) -> str:
    """Return the encoding as Click has it, which takes ASCII for an environment that says nothing."""
    return "utf-8" if codecs.lookup(stream.encoding).name == "ascii" else stream.encoding


def _discard(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _open_missing() -> None:
    """Give a process whose stdin, stdout or stderr was closed (`<&-`) an empty one.

    Otherwise the next file that is opened, one of an index say, would be what child processes take for theirs.
    """
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            # the lowest number that is free: those below are open by now
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == number:
                os.set_inheritable(opened, True)
            setattr(sys, name, open(opened, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
