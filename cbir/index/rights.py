"""Rights of an index's files: nobody may read it who could not read the folder that it is of.

An index tells names, times, tiny pictures and what they show. Where a folder is for some only, so are its index's
files, whatever the umask is. Systems without rights for owner, group and others have no such, and nothing is done.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cbir.images.sources.address import Address, Location
from cbir.index.home import META
from cbir.utils.opening import PLAIN
from cbir.utils.rights import rights_of


@dataclass(frozen=True)
class Rights:
    """The most that files, and the folder that they are in, may be open for; the umask takes its share as ever."""

    of_folder: int = 0o777
    of_files: int = 0o666

    @classmethod
    def like(cls, root: Location, directory: Path) -> Rights:
        """Those of the index of `root` in `directory`: nobody may read it who may not list the root.

        Where the root is not there, or cannot be asked, the index's own folder decides, if that is there. Who may read
        another source nobody knows here: the index is the user's alone, unless its folder is open already.
        """
        if os.name != "posix":
            return cls()
        if isinstance(root, Address):
            return cls._of_own_folder(directory, cls(0o700, 0o600))
        try:
            root.stat()
            files = rights_of([root / META], directory if directory.is_dir() else _nearest(directory))
        except OSError:
            return cls._of_own_folder(directory, cls())
        return cls._of(files)

    @classmethod
    def of_readers(cls, files: Iterable[Path], directory: Path) -> Rights:
        """Those of an index in `directory` that nobody may read who may not read all of some files."""
        if os.name != "posix":
            return cls()
        return cls._of(rights_of(list(files), _nearest(directory)))

    @classmethod
    def _of(cls, files: int) -> Rights:
        # who may read files may list their folder, and pass through it
        return cls(0o700 | files & 0o066 | (files & 0o044) >> 2, files)

    def __and__(self, other: Rights) -> Rights:
        """Return what both leave."""
        return Rights(self.of_folder & other.of_folder, self.of_files & other.of_files)

    @classmethod
    def _of_own_folder(cls, directory: Path, otherwise: Rights) -> Rights:
        try:
            folder = directory.stat().st_mode & 0o777
        except OSError:
            return otherwise
        return cls(folder | 0o700, folder & 0o066 | 0o600)

    def make_folder(self, directory: Path) -> None:
        """Make a folder with these rights, where there is none; OSError where that cannot be."""
        directory.mkdir(mode=self.of_folder, exist_ok=True)

    def keep_to(self, directory: Path) -> None:
        """Take from a folder, and from the files in it, what goes beyond these rights."""
        if os.name != "posix":
            return
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            _narrow(directory, self.of_folder)
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    _narrow(Path(entry.path), self.of_files)


def create(path: Path, rights: Rights) -> IO[bytes]:
    """Open a new file for writing; OSError (FileExistsError) where there is something of that name, a link too."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, rights.of_files), "wb")


def _narrow(path: Path, most: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077 & ~most:
        with contextlib.suppress(OSError):  # another user's
            path.chmod(mode & ~(0o077 & ~most))


def _nearest(directory: Path) -> Path:
    """Return the folder that a new one is made in, or the first above that is there."""
    return next(folder for folder in directory.absolute().parents if folder.is_dir())
