"""Timing: two ways of doing the same turn by turn, whole commands, and functions in processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How a run measures, and where its files are.

    `work` is kept from run to run (pictures, weights, compiled networks); `scratch` goes with the run; `shared` is
    the folder of collections, which may be missing.
    """

    work: Path
    scratch: Path
    shared: Path
    quick: bool = False

    def pick(self, full: T, quick: T) -> T:
        """`full`, or `quick` in a quick run."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Pair:
    """Seconds of two ways of doing the same, measured turn by turn."""

    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of the first over the median of the second."""
        return median(self.first) / median(self.second)

    def to_json(self) -> dict[str, Any]:
        """All that was measured."""
        return {"first": self.first, "second": self.second, "ratio": self.ratio}


def take_turns(first: Callable[[], float], second: Callable[[], float], rounds: int, warm_up: int = 1) -> Pair:
    """Call both by turns; each returns the seconds that count. What the first `warm_up` rounds take is dropped.

    A machine that is slower for a minute is so for both, which is why they take turns.
    """
    pair = Pair()
    for turn in range(warm_up + rounds):
        seconds = first(), second()
        if turn >= warm_up:
            pair.first.append(seconds[0])
            pair.second.append(seconds[1])
    return pair


def timed(function: Callable[..., object], *arguments: object, **options: object) -> float:
    """The seconds that one call takes."""
    started = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - started


def cbir_command() -> list[str]:
    """The console script of the environment that runs this, which is what users run; else `python -m cbir`."""
    script = shutil.which("cbir", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "cbir"]


def run_command(arguments: Sequence[str | Path], **variables: str) -> str:
    """Run a command to its end and return what it prints; RuntimeError, with its last words, where it fails.

    Its environment is this process's, with `variables`.
    """
    environment = {**os.environ, **variables}
    done = subprocess.run(list(map(str, arguments)), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))} exited with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


class Worker:
    """A process of its own that calls functions: what one side imports and keeps does not weigh on the other.

    What a function leaves in its module stays there for the next call.
    """

    def __init__(self) -> None:
        # fork would hand this process's threads and memory on
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self._pool.submit(int).result()  # start it now, with the environment of now

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's result, which, like its arguments, can be pickled."""
        return self._pool.submit(function, *arguments).result()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Processes that are started within this have variables of the environment so."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def one_blas_thread() -> contextlib.AbstractContextManager[None]:
    """Workers that are started within this multiply on one core, as cbir's commands do."""
    return environment(OPENBLAS_NUM_THREADS="1")


def alone(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a fresh process."""
    with Worker() as worker:
        return worker.call(function, *arguments)
