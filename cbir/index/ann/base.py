"""Candidates: the rows that are worth an exact comparison with a query, and what finds them.

An index of some size has them from one *backend*, which is a file beside this one or a plug-in's. They are proposals
only: exact cosines always come from the blocks, and rows that no candidates cover are compared one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from cbir.index.entries import CandidatesEntry
from cbir.index.exact import RowSource
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.index.newfiles import NewFiles

#: Up to here an exact scan takes a few milliseconds, and no candidates are looked for.
SMALL = 5000

#: As many candidates are compared exactly with a query, or more where more matches are wanted.
USUAL = 200


class Candidates(Protocol):
    """The open candidates of an index, which cover its first `rows` rows."""

    @property
    def rows(self) -> int:
        """The number of the index's rows that they cover, invalid ones included."""

    @property
    def most(self) -> int:
        """The most rows that can be asked for at once."""

    def search(self, queries: Floats, count: int) -> Sequence[Rows]:
        """Return about `count` rows near each of `queries`, shape (n, dimension), best first; fewer if that is all."""

    def search_direction(self, direction: Floats, count: int) -> Rows:
        """Return about `count` rows far along `direction`, shape (dimension,), from the rows' mean, best first."""

    def check(self) -> None:
        """Raise IndexDamagedError where a file has been changed since it was opened; asked before each search."""


class Opener(Protocol):
    """Opens candidates that are there."""

    def open(self, directory: Path, entry: CandidatesEntry, dimension: int, valid: npt.NDArray[np.bool_]) -> Candidates:
        """Open them, for an index of whose rows these are `valid`, shape (rows,).

        IndexDamagedError where the files are not what was written: whoever made them may be a stranger.
        """


class Backend(Opener, Protocol):
    """A way of finding candidates.

    `name` stands in `meta.json`. `files` are the keys of its files there, each with what their names begin with;
    `settings` are the keys of whole numbers that it remembers, each with the least and the most that it may be.
    """

    @property
    def name(self) -> str: ...

    @property
    def files(self) -> Mapping[str, str]: ...

    @property
    def settings(self) -> Mapping[str, tuple[int, int]]: ...

    def build(self, source: RowSource, new: NewFiles, number: int) -> CandidatesEntry:
        """Write files of that number, which have all valid rows of `source`; OSError where they cannot be written."""


def is_needed(rows: int, covered: int | None) -> bool:
    """Tell whether an index of so many rows wants (new) candidates; the old ones cover `covered` of its rows.

    Rows that they do not cover are compared exactly, so they need not follow each change: up to 5,000 rows or a tenth
    may wait.
    """
    outside = rows - (covered or 0)
    return rows > SMALL and outside > (max(SMALL, rows // 10) if covered else 0)
