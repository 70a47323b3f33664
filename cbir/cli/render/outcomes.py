"""Outcomes of many pictures: counted, and some of them named on stderr."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cbir.cli.terminal import output

# Pictures that are named one by one for each reason, unless `-v` wants them all.
_NAMED = 20


class Outcomes:
    """Counts outcomes of pictures by name; those that are noted are told, `every` or some of them."""

    def __init__(self, *, every: bool) -> None:
        self._every = every
        self.counts: Counter[str] = Counter()

    def note(self, what: str, path: Path, why: str) -> None:
        """Count an outcome and tell the reason, with the picture unless the reason is an `Error: …`."""
        self.counts[what] += 1
        count = self.counts[what]
        if self._every or count <= _NAMED:
            output.tell(why if why.startswith("Error: ") else f"  {path}: {why}")
        elif count == _NAMED + 1:
            output.tell("  … and more: -v names them all.")
