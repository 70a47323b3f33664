"""Small pictures for the page: decoded in processes of their own, kept in memory and in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import OrderedDict
from functools import cached_property
from pathlib import Path

from cbir.errors import CbirError
from cbir.images.previews import as_jpeg
from cbir.images.safely import read_thumbnail
from cbir.serve.files import read_picture
from cbir.serve.states import ServedState
from cbir.utils.cache import cache_folder, keep, kept

#: Pixels of the longer side.
SIZES, VIEW_SIZES = (128, 256, 512), (1024, 2048, 4096)

# Bytes in memory, and files in the cache of about 15 KB each.
_IN_MEMORY, _ON_DISK = 48_000_000, 60_000

# Bytes of a small picture at most.
_LARGEST = 2_000_000


class Thumbnails:
    """Makes small pictures, and remembers them by their content and size, for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._written = 0
        #: Small pictures that were decoded, and that were there.
        self.made = self.found = 0

    def of(self, state: ServedState, row: int, size: int) -> tuple[bytes, bool]:
        """Return a JPEG of a row's picture, and whether it is of the content that the index knows.

        Raises ProblemError where the file is gone, ImageReadError where it is no picture any more.
        """
        record = state.record(row)
        if (found := self._known(record.sha256, size)) is not None:
            self.found += 1
            return found, True
        data = read_picture(state.index.root, record.path)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != record.sha256 and (found := self._known(sha256, size)) is not None:
            return found, False
        made = small_jpeg(data, size, record.path)
        self.made += 1
        self._remember(sha256, size, made)
        return made, sha256 == record.sha256

    def _known(self, sha256: str, size: int) -> bytes | None:
        with self._lock:
            found = self._memory.get((sha256, size))
            if found is not None:
                self._memory.move_to_end((sha256, size))
                return found
        if self._folder is None:
            return None
        found = kept(self._file(self._folder, sha256, size), _LARGEST)
        if found is not None and found.startswith(b"\xff\xd8\xff"):
            self._hold(sha256, size, found)
            return found
        return None

    def _remember(self, sha256: str, size: int, made: bytes) -> None:
        self._hold(sha256, size, made)
        if self._folder is not None and self._written < _ON_DISK:
            with contextlib.suppress(OSError):  # a full disk only costs time
                keep(self._file(self._folder, sha256, size), made)
                self._written += 1

    def _hold(self, sha256: str, size: int, made: bytes) -> None:
        with self._lock:
            if (sha256, size) in self._memory:
                return
            self._memory[sha256, size] = made
            self._bytes += len(made)
            while self._bytes > _IN_MEMORY:
                _, dropped = self._memory.popitem(last=False)
                self._bytes -= len(dropped)

    @cached_property
    def _folder(self) -> Path | None:
        """The folder in the cache, emptied of what was used longest ago where it has too much; None without one."""
        try:
            folder = cache_folder("thumbnails")
        except CbirError:
            return None
        files = []
        with contextlib.suppress(OSError):
            for part in os.scandir(folder):
                with contextlib.suppress(OSError):
                    files += [(file.stat().st_mtime, file.path) for file in os.scandir(part)]
        files.sort()
        for _, path in files[: max(0, len(files) - _ON_DISK // 2)]:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._written = min(len(files), _ON_DISK // 2)
        return folder

    @staticmethod
    def _file(folder: Path, sha256: str, size: int) -> Path:
        return folder / sha256[:2] / f"{sha256}-{size}.jpg"


def small_jpeg(data: bytes, size: int, name: str) -> bytes:
    """Return a picture file's bytes as an upright JPEG in sRGB of at most `size` pixels a side. ImageReadError."""
    image, _ = read_thumbnail(data, size, name=name)
    return as_jpeg(image)
