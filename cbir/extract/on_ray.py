"""Extraction on other machines, by Ray: a worker on each node, or on each of a node's GPUs, with a network of its own.

The caller plans and commits as ever. Chunks go out as workers have room, and their results come back in the chunks'
order, so that the index is the one that this machine would write. Workers read the pictures themselves. A worker or a
node that dies costs the chunks that it had, which others do then; nodes that join are used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cbir._version import __version__
from cbir.errors import CbirError, PackageMissingError, WorkersError
from cbir.extract.executor import Chunk, Work
from cbir.extract.loader import Key
from cbir.extract.results import Extracted
from cbir.utils import stopping

logger = logging.getLogger("cbir")

#: Chunks that a worker does at a time, so that the end of one and the beginning of the next leave no core idle, and
#: those that wait beside them.
AT_A_TIME, WAITING = 2, 2

#: Chunks that are under way at most, for each worker: those that are done wait for those before them.
HELD = 8

#: Workers that may die over one chunk.
_DEATHS = 3

# Seconds between looks: for a signal, for nodes; and without any worker until a run gives up.
_LOOK, _LOOK_FOR_NODES, _PATIENCE = 0.2, 3.0, 120.0


@dataclass
class _Worker:
    """A worker, its node, and the chunks that it has, by what Ray calls their results."""

    actor: Any
    node: str
    ready: Any
    is_ready: bool = False
    has: dict[Any, int] = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        return self.is_ready and len(self.has) < AT_A_TIME + WAITING


class RayExecutor:
    """Works on the nodes of a Ray cluster: at `address`, or of one that is started on this machine.

    PackageMissingError where the extra is missing, CbirError where nobody answers.
    """

    def __init__(self, address: str | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise PackageMissingError("--on ray needs an extra: install cbir[ray].") from error
        self._ray = ray
        self._address = address

    def map(self, work: Work[Key], chunks: Iterable[Chunk[Key]]) -> Iterator[Iterable[Extracted[Key]]]:
        """Yield the results of each chunk, in order."""
        self._connect()
        run = _Run(self._ray, self._ray.put(work))
        try:
            yield from run.results(iter(chunks))
        finally:
            run.end()

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        # Ray takes signals for itself, by which cbir commits
        before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
        _hush()
        try:
            self._ray.init(
                self._address,
                include_dashboard=None if self._address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # of a dozen kinds
            reason = " ".join(str(error).split())[:300].rstrip(".")
            where = f"of the Ray cluster {self._address}" if self._address else "of Ray here"
            raise CbirError(f"Nothing comes {where} ({reason}): is it running (`ray status`)?") from error
        finally:
            with contextlib.suppress(ValueError):  # not in the main thread
                for number, handler in before.items():
                    signal.signal(number, handler)


def _hush() -> None:
    """Have Ray tell the log of nodes that die: it prints dozens of lines to stdout, where data go."""
    from ray._private import worker

    def note(data: Any, ignore_prefix: bool) -> None:
        for line in data["lines"]:
            logger.debug("Ray: %s", line)

    worker.print_to_stdstream = note


class _Run:
    """One run's chunks on their way through the workers."""

    def __init__(self, ray: Any, work: Any) -> None:
        self._ray, self._work = ray, work
        self._workers: list[_Worker] = []
        self._started = 0
        self._next_look = 0.0
        self._chunks: dict[int, Sequence[Any]] = {}  # those under way, by number
        self._again: list[int] = []
        self._deaths: dict[int, int] = {}
        self._done: dict[int, Iterable[Any]] = {}
        self._alone_since = time.monotonic()

    def results(self, chunks: Iterator[Sequence[Any]]) -> Iterator[Iterable[Any]]:
        """Yield the results of chunks in their order."""
        sent = told = 0
        is_over = False
        while True:
            self._look_for_nodes()
            while (worker := self._one_with_room()) is not None:
                if self._again:
                    self._send(worker, self._again.pop(0))
                    continue
                if is_over or sent - told >= HELD * max(1, len(self._workers)):
                    break
                chunk = next(chunks, None)
                if chunk is None:
                    is_over = True
                    break
                self._chunks[sent] = chunk
                self._send(worker, sent)
                sent += 1
            if is_over and told == sent:
                return
            self._wait()
            if stopping.is_over():
                return
            while told in self._done:
                yield self._done.pop(told)
                told += 1

    def end(self) -> None:
        """Let the workers go, whatever they do."""
        for worker in self._workers:
            with contextlib.suppress(Exception):
                self._ray.kill(worker.actor)
        self._workers.clear()

    def _one_with_room(self) -> _Worker | None:
        return min((one for one in self._workers if one.has_room), key=lambda one: len(one.has), default=None)

    def _send(self, worker: _Worker, number: int) -> None:
        worker.has[worker.actor.run.remote(self._chunks[number])] = number

    def _wait(self) -> None:
        """Wait a moment for results, or for workers that are starting."""
        pending = [one.ready for one in self._workers if not one.is_ready]
        pending += [result for one in self._workers for result in one.has]
        if not pending:
            time.sleep(_LOOK)
            return
        done, _ = self._ray.wait(pending, timeout=_LOOK)
        for result in done:
            worker = next(one for one in self._workers if result == one.ready or result in one.has)
            try:
                answer = self._ray.get(result)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, CbirError) else error from error
            except self._ray.exceptions.RayError:
                self._bury(worker)
                return
            if result == worker.ready:
                worker.is_ready = True
            else:
                number = worker.has.pop(result)
                del self._chunks[number]
                self._done[number] = answer

    def _bury(self, worker: _Worker) -> None:
        """Note that a worker died, and have others do what it had."""
        self._workers.remove(worker)
        self._next_look = 0.0
        with contextlib.suppress(Exception):
            self._ray.kill(worker.actor)
        if worker.has:
            logger.warning("A worker of Ray's is gone; others do what it had.")
        for number in worker.has.values():
            self._deaths[number] = self._deaths.get(number, 0) + 1
            if self._deaths[number] >= _DEATHS:
                raise WorkersError(
                    f"{_DEATHS} workers died over the same pictures: is their memory too small? What was done is kept."
                )
        self._again = sorted([*self._again, *worker.has.values()])

    def _look_for_nodes(self) -> None:
        """Start a worker on each node, and on each GPU of it, that has none."""
        now = time.monotonic()
        if self._workers:
            self._alone_since = now
        elif now - self._alone_since > _PATIENCE:
            raise WorkersError("No node of the Ray cluster is left to work on. What was done is kept.")
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_FOR_NODES
        for node in self._ray.nodes():
            cores, gpus = (int(node["Resources"].get(name, 0)) for name in ("CPU", "GPU"))
            wanted = max(1, gpus) if node["Alive"] and cores else 0
            there = sum(one.node == node["NodeID"] for one in self._workers)
            for _ in range(wanted - there):
                self._start(node["NodeID"], max(1, cores // wanted), 1 if gpus else 0)

    def _start(self, node: str, cores: int, gpus: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        made = self._ray.remote(_Extracting).options(
            num_cpus=cores,
            num_gpus=gpus,
            max_concurrency=AT_A_TIME,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        actor = made.remote(self._work, cores, self._started, __version__)
        self._workers.append(_Worker(actor, node, actor.is_ready.remote()))
        self._started += 1


class _Extracting:
    """The extraction on one node: lives there."""

    def __init__(self, work: Work[Any], cores: int, number: int, version: str) -> None:
        if version != __version__:
            raise WorkersError(f"A node of the Ray cluster has cbir {__version__}, and this machine {version}.")
        _keep_to(cores, number)
        # a chunk takes seconds at most, and starting a process for each core a good part of one
        self._work = replace(work, extractor=work.extractor.keeping_decoders())

    def is_ready(self) -> bool:
        """Tell that it is there."""
        return True

    def run(self, chunk: Sequence[Any]) -> list[Extracted[Any]]:
        """Do the work with a chunk."""
        return list(self._work.run(chunk))


def _keep_to(cores: int, number: int) -> None:
    """Compute on as many cores as this worker was given, where a node is a part of a machine."""
    if hasattr(os, "sched_setaffinity"):
        there = sorted(os.sched_getaffinity(0))
        if cores < len(there):
            first = number * cores
            os.sched_setaffinity(0, {there[(first + core) % len(there)] for core in range(cores)})
