"""The indexes that are served: opened, warmed up, and followed as other runs change them."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from cbir.collection import Collection
from cbir.errors import CbirError, DecodersError, IndexConflictError
from cbir.images.safely import decode_all_apart, start_decoders
from cbir.index.home import META, index_directory
from cbir.index.store import Index
from cbir.search.filters import RowFilter
from cbir.serve.answer import Asked, answer
from cbir.serve.jobs import Jobs
from cbir.serve.problems import ProblemError
from cbir.serve.processes import SearchProcesses
from cbir.serve.states import ServedState
from cbir.serve.thumbnails import Thumbnails
from cbir.serve.together import Together
from cbir.utils.printable import printable
from cbir.utils.workers import usable_cores

logger = logging.getLogger("cbir")

# The beginning of a SHA-256 that names a picture.
_CONTENT = re.compile(r"[0-9a-f]{16,64}")

#: Seconds for which ids of the state before are still good.
_KEPT = 60.0

#: Seconds between two looks at whether an index has a new state.
_PAUSE = 0.7

# Processes that search beside the server at most: each has some 60 MB, and its share of the vectors that are kept.
_MOST_PROCESSES = 4


class ServedIndex:
    """One index that is served: the state that answers, and for a minute the one before it."""

    def __init__(self, directory: Path, *, engine: str | None = None, weights: str | None = None) -> None:
        self.directory = directory
        self.watched = False
        self.name = printable(directory.absolute().name).replace("/", "_")
        self.warm = False
        #: States that were opened since the first.
        self.changes = 0
        self._engine, self._weights = engine, weights
        self._seen = self._stat()
        self.collection = self._open()
        self._state = ServedState(self.collection)
        self._before: tuple[ServedState, float] | None = None
        self._problem: str | None = None
        self._changing = threading.Lock()
        #: Held by who changes the index's notions.
        self.keeping = threading.Lock()

    @property
    def state(self) -> ServedState:
        """The state that answers. ProblemError, with 503, while the index is gone or cannot be read."""
        if self._problem is not None:
            raise ProblemError(
                503, "index-gone", f"The index {self.name}: {self._problem}", headers={"Retry-After": "5"}
            )
        return self._state

    @property
    def is_there(self) -> bool:
        """False while the index is gone or cannot be read."""
        return self._problem is None

    @property
    def needs_one_process(self) -> bool:
        """True if processes beside this one could not have its candidates: milvus-lite lets one have its file."""
        store = self._state.index.meta.store
        return store is not None and store.is_lite

    def picture(self, id_: str) -> tuple[ServedState, int]:
        """Find a picture by its id, or the beginning of its SHA-256: its state and its row.

        ProblemError, with 410 where the state is long gone.
        """
        current = self.state
        name, dash, number = id_.partition("-")
        if not dash and _CONTENT.fullmatch(id_):
            return current, current.row_of_content(id_)
        if name == current.id:
            return current, current.row(number)
        before = self._before
        if before is not None and before[0].id == name and time.monotonic() < before[1]:
            return before[0], before[0].row(number)
        raise ProblemError(
            410, "state-gone", f"The index {self.name} has changed since {id_} was its picture.", state=current.id
        )

    def look(self) -> None:
        """Go on to the newest state of the index, if there is one that was not seen yet."""
        with self._changing:
            if self._before is not None and time.monotonic() > self._before[1]:
                self._before = None
            seen = self._stat()
            if seen == self._seen and self._problem is None:
                return
            try:
                self._go_on()
                self._seen, self._problem = seen, None
            except (CbirError, OSError) as error:
                if self._problem is None:
                    logger.warning("%s", error)
                self._problem = str(error)

    def first_search(self) -> tuple[ServedState, Asked] | None:
        """Return a search after which the next ones are quick; None where there is nothing to be found."""
        state = self._state
        if not len(state.rows):
            return None
        return state, Asked(state.query(int(state.rows[0])), {"count": 1, "offset": 0, "among": RowFilter()}, tags=True)

    def warm_up(self) -> None:
        """Do once what the first search would wait for: open the network, read what words and re-ranking need."""
        try:
            self.collection.encode([Image.new("RGB", (64, 64), "grey")])
            if (first := self.first_search()) is not None:
                answer(*first)
        except (CbirError, ProblemError, OSError) as error:
            self._tell(error)
        self.warm = True

    def prepare(self) -> None:
        """Do once what a first look at the page, at words and at names would wait for."""
        state = self._state
        try:
            if len(state.rows):
                state.row_of_path(state.record(int(state.rows[0])).path)
                state.names.find("a", 1)
            state.completion.complete("a", 1)
            _ = state.folders, state.frequent_tags, state.frequent_objects
        except (CbirError, ProblemError, OSError) as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        logger.warning("%s is served, but not all of it works: %s", self.name, error)

    def _go_on(self) -> None:
        try:
            self.collection.reload()
        except IndexConflictError:  # another network made it anew
            self.collection = self._open()
        if self.collection.state.index is self._state.index:
            return
        self._before = self._state, time.monotonic() + _KEPT
        self._state = ServedState(self.collection)
        self.changes += 1

    def _open(self) -> Collection:
        return Collection(Index.open(self.directory), engine=self._engine, weights=self._weights)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self.directory / META)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


@dataclass
class Service:
    """All indexes that are served, by name, and the work that is done for requests."""

    indexes: dict[str, ServedIndex]
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    jobs: Jobs = field(default_factory=Jobs)
    processes: SearchProcesses = field(default_factory=lambda: SearchProcesses(0))
    together: Together = field(default_factory=Together)
    _ended: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, names: Iterable[str | Path], *, engine: str | None = None, weights: str | None = None) -> Service:
        """Open indexes by their names or paths. Raises what opening a collection does."""
        decode_all_apart(usable_cores())
        found: dict[str, ServedIndex] = {}
        for name in names:
            served = ServedIndex(index_directory(str(name)), engine=engine, weights=weights)
            plain, number = served.name, 1
            while served.name in found:
                number += 1
                served.name = f"{plain}-{number}"
            found[served.name] = served
        beside = min(usable_cores(), _MOST_PROCESSES) if usable_cores() > 1 else 0
        if any(one.needs_one_process for one in found.values()):
            beside = 0
        return cls(found, processes=SearchProcesses(beside, engine=engine, weights=weights))

    def index(self, name: str) -> ServedIndex:
        """Return an index by its name. ProblemError where none of that name is served."""
        served = self.indexes.get(name)
        if served is None:
            raise ProblemError(404, "no-such-index", f"No index {name} is served here.")
        return served

    def start(self) -> None:
        """Start decoders, warm the indexes up, and look for their new states, in threads of their own."""
        served = [*self.indexes.values()]
        warming = [threading.Thread(target=one.warm_up, name=f"serve {one.name}", daemon=True) for one in served]
        following = [threading.Thread(target=self._follow, args=(one,), daemon=True) for one in served]
        others = [threading.Thread(target=_start_decoders, name="serve decoders", daemon=True)]
        others.append(threading.Thread(target=self._go_beside, args=(warming,), name="serve beside", daemon=True))
        for thread in (*warming, *following, *others):
            thread.start()

    def end(self) -> None:
        """End what is done in the background."""
        self._ended.set()
        self.jobs.end()
        self.processes.close()

    def _go_beside(self, warming: Sequence[threading.Thread]) -> None:
        """Start the processes that search, once the indexes are warm, and do what can wait for that."""
        for thread in warming:
            thread.join()
        first = [one.first_search() for one in self.indexes.values() if one.is_there]
        self.processes.start([one for one in first if one is not None])
        for one in self.indexes.values():
            one.prepare()

    def _follow(self, served: ServedIndex) -> None:
        while not self._ended.wait(_PAUSE):
            served.look()


def _start_decoders() -> None:
    with contextlib.suppress(DecodersError):  # the first picture tells of it
        start_decoders()
