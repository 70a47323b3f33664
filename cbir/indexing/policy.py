"""The rule by which a run commits what it has done so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: A run that is killed loses at most the work of this many seconds, or of this many rows.
SECONDS = 20.0
ROWS = 8192

#: The same rows where parts wait with them, 40 KB a picture; and, since committing what is filled in writes a file
#: anew, the seconds until the next commit, in those that the last one took.
ROWS_WITH_PARTS = 2048
BACK_OFF_WITH_PARTS = 10.0


@dataclass
class CommitPolicy:
    """Commits after so many rows, or seconds.

    The seconds become more, `back_off` times those that the last commit took, where that is more. `clock` gives them.
    """

    rows: int = ROWS
    seconds: float = SECONDS
    back_off: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def begin(self) -> None:
        """Count from now."""
        self._last, self._interval = self.clock(), self.seconds

    def is_due(self, uncommitted: int) -> bool:
        """Tell whether to commit now, with so many rows."""
        return uncommitted >= self.rows or self.clock() - self._last > self._interval

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Time the commit that is made within."""
        began = self.clock()
        yield
        self._last = self.clock()
        self._interval = max(self.seconds, self.back_off * (self._last - began))


def commit_policy(*, parts: bool) -> CommitPolicy:
    """Choose the policy that suits an index with parts, or without."""
    return CommitPolicy(ROWS_WITH_PARTS, back_off=BACK_OFF_WITH_PARTS) if parts else CommitPolicy()
