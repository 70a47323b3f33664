"""Files that an index could not take, as its `refused-….json` has them: so that not every run tries them again.

The file is one JSON array with one row a line, `["path", size, mtime_ns, ctime_ns, "kind", "reason"]`. Nothing needs
it: where it is missing or damaged, the next run tries these files again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cbir.errors import reason_of
from cbir.images.scan import FoundFile
from cbir.index.datafile import DataFile
from cbir.index.entries import RefusedEntry
from cbir.utils.paths import are_inside

#: Kinds of refused files: a picture that could not be read, a file whose first bytes are no picture's, and a picture
#: that cbir made.
SKIPPED, OTHER, OWN = "skipped", "others", "own_outputs"

#: So many files are remembered, whose reasons are so long, and their file has so many bytes.
MOST = 1_000_000
_LONGEST_REASON = 1000
_MOST_BYTES = 1 << 29


class Refused(NamedTuple):
    """A file that the index could not take, as it was then, and why."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    kind: str
    reason: str = ""

    @classmethod
    def of(cls, file: FoundFile, kind: str, reason: str = "") -> Refused:
        """Make the record of a refused file."""
        return cls(*file, kind, reason[:_LONGEST_REASON])

    def is_still(self, file: FoundFile) -> bool:
        """Tell whether nothing about the file has changed since."""
        return self[:4] == file


def dump(rows: Iterable[Refused]) -> bytes:
    """Return the content of a `refused-….json`. Pure ASCII: bytes of a name that are no UTF-8 become `\\udcXX`."""
    return b"[\n" + b",\n".join(json.dumps(row).encode("ascii") for row in rows) + b"\n]\n"


def load(directory: Path, entry: RefusedEntry) -> dict[str, Refused]:
    """Return the refused files of an index by their paths; IndexDamagedError where its file is not what was written."""
    file = DataFile(directory, entry.file)
    if file.size > _MOST_BYTES:
        raise file.damaged(f"is damaged ({file.size:,} bytes are more than it may have)")
    try:
        rows = json.loads(file.read(0, file.size))
        if not isinstance(rows, list) or not all(map(_is_sound, rows)) or not are_inside([row[0] for row in rows]):
            raise ValueError("it is not what was written")
    except (ValueError, RecursionError, MemoryError) as error:
        raise file.damaged(f"is damaged ({reason_of(error)})") from error
    return {row[0]: Refused(*row) for row in rows}


def _is_sound(row: object) -> bool:
    match row:
        case [str(), int(), int(), int(), str(kind), str(reason)]:
            return kind in (SKIPPED, OTHER, OWN) and len(reason) <= _LONGEST_REASON
    return False
