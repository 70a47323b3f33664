"""Faces of forgotten people, which a run may find anew: they are left out before anything is written of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cbir.errors import IndexDamagedError, IndexNotFoundError
from cbir.extract.results import Extracted
from cbir.images.regions import Box
from cbir.images.scan import FoundFile
from cbir.index.columns.faces import FACES, FOUND, VECTORS
from cbir.index.format import load_meta
from cbir.index.rewrite import Stored
from cbir.index.store import Index
from cbir.people.forget import without_forgotten
from cbir.people.of_index import read_album

logger = logging.getLogger("cbir")


def leaving_out_forgotten(directory: Path, results: Iterable[Extracted[FoundFile]]) -> Iterator[Extracted[FoundFile]]:
    """Pass results on without those faces that an index has been told to forget."""
    forgotten: Mapping[str, tuple[Box, ...]] | None = None
    for result in results:
        if forgotten is None:  # in most runs nothing is new, and what is kept of people may be much
            forgotten = _forgotten(directory)
        if result.sha256 in forgotten and result.records:
            result = replace(result, records=without(result.records, forgotten[result.sha256]))
        yield result


def without(records: Stored, boxes: Iterable[Box]) -> Stored:
    """Return the records of one picture, by the names of columns, without the faces in these boxes."""
    faces = records.get(FACES.name)
    if faces is None:
        return records
    kept = without_forgotten(faces[:, 0]["box"].astype(np.int32), boxes)
    if len(kept) == len(faces):
        return records
    found = np.array([1 + len(kept)], dtype=FOUND.dtype)
    return {**records, FOUND.name: found, FACES.name: faces[kept], VECTORS.name: records[VECTORS.name][kept]}


def _forgotten(directory: Path) -> Mapping[str, tuple[Box, ...]]:
    try:
        meta = load_meta(directory)
        # nothing of its rows is needed
        return read_album(Index(directory, meta.but(blocks=(), candidates=None, part_lists=None))).forgotten
    except IndexNotFoundError:
        return {}
    except IndexDamagedError as error:
        logger.warning("%s Whose faces are not to be found again is not known until then.", error)
        return {}
