"""The pictures that a command is given: named, in a list, or on stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.errors import CbirError, reason_of

if TYPE_CHECKING:
    from cbir.queries import Query


class Stdin:
    """Stdin, which is one picture or one list of names."""

    def __init__(self) -> None:
        self._is_taken = False

    def take(self) -> bytes:
        """What it holds; a usage error the second time."""
        if self._is_taken:
            raise click.UsageError("Stdin can be one picture or one list of names, and only once.")
        self._is_taken = True
        return sys.stdin.buffer.read()

    def query(self, path: Path) -> Query:
        """A query by a file, or by stdin's picture."""
        from cbir.queries import Query

        return Query(self.take(), "-") if str(path) == "-" else Query.from_path(path)


def named_pictures(images: Iterable[Path], files_from: Path | None, stdin: Stdin, *, null: bool) -> Iterator[Query]:
    """The pictures of the arguments, then those of the list `files_from`, whose names end in NUL with `null`."""
    from cbir.queries import Query

    for image in images:
        yield stdin.query(image)
    if files_from is not None:
        for name in _names(files_from, stdin, null=null):
            yield Query.from_path(name)


def _names(files_from: Path, stdin: Stdin, *, null: bool) -> Iterator[str]:
    try:
        data = stdin.take() if str(files_from) == "-" else files_from.read_bytes()
    except OSError as error:
        raise CbirError(f"Cannot read the list {files_from}: {reason_of(error)}.") from error
    for name in data.split(b"\0" if null else b"\n"):
        if name.strip(b"\r"):
            yield os.fsdecode(name if null else name.rstrip(b"\r"))
