"""Opening an index by its name."""

from __future__ import annotations

from pathlib import Path

from cbir.index.home import index_directory, the_only_directory
from cbir.index.store import Index


def open_index(name: str | Path | None = None) -> Index:
    """Open an index by its name or path; without one, the only index there is. Raises IndexNotFoundError."""
    return Index.open(the_only_directory() if name is None else index_directory(str(name)))
