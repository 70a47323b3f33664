"""Ctrl-C at any moment of a commit finds the writer before it or after it, never halfway."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from cbir.index import writer as writer_module
from cbir.index.check import find_problems
from cbir.index.files import FileRecord
from cbir.index.format import META, Meta, load_meta
from cbir.index.interrupts import uninterrupted
from cbir.index.store import Index
from cbir.index.writer import Writer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")


@pytest.fixture(autouse=True)
def python_handlers() -> Iterator[None]:
    """Whatever runs the tests may have SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_waits_for_the_end() -> None:
    reached: list[bool] = []

    def work() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(10_000))
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_signal_nothing_happens_and_handlers_are_put_back() -> None:
    with uninterrupted():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ValueError, match="from within"), uninterrupted():
        raise ValueError("from within")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_may_commit_too() -> None:
    done: list[bool] = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def fill(writer: Writer, first: int, count: int) -> None:
    for number in range(first, first + count):
        writer.add(FileRecord(f"{number}.jpg", 1, 1, f"{number:064x}"), np.eye(16)[number % 16] + 0.1)


def interrupted_commits(directory: Path) -> Iterator[int]:
    """Commit with Ctrl-C at each line of `Writer._replace` in turn, and once more as `carry_out` does; yields lines."""
    code = Writer._replace.__code__
    lines = sorted({line for _, _, line in code.co_lines() if line is not None and line > code.co_firstlineno})
    for line in lines:
        writer = Writer(directory, load_meta(directory))
        count = writer.count_valid()
        fill(writer, count, 3)
        hit = False

        def trace(frame: FrameType, event: str, argument: Any, line: int = line) -> Callable[..., Any] | None:
            nonlocal hit
            if frame.f_code is not code:
                return None if event == "call" else trace
            if event == "line" and frame.f_lineno == line and not hit:
                hit = True
                os.kill(os.getpid(), signal.SIGINT)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            writer.commit(complete=False)
        except KeyboardInterrupt:
            sys.settrace(before)
            writer.commit(complete=False)
        finally:
            sys.settrace(before)
        assert hit, line
        index = Index.open(directory)
        assert find_problems(index, verify=True) == [], line
        paths = [record.path for row, record in index.records() if index.valid[row]]
        assert len(paths) == len(set(paths)) == count + 3, line
        yield line


def test_an_interruption_in_any_line_of_a_commit_loses_and_doubles_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "index"
    directory.mkdir()
    writer = Writer(directory, Meta({"name": "toy"}, 16, "/photos", "2026", "2026"))
    fill(writer, 0, 5)
    writer.commit()
    assert len(list(interrupted_commits(directory))) > 8
    assert (directory / META).exists()


def test_the_check_notices_a_commit_that_can_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the protection the same interruptions do harm, or the test above would prove nothing."""
    directory = tmp_path / "index"
    directory.mkdir()
    writer = Writer(directory, Meta({"name": "toy"}, 16, "/photos", "2026", "2026"))
    fill(writer, 0, 5)
    writer.commit()

    class Nothing:
        def __enter__(self) -> None: ...

        def __exit__(self, *exception: object) -> None: ...

    monkeypatch.setattr(writer_module, "uninterrupted", Nothing)
    with pytest.raises((AssertionError, ValueError, OSError, writer_module.IndexDamagedError)):
        list(interrupted_commits(directory))
