"""Pictures that a list names: a path or an address a line, each by its own name.

A picture is called as its line says, in a form that can be a path: `https://host/a.jpg` is `https:/host/a.jpg`, and
`/home/me/a.jpg` is `file:/home/me/a.jpg`. Only what the list names is ever read.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cbir.errors import reason_of
from cbir.images.formats.first_bytes import HEAD_BYTES
from cbir.images.patterns import Patterns
from cbir.images.scan import FoundFile, Scan
from cbir.images.sources.address import is_address
from cbir.images.sources.objects import looked, sifted
from cbir.images.sources.patience import IncompleteError, SourceError, side_by_side
from cbir.images.sources.store import Told, number_of, store_for
from cbir.utils.opening import open_regular, read_regular
from cbir.utils.paths import LONGEST_NAME, are_inside
from cbir.utils.text import decode

# Bytes of a list at most.
_MOST_BYTES = 4 << 30


class _Line(NamedTuple):
    """The name of a picture in an index, and the path or address that is read for it."""

    name: str
    place: str


class List:
    """The pictures of a list, which is a file here or behind an address."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lines: dict[str, str] | None = None

    def scan(self, exclude: Patterns | None = None) -> Scan:
        """Read the list, and ask for the length and change token of each file. Raises OSError without the list."""
        self._lines = self._read()
        lines = [_Line(*one) for one in self._lines.items()]
        problems: list[tuple[str, str]] = []

        def files() -> Iterator[FoundFile]:
            for line, told in zip(lines, side_by_side(_info, lines), strict=False):
                if isinstance(told, OSError):
                    problems.append((line.name, reason_of(told)))
                else:
                    yield FoundFile(line.name, told.size or 0, told.mtime_ns, told.token)

        found = sifted(files(), exclude, ())
        found.problems += problems
        found.unknown.update(name for name, _ in problems)  # the list has it still
        found.sort()
        return found

    def look(self, paths: Sequence[str]) -> Iterator[bool | OSError]:
        """Read the first bytes of files, and tell whether they are pictures'."""
        return side_by_side(lambda path: looked(self.head, path), paths)

    def length(self, path: str) -> int | None:
        """Ask for a file's length in bytes. Raises OSError."""
        return _told(self._place(path)).size

    def head(self, path: str) -> bytes:
        """Read a file's first bytes. Raises OSError."""
        place = self._place(path)
        if is_address(place):
            return store_for(place).part(place, 0, HEAD_BYTES)
        with open_regular(place) as file:
            return file.read(HEAD_BYTES)

    def read(self, path: str, size: int | None, most: int) -> bytes:
        """Read a file. Raises OSError, also where not all of it comes."""
        place = self._place(path)
        if is_address(place):
            return store_for(place).read(place, size or None, most)
        content = read_regular(place, most=most)
        if size is not None and len(content) != size:
            raise IncompleteError(len(content), size)
        return content

    def _place(self, path: str) -> str:
        if self._lines is None:
            self._lines = self._read()
        if path not in self._lines:
            raise FileNotFoundError(2, "the list does not name it")
        return self._lines[path]

    def _read(self) -> dict[str, str]:
        if is_address(self._root):
            content = store_for(self._root).read(self._root, None, _MOST_BYTES)
        else:
            content = read_regular(self._root, most=_MOST_BYTES)
        try:
            text = decode(content)
        except UnicodeDecodeError as error:
            raise SourceError("it is no text") from error
        folder = posixpath.dirname(self._root)
        return dict(_line(one, folder) for line in re.split(r"[\r\n]+", text) if (one := line.strip()))


def _line(text: str, folder: str) -> _Line:
    """Return the name and the place that a line means; a relative path is one from the folder of the list."""
    if is_address(text):
        scheme, _, rest = text.partition("://")
        return _Line(_as_path(f"{scheme}:/{rest}"), text)
    if os.path.isabs(text):
        return _Line(_as_path(f"file:/{text.replace(os.sep, '/').lstrip('/')}"), text)
    text = text.replace(os.sep, "/").removeprefix("./")
    return _Line(_as_path(text), f"{folder}/{text}" if folder else text)


def _as_path(name: str) -> str:
    """Return a name that can be a path; one that could not be gets the first digits of its SHA-256."""
    if are_inside([name]):
        return name
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    parts = [re.sub(r"[\x00-\x1f\ud800-\udfff]", "_", part)[: LONGEST_NAME - 20] for part in name.split("/")]
    stem, ending = posixpath.splitext(parts[-1])
    folders = [part for part in parts[:-1] if part not in ("", ".", "..")]
    return "/".join([*folders, f"{stem}~{digits}{ending[:8]}"])


def _info(line: _Line) -> Told | OSError:
    try:
        return _told(line.place)
    except OSError as error:
        return error


def _told(place: str) -> Told:
    if is_address(place):
        return store_for(place).info(place)
    status = os.stat(place)
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("it is not a regular file")
    return Told(status.st_size, status.st_mtime_ns, number_of(f"{status.st_ctime_ns} {status.st_mtime_ns}"))
