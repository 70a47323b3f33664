"""Pictures below an address: in an object store, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cbir.images.formats.first_bytes import HEAD_BYTES, is_pictures
from cbir.images.patterns import Patterns
from cbir.images.scan import FoundFile, Scan, sift
from cbir.images.sources.patience import side_by_side
from cbir.images.sources.store import store_for
from cbir.utils.paths import LONGEST_NAME, are_inside


class Objects:
    """All that is below an address."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._store = store_for(root)

    def scan(self, exclude: Patterns | None = None) -> Scan:
        """List the pictures, page by page. Raises OSError where the address cannot be listed."""
        unreadable: list[str] = []
        return sifted(self._store.list(self._root, unreadable.append), exclude, unreadable)

    def look(self, paths: Sequence[str]) -> Iterator[bool | OSError]:
        """Read the first bytes of files, and tell whether they are pictures'."""
        return side_by_side(self._look, paths)

    def length(self, path: str) -> int | None:
        """Ask for a file's length in bytes. Raises OSError."""
        return self._store.info(self._address(path)).size

    def head(self, path: str) -> bytes:
        """Read a file's first bytes. Raises OSError."""
        return self._store.part(self._address(path), 0, HEAD_BYTES)

    def read(self, path: str, size: int | None, most: int) -> bytes:
        """Read a file, as `Store.read` does."""
        return self._store.read(self._address(path), size, most)

    def _address(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _look(self, path: str) -> bool | OSError:
        return looked(self.head, path)


def sifted(files: Iterator[FoundFile], exclude: Patterns | None, unreadable: Sequence[str]) -> Scan:
    """Choose the pictures of a listing, of those with one name the last; what no file can be called is a problem.

    `unreadable` has the folders that could not be listed once `files` has come to its end.
    """
    odd: list[str] = []

    def sound() -> Iterator[FoundFile]:
        for file in files:
            if are_inside([file.path]):
                yield file
            else:
                odd.append(file.path)

    found = sift(sound(), exclude)
    found.files, found.doubtful = _each_once(found.files), _each_once(found.doubtful)
    found.problems += [(_short(path), "no file can have that name") for path in odd]
    found.unreadable += unreadable
    found.sort()
    return found


def _each_once(files: list[FoundFile]) -> list[FoundFile]:
    """Return the last file of each name."""
    return list({file.path: file for file in files}.values())


def _short(path: str) -> str:
    return path if len(path) <= LONGEST_NAME else f"{path[:LONGEST_NAME]}…"


def looked(head: Callable[[str], bytes], path: str) -> bool | OSError:
    """Tell whether a file begins as a picture, or why it cannot be read."""
    try:
        return is_pictures(head(path))
    except OSError as error:
        return error
