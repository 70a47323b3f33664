"""Notions of an index that another network was to learn: learnt anew once the index is by that."""

from __future__ import annotations

import logging

from cbir.errors import CbirError, IndexLockedError, IndexWriteError
from cbir.index.store import Index
from cbir.learn.run import Learner
from cbir.notions.store import notions_of
from cbir.utils.printable import printable

logger = logging.getLogger("cbir")


def learn_stale(index: Index, *, engine: str | None = None, wait: float = 0) -> None:
    """Learn the notions of an index anew that were learnt on another network's features, from their kept labels.

    A line tells of each. What cannot be learnt, or is refused, stays as it is. Raises IndexLockedError and
    IndexWriteError.
    """
    for name in [notion.name for notion in notions_of(index)[0] if notion.stale]:
        # with what the one before has changed
        learner = Learner(Index.open(index.directory), engine=engine, wait=wait)
        try:
            learnt = learner.again(name)
        except (IndexLockedError, IndexWriteError):
            raise
        except CbirError as error:
            _tell_of_waiting(name, str(error))
            continue
        if learnt.notion is None:
            _tell_of_waiting(name, learnt.why)
        else:
            labels = f"{learnt.labels:,} label{'s' * (learnt.labels != 1)}"
            logger.info("The notion %s is learnt anew from %s: %s", printable(name), labels, learnt.why)


def _tell_of_waiting(name: str, why: str) -> None:
    logger.warning("The notion %s is not learnt anew, and waits with its labels: %s", printable(name), why)
