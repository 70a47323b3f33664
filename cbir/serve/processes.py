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

# Searches that a process is asked for at a time: with the next one at hand, it need not wait for the server's thread.
_AHEAD = 2

# Seconds before one that ended by itself is followed by another.
_PAUSE = 5.0


class SearchProcesses:
    """Up to so many processes that search; for any number of threads.

    `engine` and `weights` are those of the server. Together they keep the vectors that one process would keep alone:
    the server then keeps none. One that crashes is followed by another.
    """

    def __init__(self, most: int, *, engine: str | None = None, weights: str | None = None) -> None:
        self._most = most
        self._arguments = engine or "", weights or "", str(KEPT_BYTES // max(1, most))
        self._running: list[_Process] = []
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
            return process.ask(state, asked)
        except (OSError, EOFError):
            self._lose(process)
            return None
        finally:
            self._give_back(process)

    def close(self) -> None:
        """Start no more, and end those that are idle; the others end once they have answered, or with this process."""
        with self._changed:
            self._closed.set()
            idle = [process for process in self._running if not process.asked]
            self._running = []
            self._changed.notify_all()
        for process in idle:
            process.end()

    def _take(self) -> _Process | None:
        """Wait for one that can be asked, the one that has least to do; None where there is none at all."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running or self._least().asked < _AHEAD)
            if not self._running:
                return None
            process = self._least()
            process.asked += 1
            return process

    def _least(self) -> _Process:
        return min(self._running, key=lambda process: process.asked)

    def _give_back(self, process: _Process) -> None:
        """Note that one search less is asked of a process; one that is done with is ended by the last."""
        with self._changed:
            process.asked -= 1
            is_over = not process.asked and process not in self._running
            self._changed.notify()
        if is_over:
            process.end()

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
                self._running.append(process)
                self._changed.notify_all()
                KEPT.limit(0)
                return
        process.end()

    def _lose(self, process: _Process) -> None:
        """Have a process end that does not answer, and start another one in a while."""
        process.kill()
        with self._changed:
            if process not in self._running:  # another thread has seen it, or all are over
                return
            self._running.remove(process)
            self._changed.notify_all()

        def later() -> None:
            time.sleep(_PAUSE)
            self._add([])

        threading.Thread(target=later, daemon=True).start()


class _Process:
    """One process, which answers what it is asked in turn; for any number of threads.

    `asked` is how many searches are under way, for whoever counts them.
    """

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._child = subprocess.Popen(
            python_child(calling("cbir.serve.searching"), *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_MEMORY, **os.environ},
        )
        stopping.children.add(self._child)
        self.asked = 0
        self._asking = threading.Lock()
        self._answered = threading.Event()  # whoever asked last has had the answer
        self._answered.set()

    def ask(self, state: ServedState, asked: Asked) -> bytes | None:
        """Search, and return the record in JSON; None where it cannot tell. OSError or EOFError where it is gone."""
        request = pickle.dumps((state.index.directory.absolute(), state.id, asked))
        answered = threading.Event()
        try:
            with self._asking:
                before, self._answered = self._answered, answered
                self._write(request)
            before.wait()
            return self._read()
        finally:
            answered.set()

    def _write(self, request: bytes) -> None:
        requests = self._child.stdin
        assert requests is not None
        requests.write(LENGTH.pack(len(request)) + request)
        requests.flush()

    def _read(self) -> bytes | None:
        answers = self._child.stdout
        assert answers is not None
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

    def kill(self) -> None:
        """Have it end now; whoever waits for an answer gets none."""
        self._child.kill()

    def end(self) -> None:
        """End it, of which no more is asked."""
        self._child.kill()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was still to be written cannot be any more
                    stream.close()
        self._child.wait()
        stopping.children.discard(self._child)
