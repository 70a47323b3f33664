"""The columns that an index may have: a new one is a file beside this one and a line here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from cbir.index.columns.classes import CLASSES
from cbir.index.columns.column import Column
from cbir.index.columns.faces import FACES, FOUND, VECTORS
from cbir.index.columns.objects import BOXES, OBJECTS
from cbir.index.columns.parts import PARTS, SIGNS
from cbir.index.columns.taken import TAKEN
from cbir.index.columns.thumbnails import THUMBNAILS
from cbir.index.columns.times import CHANGED
from cbir.index.columns.treatment import NUMBERS, TREATED

T = TypeVar("T")

# Columns that are counted stand behind the one that counts them.
_COLUMNS = {
    column.name: column
    for column in (
        *(CLASSES, THUMBNAILS, PARTS, SIGNS, CHANGED, TAKEN, OBJECTS, BOXES, FOUND, FACES, VECTORS, TREATED, NUMBERS),
    )
}

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")

# Other keys of a block in `meta.json`, and what names of other data files begin with.
_TAKEN = frozenset(("rows", "invalid", "features", "files", "index", "projection", "whitening", "refused", "people"))


def all_columns() -> tuple[Column, ...]:
    """Return the columns that are known, those of plug-ins last."""
    return tuple(_COLUMNS.values())


def content_columns() -> tuple[Column, ...]:
    """Those of them that follow from a picture's content."""
    return tuple(column for column in _COLUMNS.values() if column.of_content)


def named_columns() -> tuple[Column, ...]:
    """Those of them that people and programs are told of: all but those that are of no use without another."""
    return tuple(column for column in content_columns() if column.counted_by is None)


def content_groups() -> list[list[Column]]:
    """Return the columns that follow from a picture's content, those together that are made and counted together."""
    groups: dict[str, list[Column]] = {}
    for column in content_columns():
        groups.setdefault(column.group or column.name, []).append(column)
    return list(groups.values())


def kept_together(column: Column) -> list[Column]:
    """Return the columns that are of no use without each other, of which this is one."""
    first = column.counted_by or column
    return [one for one in _COLUMNS.values() if (one.counted_by or one) is first]


def without_torn(found: Mapping[str, T], are_alike: Callable[[T, T], bool] = lambda one, other: True) -> dict[str, T]:
    """Leave out, of something of columns by their names, what some of those that are kept together lack, or have
    otherwise."""
    torn = set[str]()
    for column in _COLUMNS.values():
        if column.counted_by is not None:
            names = [one.name for one in kept_together(column)]
            its = [found[name] for name in names if name in found]
            if its and (len(its) < len(names) or not all(are_alike(one, its[0]) for one in its)):
                torn.update(names)
    return {name: one for name, one in found.items() if name not in torn}


def register(column: Column) -> None:
    """Make a column of a plug-in known to this process, as long as it runs.

    Indexes are then opened, written, verified and repaired with it. A process that does not know it passes over it,
    and commits the index without it. ValueError where its name cannot be, or is another column's.
    """
    if not _NAME.fullmatch(column.name) or column.name in _TAKEN:
        raise ValueError(f"no name of a column: {column.name!r}")
    if _COLUMNS.setdefault(column.name, column) is not column:
        raise ValueError(f"there is a column {column.name} already")


@contextmanager
def registered(column: Column) -> Iterator[Column]:
    """`register` a column while the block runs."""
    register(column)
    try:
        yield column
    finally:
        del _COLUMNS[column.name]
