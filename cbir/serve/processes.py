"""Processes beside the server that search: threads of one would wait for each other, as Python computes in one."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import threading
import time
from collections.abc import Iterable

from cbir.search.keeping import KEPT, KEPT_BYTES
from cbir.serve.answer import Asked
from cbir.serve.searching import DONE, LENGTH, OPEN
from cbir.serve.states import ServedState
from cbir.utils import stopping
from cbir.utils.python_child import calling, python_child

logger = logging.getLogger("cbir")

# What glibc is to do in them, which have one thread: keep what a search took for the next one. Other systems do not
# know these.
_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(1 << 20),
}

# Seconds before one that ended by itself is followed by another.
_PAUSE = 5.0


class SearchProcesses:
    """Up to so many processes, each of which answers one search at a time; for any number of threads.

    `engine` and `weights` are those of the server. Together they keep the vectors that one process would keep alone:
    the server then keeps none. One that crashes is followed by another.
    """

    def __init__(self, most: int, *, engine: str | None = None, weights: str | None = None) -> None:
        self._most = most
        self._arguments = engine or "", weights or "", str(KEPT_BYTES // max(1, most))
        self._idle: list[_Process] = []
        self._count = 0
        self._closed = threading.Event()
        self._changed = threading.Condition()

    def start(self, first: Iterable[tuple[ServedState, Asked]]) -> None:
        """Start them, one after the other, each with some searches after which it is warm."""
        warming = list(first)[:OPEN]
        for _ in range(self._most):
            self._add(warming)

    def answer(self, state: ServedState, asked: Asked) -> bytes | None:
        """Return the record of a search in JSON, as `answer` does; None where no process can tell it."""
        process = self._take()
        if process is None:
            return None
        try:
            found = process.ask(state, asked)
        except (OSError, EOFError):
            self._lose(process)
            return None
        with self._changed:
            if not self._closed.is_set():
                self._idle.append(process)
                self._changed.notify()
                return found
        process.end()
        return found

    def close(self) -> None:
        """Start no more, and end those that are idle; the others end once they have answered, or with this process."""
        with self._changed:
            self._closed.set()
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for process in idle:
            process.end()

    def _take(self) -> _Process | None:
        """Wait for one that is idle; None where there is none at all."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or not self._count or self._closed.is_set())
            # the one that ended last has what it searches in the processor's caches
            return self._idle.pop() if self._idle else None

    def _add(self, warming: list[tuple[ServedState, Asked]]) -> None:
        if self._closed.is_set():
            return
        process = None
        try:
            process = _Process(self._arguments)
            for state, asked in warming:
                process.ask(state, asked)
        except (OSError, EOFError) as error:
            logger.warning("A process that searches beside the server did not start (%s).", error or "it ended")
            if process is not None:
                process.end()
            return
        with self._changed:
            if not self._closed.is_set():
                self._idle.append(process)
                self._count += 1
                self._changed.notify()
                KEPT.limit(0)
                return
        process.end()

    def _lose(self, process: _Process) -> None:
        """End a process that does not answer, and start another one in a while."""
        process.end()
        with self._changed:
            self._count -= 1
            self._changed.notify_all()
            if self._closed.is_set():
                return

        def later() -> None:
            time.sleep(_PAUSE)
            self._add([])

        threading.Thread(target=later, daemon=True).start()


class _Process:
    """One process, for one thread at a time."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._child = subprocess.Popen(
            python_child(calling("cbir.serve.searching"), *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_MEMORY, **os.environ},
        )
        stopping.children.add(self._child)

    def ask(self, state: ServedState, asked: Asked) -> bytes | None:
        """Search, and return the record in JSON; None where it cannot tell. OSError or EOFError where it is gone."""
        requests, answers = self._child.stdin, self._child.stdout
        assert requests is not None
        assert answers is not None
        request = pickle.dumps((state.index.directory.absolute(), state.id, asked))
        requests.write(LENGTH.pack(len(request)) + request)
        requests.flush()
        kind = answers.read(1)
        if not kind:
            raise EOFError
        if kind != DONE:
            return None
        head = answers.read(LENGTH.size)
        length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 1
        record = answers.read(length)
        if len(record) < length:
            raise EOFError
        return record

    def end(self) -> None:
        """End it now."""
        self._child.kill()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was still to be written cannot be any more
                    stream.close()
        self._child.wait()
        stopping.children.discard(self._child)
