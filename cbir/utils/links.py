"""Folders of links to pictures, and names of files that are safe on every system."""

from __future__ import annotations

import itertools
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path

from cbir.errors import CbirError, OutputRefusedError, reason_of

# Letters that some file system or shell takes for something else, and names that Windows does.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST = 180  # bytes of a name, to which a number may be added


class SafeNames:
    """Makes names of files that are safe on every system, and all different there; `taken` are not given again."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.casefold() for name in taken}
        self._numbers: Counter[str] = Counter()

    def of(self, name: str) -> str:
        """Return a safe name for `name`, which may hold anything."""
        stem, ending = os.path.splitext(_UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(" ."))
        ending = ending.rstrip(" .")[:20]
        if not stem or _RESERVED.match(stem) or stem.startswith("-"):
            stem = f"_{stem}"
        stem = stem.encode("utf-8")[: _LONGEST - len(ending.encode("utf-8"))].decode("utf-8", errors="ignore")
        wanted = f"{stem}{ending}".casefold()
        for number in itertools.count(self._numbers[wanted] + 1):
            safe = f"{stem}{'' if number == 1 else f'-{number}'}{ending}"
            if safe.casefold() not in self._taken:
                break
        self._numbers[wanted] = number
        self._taken.add(safe.casefold())
        return safe


def safe_names(names: Iterable[str], taken: Iterable[str] = ()) -> Iterator[str]:
    """Yield a safe name for each of `names`, all different and none of `taken`."""
    return map(SafeNames(taken).of, names)


class Linked(Enum):
    """The outcome of adding a picture to a folder of links."""

    NEW = "new"
    THERE = "there already"
    ELSEWHERE = "in another folder"


class LinkFolders:
    """Folders of links in one `directory`, one for each of `names`, to which each run adds what is new.

    A picture to which any folder of the directory has a link already, whoever put it there, gets no other. Nothing is
    written over or removed; with `dry_run` nothing is made either.
    """

    def __init__(self, directory: Path, names: Sequence[str], *, dry_run: bool = False) -> None:
        self.directory = directory
        self._dry_run = dry_run
        #: What the folders are called, in the order of `names`.
        self.folders = tuple(safe_names(names))
        self._linked: dict[str, str] = {}
        self._names: dict[str, SafeNames] = {}
        try:
            self._look()
        except OSError as error:
            raise _failure(directory, error) from error

    def add(self, place: int, picture: Path) -> Linked:
        """Link a picture into the folder at `place` of the names. CbirError where that cannot be."""
        target, folder = os.path.abspath(picture), self.folders[place]
        if (other := self._linked.get(target)) is not None:
            return Linked.THERE if other == folder else Linked.ELSEWHERE
        try:
            if not self._dry_run:
                self._link(self.directory / folder, target)
        except OSError as error:
            raise _failure(self.directory / folder, error) from error
        self._linked[target] = folder
        return Linked.NEW

    def _look(self) -> None:
        """Find out which pictures are linked already, and which names are taken."""
        if not self.directory.exists():
            return
        for folder in os.scandir(self.directory):
            if not folder.is_dir(follow_symlinks=False):
                if folder.name in self.folders:
                    raise OutputRefusedError(f"{folder.path} is no folder: name another folder with --links.")
                continue
            names = []
            for entry in os.scandir(folder.path):
                names.append(entry.name)
                if entry.is_symlink():
                    target = os.path.normpath(os.path.join(os.path.abspath(folder.path), os.readlink(entry.path)))
                    self._linked.setdefault(target, folder.name)
            self._names[folder.name] = SafeNames(names)

    def _link(self, folder: Path, target: str) -> None:
        names = self._names.get(folder.name)
        if names is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            folder.mkdir(exist_ok=True)
            names = self._names[folder.name] = SafeNames()
        if not stat.S_ISDIR(os.lstat(folder).st_mode):  # a link may lead anywhere
            raise NotADirectoryError("it has become a link")
        while True:
            try:
                os.symlink(target, folder / names.of(os.path.basename(target)))
            except FileExistsError:  # made by another program since it was looked
                continue
            return


def _failure(folder: Path, error: OSError) -> CbirError:
    return CbirError(f"Cannot make links in {folder}: {reason_of(error)}. Name another folder with --links.")
