"""The finder of an index's faces: opened again by what the index remembers, and held against it."""

from __future__ import annotations

import hashlib
import json
import os

from cbir.backbones.weights import Weights, is_remembered, remember
from cbir.errors import IndexConflictError, WeightsError
from cbir.faces.finder import FaceFinder, open_finder
from cbir.index.entries import FacesEntry


def open_for_index(
    index: str, entry: FacesEntry | None, model: str | None, *, engine: str | None = None, expected: int = 1
) -> tuple[FaceFinder, FacesEntry]:
    """Open the finder of the index of that name, and return it with what the index is to say of it.

    Its network is that in the file `model`, else the one that the index remembers, else the usual one. `engine` and
    `expected` are as in `open_finder`, which raises what this raises; IndexConflictError where the index has faces of
    another, WeightsError where it is in a file that only the index names, and no user of this machine before.
    """
    source = os.path.abspath(model) if model is not None else "" if entry is None else entry.source
    if model is None and entry is not None and source and not is_remembered(_named(entry).identity):
        raise WeightsError(
            f"The index says that its faces are told apart by the network in the file {source}, which was not used "
            "here before. If you know it, name it once with --face-model FILE."
        )
    finder = open_finder(model=source or None, engine=engine, expected=expected)
    found = FacesEntry(finder.name, finder.identity, finder.dimension, source)
    if entry is not None and not found.is_comparable(entry):
        raise IndexConflictError(
            f"The faces of the index {index} are those of {entry.name} ({entry.identity[:12]}…), not of {found.name} "
            f"({found.identity[:12]}…), whose vectors cannot be compared with them: leave --face-model out, or take "
            f"them away, with what was said of people, by `cbir index --index {index} --no-faces`, then the same with "
            "--faces."
        )
    if model is not None:
        remember(_named(found), "")
    return finder, found


def _named(entry: FacesEntry) -> Weights:
    """Stand for a network with the place that a user named for it, so that no index can name another place."""
    told = json.dumps(["faces", entry.source, entry.identity])
    return Weights(hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest(), "file")
