"""Walking a folder for pictures."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from cbir.errors import reason_of

#: Folders that cameras, network storage and desktops keep their own thumbnails in.
SYSTEM_FOLDERS = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"})


class FoundFile(NamedTuple):
    """A file that looks like a picture by its name. `path` is relative to the root, with forward slashes."""

    path: str
    size: int
    mtime_ns: int


@dataclass
class Scan:
    """What a walk found.

    `files` are sorted by path. `problems` are (path, reason) of names that look like pictures but cannot be
    opened; `unreadable` are the folders that could not be listed, so that nothing is known of what is in them.
    """

    files: list[FoundFile] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    excluded: int = 0


@cache
def picture_suffixes() -> frozenset[str]:
    """The file-name endings of the formats that `images.read` reads, in lower case, with the dot.

    Those that an extra reads are among them, so that a missing extra is told and not passed over in silence.
    """
    from PIL import Image

    from cbir.images.read import FORMATS, MORE_SUFFIXES

    Image.init()
    return frozenset({suffix for suffix, format_ in Image.EXTENSION.items() if format_ in FORMATS} | MORE_SUFFIXES)


def scan(root: Path, exclude: Sequence[str] = ()) -> Scan:
    """Walk `root` for pictures, without opening any.

    Hidden names (a leading dot), `SYSTEM_FOLDERS` and what a pattern of `exclude` matches are left out. A pattern
    without a slash is held against every file's and folder's name, one with a slash against the path relative to
    the root. Links to files are followed, links to folders are not (so a loop of links has no end to miss).

    Raises OSError where the root itself cannot be listed.
    """
    result = Scan()
    suffixes = picture_suffixes()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError:
            if not folder:
                raise
            result.unreadable.append(folder)
            continue
        prefix = f"{folder}/" if folder else ""
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name in SYSTEM_FOLDERS:
                continue
            path = prefix + name
            if exclude and is_excluded(path, exclude):
                result.excluded += 1
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif name[name.rfind(".") :].lower() in suffixes:
                _examine(entry, path, result)
    result.files.sort(key=attrgetter("path"))
    result.problems.sort()
    return result


def is_excluded(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path relative to the root, or its last part, matches one of the patterns."""
    name = path.rsplit("/", 1)[-1]
    return any(fnmatch(path if "/" in pattern else name, pattern.strip("/")) for pattern in patterns)


def _examine(entry: os.DirEntry[str], path: str, result: Scan) -> None:
    try:
        status = entry.stat()
    except FileNotFoundError:
        result.problems.append(
            (path, "a link to nowhere" if entry.is_symlink() else "it vanished while it was looked at")
        )
        return
    except OSError as error:
        result.problems.append((path, reason_of(error)))
        return
    if stat.S_ISREG(status.st_mode):
        result.files.append(FoundFile(path, status.st_size, status.st_mtime_ns))
    elif not stat.S_ISDIR(status.st_mode):
        result.problems.append((path, "it is not a regular file"))
