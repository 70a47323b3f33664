"""Is an index sound? Structure at once, contents against their checksums when asked."""

from __future__ import annotations

from cbir.errors import CbirError
from cbir.hashing import file_sha256
from cbir.index.store import Index


def find_problems(index: Index, *, verify: bool = False) -> list[str]:
    """What is wrong with an open index, one sentence each. With `verify` all files are read and hashed."""
    problems = []
    try:
        for _ in index.records():
            pass
        if index.rows:
            index.record(0)
        index.shortlist()
    except CbirError as error:
        problems.append(str(error))
    if verify:
        for entry in index.meta.files():
            path = index.directory / entry.name
            try:
                if file_sha256(path) != entry.sha256:
                    problems.append(f"{path} is not what was written (its checksum differs).")
            except OSError as error:
                problems.append(f"{path} cannot be read ({(error.strerror or str(error)).lower()}).")
    return problems
