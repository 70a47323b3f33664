"""Data files as they are written: under names that no state used, synced, and removed if no commit names them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from cbir.index.entries import FileEntry
from cbir.index.rights import Rights, create
from cbir.utils.hashing import file_sha256


class NewFiles:
    """Writes files into an index directory with the index's `rights`, and knows those that no commit has named yet."""

    def __init__(self, directory: Path, rights: Rights) -> None:
        self.directory = directory
        self.rights = rights
        self._written: list[Path] = []

    def write(self, name: str, content: Iterable[bytes]) -> FileEntry:
        """Write a data file and sync it; OSError where there is one of that name, so nothing is written over."""
        path, digest, size = self.directory / name, hashlib.sha256(), 0
        with self._created(path) as file:
            for part in content:
                file.write(part)
                digest.update(part)
                size += len(part)
            file.flush()
            os.fsync(file.fileno())
        return FileEntry(name, size, digest.hexdigest())

    def make(self, name: str) -> Path:
        """Make an empty data file for a library that writes by itself; then `finish` it."""
        path = self.directory / name
        # a library would make a file that nobody else may read, and follow a link
        self._created(path).close()
        return path

    def finish(self, name: str) -> FileEntry:
        """Sync a data file that was written by a library."""
        path = self.directory / name
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return FileEntry(name, path.stat().st_size, file_sha256(path))

    def check(self) -> None:
        """Raise FileNotFoundError where a file has gone that no commit has named yet."""
        for path in self._written:
            path.lstat()

    def forget(self) -> None:
        """Leave all files as they are: a commit has named them, or will."""
        self._written = []

    def discard(self) -> None:
        """Remove the files that no commit has named."""
        for path in self._written:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._written = []

    def _created(self, path: Path) -> IO[bytes]:
        """Make a file, which is to be removed then: one that was there already is somebody else's."""
        file = create(path, self.rights)
        self._written.append(path)
        return file
