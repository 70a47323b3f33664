"""Paths of an index by a piece of their names, while it is typed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from cbir.utils.vectors import Rows


class Names:
    """The names of an index's pictures: `paths` are those of all rows, `rows` those that are pictures."""

    def __init__(self, paths: Sequence[str], rows: Rows) -> None:
        self._paths = [(paths[row].casefold(), row) for row in rows.tolist()]

    def find(self, typed: str, count: int) -> list[int]:
        """Return up to `count` rows whose paths have `typed` in them, in any case.

        Names that begin with it come first, then those that have it elsewhere, then folders; each by the alphabet.
        """
        wanted = typed.casefold()
        return [row for _, _, row in heapq.nsmallest(count, self._ranked(wanted))] if wanted else []

    def _ranked(self, wanted: str) -> Iterator[tuple[int, str, int]]:
        for path, row in self._paths:
            if wanted in path:
                name = path[path.rfind("/") + 1 :]
                rank = 0 if name.startswith(wanted) else 1 if wanted in name else 2
                yield rank, path, row
