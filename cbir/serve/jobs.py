"""Long work for requests: done once for a state of an index, in the background, while they ask again and again."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from cbir.serve.problems import ProblemError
from cbir.utils.shares import Told

logger = logging.getLogger("cbir")

# Results that are kept of one state, and jobs of it that wait for their turn.
_KEPT, _WAITING = 4, 3

# Of the thread that works, below those that answer.
_NICENESS = 10


class Job:
    """One work in a thread of its own: `share` tells how much of it is done, from 0 to 1."""

    def __init__(self) -> None:
        self.share = 0.0
        self._finished = threading.Event()
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def is_finished(self) -> bool:
        """True once there is a result, or an error."""
        return self._finished.is_set()

    @property
    def has_failed(self) -> bool:
        """True if an error ended it."""
        return self._error is not None

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result and return it, or raise the error of the work. TimeoutError where it takes too long."""
        if not self._finished.wait(timeout):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._result

    def run(self, work: Callable[[Told], Any], told: Told) -> None:
        """Do the work."""
        try:
            self._result = work(told)
        except _EndedError:
            self._error = ProblemError(503, "ended", "The work was ended.", headers={"Retry-After": "2"})
        except Exception as error:  # told to whoever asks for the result
            self._error = error
        self.share = 1.0
        self._finished.set()


class Jobs:
    """Jobs by what they are for, an object, and by name. One works at a time, so that requests go on being answered.

    A job ends when what it is for is there no more.
    """

    def __init__(self) -> None:
        self._jobs: weakref.WeakKeyDictionary[Any, OrderedDict[Hashable, Job]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._ended = threading.Event()

    def of(self, owner: object, name: Hashable, work: Callable[[Told], Any]) -> Job:
        """Return the job of that name for `owner`, which is begun if there is none; `work` must not hold `owner`.

        A failed one is told once, and begun anew when it is asked for again. ProblemError where too many wait.
        """
        with self._lock:
            jobs = self._jobs.setdefault(owner, OrderedDict())
            if (found := jobs.get(name)) is not None:
                jobs.move_to_end(name)
                if found.has_failed:
                    del jobs[name]
                return found
            if sum(not job.is_finished for job in jobs.values()) > _WAITING:
                raise ProblemError(503, "busy", "Too much is asked for at once.", headers={"Retry-After": "5"})
            for old in [key for key, job in jobs.items() if job.is_finished][: max(0, len(jobs) + 1 - _KEPT)]:
                del jobs[old]
            job = jobs[name] = Job()
            its = weakref.ref(owner)
            threading.Thread(target=self._run, args=(job, work, its), name=f"job {name}", daemon=True).start()
            return job

    def end(self) -> None:
        """End all jobs, as soon as they tell of a share."""
        self._ended.set()

    def _run(self, job: Job, work: Callable[[Told], Any], owner: weakref.ref[Any]) -> None:
        _give_way()

        def told(share: float) -> None:
            if self._ended.is_set() or owner() is None:
                raise _EndedError
            job.share = min(share, 0.999)

        def in_turn(told: Told) -> Any:
            with self._turn:
                told(0)
                return work(told)

        job.run(in_turn, told)
        if job.has_failed:
            logger.debug("A job was not done: %s", threading.current_thread().name)


class _EndedError(Exception):
    """The end of a job whose result nobody wants any more."""


def _give_way() -> None:
    """Have this thread, and those that it starts, run when others need no processor; only Linux can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
