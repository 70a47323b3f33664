"""The folders that an index's files are in, which are found in a fraction of the time in which all is parsed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import numpy as np

from cbir.utils.paths import are_inside
from cbir.utils.vectors import Rows

Value = TypeVar("Value", bytes, str)


class Folders(NamedTuple):
    """The `names` of folders, relative to the root (itself is ""), and the number of each row's, shape (rows,)."""

    names: list[str]
    of_rows: Rows

    def below(self, folder: str) -> Folders:
        """Return the same folders, seen from another one further up: `folder/` stands before their names."""
        return Folders([f"{folder}/{name}" if name else folder for name in self.names], self.of_rows)


def of_paths(paths: Iterable[str]) -> Folders:
    """Return the folders of paths."""
    return Folders(*_numbered([path.rpartition("/")[0] for path in paths]))


def of_lines(content: bytes, rows: int) -> Folders | None:
    """Return those of so many rows, of the content of a `files-….json`, of which no row is parsed.

    None where it is not written as cbir writes it: it may be sound nevertheless. What else may be wrong with a row is
    told when it is read.
    """
    # a slash may also be written so
    if b"\\" in content and any(slash in content for slash in (rb"\/", rb"\u002f", rb"\u002F")):
        return None
    lines = content.split(b"\n")
    if len(lines) != rows + 3:
        return None
    # nothing of a row but its path, which begins it, has slashes
    written, numbers = _numbered([line.rpartition(b"/")[0] for line in lines[1:-2]])
    try:
        names = [_name(one) for one in written]
    except ValueError:
        return None
    if not are_inside([name for name in names if name]):
        return None
    unique, places = _numbered(names)
    return Folders(unique, places[numbers])


def joined(parts: Iterable[Folders]) -> Folders:
    """Return the folders of blocks as those of all their rows, one after the other."""
    names: dict[str, int] = {}
    of_rows = [np.empty(0, dtype=np.int64)]
    for part in parts:
        places = [names.setdefault(name, len(names)) for name in part.names]
        of_rows.append(np.array(places, dtype=np.int64)[part.of_rows])
    return Folders(list(names), np.concatenate(of_rows))


def _numbered(values: list[Value]) -> tuple[list[Value], Rows]:
    """Return the different values, in the order in which they come first, and the number of each, shape (n,)."""
    places = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return list(places), np.fromiter(map(places.__getitem__, values), dtype=np.int64, count=len(values))


def _name(beginning: bytes) -> str:
    """Return the folder of a row whose line begins like that; ValueError where it is something else."""
    if not beginning:
        return ""
    if beginning[:2] != b'["':
        raise ValueError("a row begins otherwise")
    name = json.loads(beginning[1:] + b'"')
    if not isinstance(name, str) or not name:
        raise ValueError("a row begins with something else than a path below the root")
    return name
