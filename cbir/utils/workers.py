"""Threads for work that may never end, such as reading from a disk that hangs."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from cbir.errors import CbirError
from cbir.utils import stopping

Result = TypeVar("Result")

# Seconds after which a wait looks whether the run is over.
_LOOK = 0.1

_Job = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


def usable_cores() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """A number of threads at most, which do what they are given in order.

    Unlike those of a ThreadPoolExecutor, no end waits for them: neither `stop` nor that of the process.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._threads = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_stopped = threading.Event()

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have `work(*arguments)` done. CbirError where the system allows not even one thread."""
        future: Future[Result] = Future()
        self._jobs.put((future, work, arguments))
        if self._threads < self._most:
            name = f"{self._name}-{self._threads}"
            thread = threading.Thread(target=_work, args=(self._jobs, self._is_stopped), name=name, daemon=True)
            try:
                thread.start()
                self._threads += 1
            except RuntimeError as error:
                if not self._threads:
                    raise CbirError(
                        "The system allows cbir no more threads: is the number of processes limited (ulimit -u)?"
                    ) from error
                self._most = self._threads
        return future

    def stop(self) -> None:
        """Begin nothing more that was given, and let the threads go."""
        self._is_stopped.set()
        for _ in range(self._threads):
            self._jobs.put(None)


def result_of(future: Future[Result]) -> Iterator[Result]:
    """Yield the result of `future`, which is waited for; nothing where the run is over before (`stopping.is_over`)."""
    while not future.done():
        if stopping.is_over():
            return
        wait([future], _LOOK)
    yield future.result()


def _work(jobs: queue.SimpleQueue[_Job | None], is_stopped: threading.Event) -> None:
    while (job := jobs.get()) is not None:
        future, work, arguments = job
        if is_stopped.is_set():
            future.cancel()
            continue
        try:
            future.set_result(work(*arguments))
        except BaseException as error:  # whoever waits for the result decides
            future.set_exception(error)
        del job, future, work, arguments  # a picture's bytes are not kept until the next comes
