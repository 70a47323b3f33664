"""The lock of an index is free after an interrupt, at whatever moment it comes, in a process that lives on."""

from __future__ import annotations

import itertools
import linecache
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
import pytest

from cbir.index import lock as lock_module
from cbir.index.lock import exclusive

_FILELOCK = str(Path(filelock.__file__).parent)


@pytest.fixture(autouse=True)
def python_handlers() -> Iterator[None]:
    """Handlers that raise KeyboardInterrupt, as those of cbir's commands do, whatever runs the tests ignores."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Interrupt:
    """Sends SIGINT before the line `moment` of those that `exclusive` runs until it yields and after; a trace function.

    A bare `try:` does not count, as Python looks for no signals there; nor does what filelock runs to take the lock,
    which is its own affair.
    """

    def __init__(self, moment: int) -> None:
        self.moment, self.lines, self.is_held, self._is_within = moment, 0, False, False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is lock_module.exclusive.__wrapped__.__code__:  # type: ignore[attr-defined]
            self._is_within = event != "return"
        if not self._is_within or (not self.is_held and is_below(_FILELOCK, frame)):
            return None
        if event == "line" and linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() != "try:":
            self.lines += 1
            if self.lines == self.moment:
                signal.raise_signal(signal.SIGINT)
        return self


def is_below(folder: str, frame: FrameType | None) -> bool:
    """Whether a frame, or one that called it, runs a file of a folder."""
    while frame is not None and not frame.f_code.co_filename.startswith(folder):
        frame = frame.f_back
    return frame is not None


def hold_interrupted(directory: Path, interrupt: Interrupt) -> KeyboardInterrupt | None:
    """Take the lock and let go of it; the interrupt is returned with its traceback, which keeps all objects alive."""
    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with exclusive(directory):
            interrupt.is_held = True
    except KeyboardInterrupt as error:
        return error
    finally:
        sys.settrace(before)
    return None


def test_an_interrupt_at_any_moment_leaves_the_lock_free(tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    moments_held = 0
    for moment in itertools.count(1):
        interrupt = Interrupt(moment)
        error = hold_interrupted(tmp_path, interrupt)
        if interrupt.lines < moment:
            assert error is None
            break
        assert error is not None, f"line {moment}: the interrupt is lost"
        moments_held += interrupt.is_held
        with exclusive(tmp_path):  # raises IndexLockedError where the lock was not let go of
            pass
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    assert moments_held > 20
    assert not (tmp_path / lock_module.HOLDER).exists()
