"""Ctrl-C at the moments of a commit finds the writer before it or after it, never halfway."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbir.index import writer as writer_module
from cbir.index.files import FileRecord
from cbir.index.format import Meta, load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.utils.interrupts import uninterrupted

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


#: What a commit calls from where it becomes one on; Ctrl-C comes just before or just after each.
MOMENTS = [
    (owner, name, when)
    for owner, name in ((os, "replace"), (writer_module, "_mask"), (Writer, "_remove_unnamed"))
    for when in ("before", "after")
]


def commit_interrupted(directory: Path, owner: Any, name: str, when: str) -> None:
    """Commit three rows with Ctrl-C at that moment, and once more, as `update.carry_out` does; then look."""
    writer = Writer(directory, load_meta(directory))
    count = writer.count_valid()
    fill(writer, count, 3)
    real = getattr(owner, name)
    sent: list[bool] = []

    def interrupt(*arguments: Any) -> Any:
        is_first = not sent
        sent.append(True)
        if is_first and when == "before":
            os.kill(os.getpid(), signal.SIGINT)
        result = real(*arguments)
        if is_first and when == "after":
            os.kill(os.getpid(), signal.SIGINT)
        return result

    with pytest.MonkeyPatch.context() as patch:
        # what the commit computes before it begins is not meant
        replaced = Writer._replace

        def replace(self: Writer, *arguments: Any) -> None:
            patch.setattr(owner, name, interrupt)
            replaced(self, *arguments)

        patch.setattr(Writer, "_replace", replace)
        with pytest.raises(KeyboardInterrupt):
            writer.commit(complete=False)
    assert sent
    assert find_problems(Index.open(directory), verify=True) == []
    writer.commit(complete=False)
    index = Index.open(directory)
    assert find_problems(index, verify=True) == []
    paths = [record.path for row, record in index.records() if index.valid[row]]
    assert len(paths) == len(set(paths)) == count + 3


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "index"
    directory.mkdir()
    writer = Writer(directory, Meta({"name": "toy"}, 16, "/photos", "2026", "2026"))
    fill(writer, 0, 5)
    writer.commit()
    return directory


@pytest.mark.parametrize(("owner", "name", "when"), MOMENTS, ids=lambda one: one if isinstance(one, str) else "")
def test_an_interrupted_commit_loses_and_doubles_nothing(directory: Path, owner: Any, name: str, when: str) -> None:
    commit_interrupted(directory, owner, name, when)


@pytest.mark.parametrize(("owner", "name"), [(os, "replace"), (writer_module, "_mask")], ids=["replace", "_mask"])
def test_the_check_notices_a_commit_that_can_be_interrupted(
    directory: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """Without the protection the same interruption does harm, or the test above would prove nothing."""
    monkeypatch.setattr(writer_module, "uninterrupted", contextlib.nullcontext)
    with pytest.raises((AssertionError, ValueError, OSError, writer_module.IndexDamagedError)):
        commit_interrupted(directory, owner, name, "after")
