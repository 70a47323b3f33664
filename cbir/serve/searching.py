"""A process that searches for a server; `serve.processes` starts it.

Requests come by stdin: how long what follows is, and that, pickled: the directory of an index, the id of the state that
is to be searched, and what is asked. Answers go to stdout: whether there is one, its length, and a record in JSON.
Where this process cannot answer, because the index has gone on since or something is wrong, the server does so itself,
and tells what is wrong.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import struct
import sys
import threading
from collections import OrderedDict
from pathlib import Path

from cbir.collection import Collection
from cbir.errors import CbirError
from cbir.index.format import load_meta
from cbir.index.store import Index
from cbir.search.keeping import KEPT
from cbir.serve.answer import Asked, answer
from cbir.serve.problems import ProblemError
from cbir.serve.states import ServedState
from cbir.utils import stopping
from cbir.utils.python_child import end_with_parent

LENGTH = struct.Struct("<I")

#: The first byte of an answer.
DONE, REFUSED = b"+", b"-"

#: Indexes that are kept open, those that were searched last.
OPEN = 4


def main(engine: str, weights: str, keeps: str) -> None:
    """Answer requests until there are no more; `engine` and `weights` are those of the server, or empty.

    `keeps` is how many bytes of vectors are kept at most.
    """
    KEPT.limit(int(keeps))
    for number in stopping.SIGNALS:  # they may reach the whole group of processes; the server decides what ends when
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    states = _States(engine or None, weights or None)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        directory, state, asked = pickle.loads(requests.read(LENGTH.unpack(head)[0]))
        record = _answer(states, directory, state, asked)
        answers.write(REFUSED if record is None else DONE + LENGTH.pack(len(record)) + record)
        answers.flush()


def _answer(states: _States, directory: Path, wanted: str, asked: Asked) -> bytes | None:
    try:
        state = states.get(directory, wanted)
        if state is None or not _has(state, asked):
            return None
        return answer(state, asked)
    except (CbirError, ProblemError, OSError, ValueError):
        return None


def _has(state: ServedState, asked: Asked) -> bool:
    """Tell whether a state has the notion that is asked for, which may be newer than it."""
    index = state.index
    if asked.notion is not None and asked.notion not in index.meta.notions:
        index.take_notions(load_meta(index.directory))
        return asked.notion in index.meta.notions
    return True


class _States:
    """The newest states of the indexes that were searched last."""

    def __init__(self, engine: str | None, weights: str | None) -> None:
        self._engine, self._weights = engine, weights
        self._states: OrderedDict[Path, ServedState] = OrderedDict()

    def get(self, directory: Path, wanted: str) -> ServedState | None:
        """Return the state of an index by its id; None where that is not the newest any more, or not yet."""
        state = self._states.pop(directory, None)
        if state is None or state.id != wanted:
            state = ServedState(Collection(Index.open(directory), engine=self._engine, weights=self._weights))
        self._states[directory] = state
        if len(self._states) > OPEN:
            self._states.popitem(last=False)
        return state if state.id == wanted else None
