"""Opening indexes by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cbir.errors import CbirError
from cbir.index.home import find_directories, index_directory, the_only_directory
from cbir.index.store import Index


def open_index(name: str | Path | None = None, model: str | None = None) -> Index:
    """Open an index by its name or path; without one, the only index there is. Raises IndexNotFoundError.

    `model` names one of its networks, where it has several; by default its own.
    """
    directory = the_only_directory() if name is None else index_directory(str(name))
    return Index.open(directory, model=_stored(model))


def open_indexes(
    names: Sequence[str], *, features: bool = True, model: str | None = None
) -> tuple[list[Index], list[CbirError]]:
    """Open several indexes, by names, paths or patterns of either; without any, the only index there is.

    With them comes what is wrong with those that cannot be opened. Raises the first such error where none can.
    `model` is as in `open_index`.
    """
    directories = find_directories(names) if names else [the_only_directory()]
    found, problems = [], list[CbirError]()
    for directory in directories:
        try:
            found.append(Index.open(directory, features=features, model=_stored(model)))
        except CbirError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    return found, problems


def _stored(model: str | None) -> str | None:
    """Return the name that an index has of a network."""
    if model is None:
        return None
    from cbir.backbones.families import stored_name

    return stored_name(model)
