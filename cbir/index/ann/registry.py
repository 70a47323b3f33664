"""The backends that find candidates: a new one is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cbir.index.ann import lists
from cbir.index.ann.annoy import Annoy
from cbir.index.ann.base import Backend, Opener
from cbir.index.ann.milvus import entry as milvus
from cbir.index.entries import ANNOY, LISTS, MILVUS, CandidatesEntry, FileEntry, StoreEntry
from cbir.index.values import LONGEST_NAME, number, text, whole

_BACKENDS: dict[str, Backend] = {ANNOY: Annoy()}


def opener_of(entry: CandidatesEntry, store: StoreEntry | None) -> Opener:
    """Return the backend that made them, with the collection that it needs where it is Milvus."""
    if entry.backend != MILVUS or store is None:
        return _BACKENDS[entry.backend]
    from cbir.index.ann.milvus.backend import Milvus

    return Milvus(store)


def builder() -> Backend:
    """Return the backend that makes new candidates: the one that was registered last."""
    return list(_BACKENDS.values())[-1]


def file_beginnings() -> set[str]:
    """Return the prefixes of the names of backends' files, and of those of lists of windows."""
    files = [milvus.FILES, *(backend.files for backend in _BACKENDS.values())]
    return {*lists.FILES.values(), *(name for its in files for name in its.values())}


def register(backend: Backend) -> None:
    """Make a backend of a plug-in known to this process, as long as it runs, and have it make new candidates.

    A process that does not know it compares all rows, and makes candidates of its own when it commits. ValueError where
    another backend has its name.
    """
    if backend.name == MILVUS or _BACKENDS.setdefault(backend.name, backend) is not backend:
        raise ValueError(f"there is a backend {backend.name} already")


@contextmanager
def registered(backend: Backend) -> Iterator[Backend]:
    """`register` a backend while the block runs."""
    register(backend)
    try:
        yield backend
    finally:
        del _BACKENDS[backend.name]


def read_entry(record: Any, store: Any) -> CandidatesEntry | None:
    """Read what `meta.json` says of candidates; None where an unknown backend made them, or Milvus, without a `store`.

    ValueError, TypeError, KeyError or AttributeError where it is none.
    """
    name = text(record.get("kind", ANNOY), LONGEST_NAME)
    if name == MILVUS and store is not None:
        return _entry(record, name, milvus.FILES, milvus.SETTINGS)
    if name not in _BACKENDS:
        return None
    return _entry(record, name, _BACKENDS[name].files, _BACKENDS[name].settings)


def read_lists_entry(record: Any) -> CandidatesEntry | None:
    """Read what `meta.json` says of lists of windows, as `read_entry` does; None where they are of another kind."""
    return _entry(record, LISTS, lists.FILES, lists.SETTINGS) if record["kind"] == LISTS else None


def _entry(
    record: Any, name: str, beginnings: Mapping[str, str], settings: Mapping[str, tuple[int, int]]
) -> CandidatesEntry:
    files = {key: FileEntry.from_json(record[key], beginning) for key, beginning in beginnings.items()}
    values = {key: whole(record[key], *bounds) for key, bounds in settings.items()}
    return CandidatesEntry(whole(record["rows"], 1), files, values, number(record["recall"], 0, 1), name)
