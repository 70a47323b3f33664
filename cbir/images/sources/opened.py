"""Sources that are no folders, opened once in a process, and only where a user named them."""

from __future__ import annotations

import functools
from typing import Protocol

from cbir.images.patterns import Patterns
from cbir.images.scan import Look, Scan
from cbir.images.sources.address import Address, is_address, is_list, is_shards, is_web
from cbir.images.sources.named import is_named
from cbir.images.sources.patience import SourceError


class Elsewhere(Protocol):
    """A source that is no folder. Any number of threads may use it.

    Sources are listed, asked and read with patience: what fails in passing is tried again. All raise OSError, of a
    file that is not there FileNotFoundError.
    """

    def scan(self, exclude: Patterns | None = None) -> Scan:
        """Find the pictures, without opening any."""

    @property
    def look(self) -> Look:
        """The function that looks into files by their first bytes."""

    def length(self, path: str) -> int | None:
        """Return a file's length in bytes, None where nobody tells it."""

    def head(self, path: str) -> bytes:
        """Read a file's first `HEAD_BYTES`."""

    def read(self, path: str, size: int | None, most: int) -> bytes:
        """Read a file of at most `most` bytes; `size` is what it should have, as far as that is known."""


def opened(root: Address) -> Elsewhere:
    """Open the source of a root. SourceError where its extra is missing, or only an index names it."""
    may_be_strangers = is_address(root.root) or is_list(root.root)
    if may_be_strangers and not root.is_chosen and not is_named(root.root):
        raise SourceError(
            "an index names this source, or a list, and nobody here has yet: do so with `cbir index --index … --root …`"
        )
    return _opened(root.root, is_public=root.is_public)


@functools.lru_cache(maxsize=64)
def _opened(root: str, *, is_public: bool) -> Elsewhere:
    if is_web(root):
        from cbir.images.sources.web import Web

        return Web(root, allow_private=not is_public)
    from cbir.images.sources.lists import List
    from cbir.images.sources.objects import Objects
    from cbir.images.sources.shards import Shards

    if is_shards(root):
        return Shards(root)
    if is_list(root):
        return List(root)
    return Objects(root)
