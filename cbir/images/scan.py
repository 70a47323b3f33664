"""Finding pictures: in a folder by walking it, in what another source lists by its names."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from cbir.errors import reason_of
from cbir.images.formats.first_bytes import looks_like_picture
from cbir.images.formats.suffixes import is_hidden, is_systems, kind_by_suffix, picture_suffixes, suffix_of
from cbir.images.left_out import LeftOut
from cbir.images.patterns import Patterns


class FoundFile(NamedTuple):
    """A file that may be a picture. `path` is relative to the root, with forward slashes.

    `ctime_ns` is when anything about the file changed last, which no program can set back; 0 where nobody knows. Of a
    source that is no folder it is a number of the file's change token instead (`Scan.has_tokens`).
    """

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int = 0


@dataclass
class Scan:
    """The findings of a walk.

    `files` are those that look like pictures by their names, sorted by path; `doubtful` are files whose names tell
    nothing, until `look_into` has decided about them. `problems` are (path, reason) of names that look like pictures
    but cannot be opened; `unreadable` are the folders that could not be listed, so that nothing is known of what is in
    them. `unknown` are names that are there and could not be looked at: neither they nor what may be below them is
    gone. `mounts` are the folders in which another file system begins, `empty` those with nothing in them. With
    `has_tokens`, a file of the same length and token is the same, whatever its time is.
    """

    files: list[FoundFile] = field(default_factory=list)
    doubtful: list[FoundFile] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    mounts: list[str] = field(default_factory=list)
    empty: set[str] = field(default_factory=set)
    left_out: LeftOut = field(default_factory=LeftOut)
    has_tokens: bool = False

    @property
    def excluded(self) -> int:
        """The number of names that a pattern matched."""
        return self.left_out["excluded"]

    def leaves_out(self, path: str, name: str, exclude: Patterns | None) -> bool:
        """Tell whether a name is left out whatever it names, and count it then."""
        if exclude and exclude.match(path):
            self.left_out.add("excluded", path)
        elif is_hidden(name):
            self.left_out.add("hidden", path)
        elif is_systems(name):
            self.left_out.add("system", path)
        else:
            return False
        return True

    def sort(self) -> None:
        """Bring files and problems into the order of their paths."""
        self.files.sort(key=attrgetter("path"))
        self.problems.sort()


def scan(root: Path, exclude: Patterns | None = None) -> Scan:
    """Walk `root` for pictures, without opening any.

    Hidden names (a leading dot), those of systems (`suffixes.is_systems`) and what `exclude` matches are left out.
    Links to files are followed, links to folders are not (so a loop of links has no end to miss).

    Raises OSError where the root itself cannot be listed.
    """
    result = Scan()
    suffixes = picture_suffixes()
    pending: list[tuple[str, int]] = [("", os.stat(root).st_dev)]
    while pending:
        folder, device = pending.pop()
        try:
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError:
            if not folder:
                raise
            result.unreadable.append(folder)
            continue
        if not entries:
            result.empty.add(folder)
        prefix = f"{folder}/" if folder else ""
        for entry in entries:
            name = entry.name
            path = prefix + name
            if result.leaves_out(path, name, exclude):
                continue
            if _is_folder(entry):
                its = _device(entry, device)
                if its != device:
                    result.mounts.append(path)
                pending.append((path, its))
            else:
                _examine(entry, path, suffixes, result)
    result.sort()
    result.mounts.sort()
    return result


def sift(files: Iterable[FoundFile], exclude: Patterns | None = None) -> Scan:
    """Choose pictures of what a source lists that has no folders of its own, as `scan` does of a folder."""
    result = Scan(has_tokens=True)
    suffixes = picture_suffixes()
    folders: dict[str, bool] = {}

    def is_left_out(path: str) -> bool:
        start, end = 0, path.find("/")
        while end >= 0:
            folder = path[:end]
            if folder not in folders:
                folders[folder] = result.leaves_out(folder, path[start:end], exclude)
            if folders[folder]:
                return True
            start, end = end + 1, path.find("/", end + 1)
        return result.leaves_out(path, path[start:], exclude)

    for file in files:
        if is_left_out(file.path):
            continue
        suffix = suffix_of(file.path.rpartition("/")[2])
        if suffix in suffixes:
            result.files.append(file)
        elif (kind := kind_by_suffix(suffix)) is not None:
            result.left_out.add(kind, file.path)
        else:
            result.doubtful.append(file)
    result.sort()
    return result


#: Tells of each path of a source whether the file begins as a picture does, or why it cannot be looked at, in order.
Look = Callable[[Sequence[str]], Iterable[bool | OSError]]


def nothing_to_look_into(paths: Sequence[str]) -> Iterator[bool | OSError]:
    """Look into no file: of a source that is gone none is left."""
    return iter(())


def look_into(look: Look, found: Scan, verdict: Callable[[FoundFile], bool | None]) -> list[FoundFile]:
    """Decide about the doubtful files by their first bytes, and return those that were opened and are no pictures.

    `verdict` tells of a file whether it is a picture, so that it need not be opened; None where that is not known.
    """
    opened = []
    verdicts = [verdict(file) for file in found.doubtful]
    unknown = [file.path for file, known in zip(found.doubtful, verdicts, strict=True) if known is None]
    answers = iter(look(unknown))
    for file, is_picture in zip(found.doubtful, verdicts, strict=True):
        if is_picture is None:
            answer = next(answers)
            if isinstance(answer, OSError):
                found.unknown.add(file.path)
                found.problems.append((file.path, reason_of(answer)))
                continue
            is_picture = answer
            if not is_picture:
                opened.append(file)
        if is_picture:
            found.files.append(file)
        else:
            found.left_out.add("others", file.path)
    if found.doubtful:
        found.doubtful = []
        found.sort()
    return opened


def pictures_in(folder: Path) -> Scan:
    """Walk `folder` for pictures, and look into files whose names tell nothing. Raises OSError as `scan` does."""
    found = scan(folder)
    look_into(look_in(folder), found, lambda file: None)
    return found


def look_in(root: Path) -> Look:
    """Return what looks into files below a folder."""

    def look(paths: Sequence[str]) -> Iterator[bool | OSError]:
        for path in paths:
            try:
                yield looks_like_picture(root / path)
            except OSError as error:
                yield error

    return look


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # where a listing does not tell, the system is asked, which may refuse: see `_examine`
        return False


def _device(entry: os.DirEntry[str], parents: int) -> int:
    """Return the number of the file system that a folder is on; its parent's where that cannot be had."""
    try:
        return entry.stat(follow_symlinks=False).st_dev or parents  # Windows tells none in a listing
    except OSError:
        return parents


def _examine(entry: os.DirEntry[str], path: str, suffixes: frozenset[str], result: Scan) -> None:
    """Put a name that is no folder where it belongs."""
    suffix = suffix_of(entry.name)
    is_picture = suffix in suffixes
    kind = None if is_picture else kind_by_suffix(suffix)
    is_link = _is_link(entry)
    if kind is not None and not is_link:
        result.left_out.add(kind, path)
        return
    try:
        status = entry.stat()
    except OSError as error:
        # what a link leads to may be on a disk that is away, and what has just vanished with a whole disk
        result.unknown.add(path)
        reason = reason_of(error)
        if isinstance(error, FileNotFoundError):
            reason = "a link to nowhere" if is_link else "it vanished while it was looked at"
        if is_picture:
            result.problems.append((path, reason))
        else:
            result.left_out.add(kind or "others", path)
        return
    if stat.S_ISDIR(status.st_mode):
        result.left_out.add("links_to_folders", path)
    elif kind is not None:
        result.left_out.add(kind, path)
    elif stat.S_ISREG(status.st_mode):
        found = FoundFile(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        (result.files if is_picture else result.doubtful).append(found)
    elif is_picture:
        result.problems.append((path, "it is not a regular file"))
    else:
        result.left_out.add("others", path)


def _is_link(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:
        return False
