"""Files made of all rows of an index, which are kept in the user's cache folder: a search has not the time.

Each is of one state: of the very files that it was made of, as `DataFile.identity` tells them, and of the rows that
count. After any change, and where it is damaged, it is made again. It lies with the user and not in the index, so that
an index from elsewhere brings none with it, and one that cannot be written to is searched as quickly.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cbir.errors import CbirError
from cbir.index.columns.column import Column
from cbir.index.store import Index
from cbir.index.verified import is_settled
from cbir.utils.cache import cache_folder, keep, kept

#: Files of one kind that are kept, the newest ones: one an index.
MOST = 16

_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Derived:
    """A file in the cache, and the state of an index, as a checksum, that it has to be of."""

    path: Path
    state: bytes

    @classmethod
    def of(cls, index: Index, kind: str, columns: Sequence[Column], how: str) -> Derived | None:
        """Return the file of an index that is made of its features and some columns, in a folder named by its `kind`.

        `how` it is made is part of the state. None where nothing is to be kept: features are elsewhere, files might
        change again without their times showing that, there is no cache. IndexDamagedError as a column's reader.
        """
        files = [block.identities(columns) for block in index.blocks]
        newest = max((max(one.modified, one.changed) for its in files for one in its or () if one), default=0)
        if None in files or not is_settled(newest / 1e9):
            return None
        state = hashlib.sha256(repr((how, index.rows, index.dimension, files)).encode("utf-8", "surrogateescape"))
        state.update(np.packbits(index.valid).tobytes())
        places = "\0".join(os.path.realpath(one) for one in index.directories or (index.directory,))
        try:
            folder = cache_folder(kind)
        except CbirError:
            return None
        return cls(folder / hashlib.sha256(os.fsencode(places)).hexdigest()[:20], state.digest())

    def read(self, most: int) -> memoryview | None:
        """Read what is kept, of at most so many bytes; None where there is nothing, or it is of another state."""
        found = kept(self.path, most + 2 * _DIGEST)
        if found is None or found[:_DIGEST] != self.state:
            return None
        content = memoryview(found)[2 * _DIGEST :]
        return content if hashlib.sha256(content).digest() == found[_DIGEST : 2 * _DIGEST] else None

    def keep(self, parts: Sequence[bytes]) -> None:
        """Keep that, and of other indexes not too many; where it cannot be written, it is made again the next time."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        with contextlib.suppress(OSError):
            if keep(self.path, self.state, digest.digest(), *parts):
                for _, path in sorted(self._others(), reverse=True)[MOST - 1 :]:
                    os.unlink(path)

    def _others(self) -> Iterator[tuple[int, str]]:
        """Yield the other files of the folder, each after the time when it was written."""
        with contextlib.suppress(OSError):
            for file in os.scandir(self.path.parent):
                if file.name != self.path.name:
                    with contextlib.suppress(OSError):
                        yield file.stat().st_mtime_ns, file.path
