"""Rows of parts for an index, and what a search by them finds in one."""

from __future__ import annotations

import hashlib
import logging
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.backbones.registry import BUNDLED, Backbone
from cbir.errors import CbirError, IndexDamagedError
from cbir.index.parts import MOST, NUMBERS, PARTS, SIGNS, WORDS, PartRows, unpack_signs
from cbir.parts.codes import SCALE, candidate_count, differing, quantised, signs, within
from cbir.parts.features import Maps, means_of
from cbir.parts.whitening import Whitening, general
from cbir.parts.windows import grid

if TYPE_CHECKING:
    from cbir.engines import Engine
    from cbir.images.large import LargePicture
    from cbir.index.store import Index
    from cbir.parts.regions import Box

logger = logging.getLogger("cbir")

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

#: What no window of a picture can differ in.
_NOWHERE = 64 * WORDS + 1


class PartsFound(NamedTuple):
    """Rows of an index, best first, the scores of the window of each that is most like the query, and its box."""

    rows: Rows
    scores: Floats
    boxes: list[Box]


class PartMaker:
    """Makes the rows of pictures' parts with a network and its whitening."""

    def __init__(self, whitening: Whitening) -> None:
        self._whitening = whitening

    def rows(self, picture: LargePicture, engine: Engine) -> PartRows:
        """The parts of a picture, by one pass of the network."""
        coarse, fine = engine.place_maps(picture.pixels[np.newaxis])
        windows = grid(picture.width, picture.height)
        numbers = quantised(self._whitening.rows(means_of(windows, Maps(coarse[0], fine[0]))))
        return PartRows(windows.boxes(), numbers, signs(numbers))


def whitening_of(backbone: Backbone) -> Whitening:
    """What makes rows of parts for a network; CbirError where there is none."""
    found = general(backbone)
    if found is None:
        raise CbirError(
            f"There are no parts for {backbone.name} with these weights: `cbir index FOLDER --model {BUNDLED} --parts "
            "--index NAME` makes an index that has them."
        )
    return found


def whitening_name(backbone: Backbone) -> str:
    """What an index calls the whitening that made its rows: rows of another cannot be compared with them."""
    whitening_of(backbone)
    data = resources.files(__package__).joinpath(f"{BUNDLED}.npz").read_bytes()
    return hashlib.sha256(data).hexdigest()


def check_parts(index: Index, backbone: Backbone) -> None:
    """CbirError, which says what to do, where an index has no parts, or parts of another whitening."""
    name = index.directory.name
    if index.meta.parts is None:
        raise CbirError(f"The index {name} has no parts: `cbir index --index {name} --parts` reads them.")
    if index.meta.parts.whitening != whitening_name(backbone):
        raise CbirError(
            f"The parts of the index {name} were made by another cbir: `cbir index --index {name} --no-parts`, then "
            "the same with --parts, reads them again."
        )


def warn_of_missing(index: Index) -> None:
    """A line where the parts of some pictures are not there yet."""
    count = int((index.without(SIGNS) & index.valid).sum())
    if count:
        logger.warning(
            "Parts do not find %s of the index's %s pictures, whose parts it does not have yet: "
            "`cbir index --index %s` reads them.",
            f"{count:,}",
            f"{len(index):,}",
            index.directory.name,
        )


def find_parts(index: Index, query: Floats, count: int, own: list[int]) -> PartsFound:
    """The first `count` pictures of an index by their best window, the rows `own` left out.

    `query`, shape (dimension,), has length 1. IndexDamagedError where files of parts are damaged.
    """
    whole = np.zeros(NUMBERS, dtype=np.float32)
    whole[: len(query)] = query
    apart = np.full((index.rows, MOST), _NOWHERE, dtype=np.uint16)
    asked = signs(whole[np.newaxis])[0]
    for start, chunk in index.stored_chunks(SIGNS):
        there, its_signs = unpack_signs(chunk)
        found = differing(asked, np.ascontiguousarray(its_signs).reshape(-1, WORDS)).reshape(there.shape)
        apart[start : start + len(chunk)] = np.where(there, found, _NOWHERE)
    apart[~index.valid] = _NOWHERE
    apart[own] = _NOWHERE
    flat = apart.reshape(-1)
    total = int((flat < _NOWHERE).sum())
    # each picture has at most MOST windows, so that there are enough pictures among so many of them
    near = within(flat, min(max(candidate_count(total), MOST * count), total))
    rows, places = np.divmod(near, MOST)
    records = index.stored_items(PARTS, rows, places)
    scores = records["numbers"].astype(np.float32) @ whole / np.float32(SCALE)
    if (records["box"][:, 2] == 0).any():
        raise IndexDamagedError(
            f"{index.directory} has signs of parts that it does not have: `cbir index --index {index.directory.name} "
            "--no-parts`, then the same with --parts, reads them again."
        )
    order = np.lexsort((rows, -scores))
    _, first = np.unique(rows[order], return_index=True)
    best = order[np.sort(first)[:count]]
    boxes = [(int(x), int(y), int(width), int(height)) for x, y, width, height in records["box"][best].tolist()]
    return PartsFound(rows[best], scores[best], boxes)
