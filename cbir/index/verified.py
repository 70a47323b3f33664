"""Files that were found sound stay so until they change: marks in the user's cache folder.

Hashing and checking Annoy's trees of a million rows takes a second, which a search has not. What was found sound is
remembered by the file's identity, length and times; whoever writes to it changes these. The marks lie with the user and
not in the index, so that an index from elsewhere brings none with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from cbir.index.entries import beginning_of
from cbir.utils.cache import cache_folder, keep, kept

#: A file that changed less than this ago gets no mark: it might change again without its times showing that.
_SETTLED_SECONDS = 2.0

_MOST_BYTES = 4096


def is_marked(path: Path, sha256: str, status: os.stat_result | None = None) -> bool:
    """Tell whether `path` was found sound, with that checksum, and has not changed since.

    `status` is that of the file that was opened, where another may have taken its place since.
    """
    try:
        return kept(_mark_file(path), _MOST_BYTES) == _state(path, sha256, status or path.stat())
    except OSError:
        return False


def mark(path: Path, sha256: str, status: os.stat_result | None = None) -> None:
    """Remember that `path` is sound. Where the cache cannot be written, it is checked again the next time."""
    with contextlib.suppress(OSError):
        status = status or path.stat()
        if not is_settled(max(status.st_ctime, status.st_mtime)):
            return
        keep(_mark_file(path), _state(path, sha256, status))


def is_settled(changed: float) -> bool:
    """Tell whether a file that changed then, in seconds since 1970, could not change again unseen."""
    return time.time() - changed >= _SETTLED_SECONDS


def _mark_file(path: Path) -> Path:
    """One mark an index directory and kind of file, so that they do not pile up with each new file."""
    kind = Path(os.path.realpath(path.parent)) / (beginning_of(path.name) or path.name)
    return cache_folder("checked") / hashlib.sha256(os.fsencode(kind)).hexdigest()[:20]


def _state(path: Path, sha256: str, status: os.stat_result) -> bytes:
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return " ".join([path.name, sha256, *map(str, numbers)]).encode("ascii", "replace")
