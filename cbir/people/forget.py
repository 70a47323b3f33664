"""Forgetting a person: the vectors and boxes of all faces go out of an index, and its name; pictures stay as they are.

Rows that count no more have faces, too, until they are dropped: of these whatever looks like the person goes. What
stays is by which box of which picture a face is known that nobody is to look at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbir.images.regions import Box
from cbir.images.sources.address import root_of
from cbir.index.columns.faces import Packed, pack
from cbir.index.columns.registry import all_columns
from cbir.index.entries import FacesEntry
from cbir.index.facerows import FaceRows
from cbir.index.format import Meta, load_meta
from cbir.index.lock import exclusive
from cbir.index.rights import Rights
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.people.album import Album, dump
from cbir.people.edit import forget_person, kept
from cbir.people.faces import same_faces
from cbir.people.of_index import people_of
from cbir.people.person import number_of
from cbir.utils.vectors import Floats

_COLUMNS = {column.name: column for column in all_columns()}


def forget(directory: Path, who: str, *, threshold: float, wait: float = 0) -> tuple[str, int]:
    """Forget a person by name or number. Returns its name, empty where it has none, and how many faces it had.

    Blocks are written anew first, and names last: a run that is killed in between leaves the person, to be forgotten
    again. Raises as `cbir.people.of_index.change_people` does.
    """
    with exclusive(directory, wait, Rights.like(root_of(load_meta(directory).root), directory)):
        arranged = people_of(Index(directory, load_meta(directory)), threshold=threshold)
        number = number_of(arranged.album, who)
        its = np.flatnonzero(arranged.people == number)
        album = forget_person(arranged.album, number)
        vectors = arranged.faces.vectors[its].copy()
        # whoever is killed while blocks are written is still known by this number
        Writer(directory, load_meta(directory)).keep_people(dump(kept(arranged.album, {number})))
        meta = load_meta(directory)
        for model in [state.model for state in (meta, *meta.others)]:
            # each commit makes a new state
            if (state := load_meta(directory).by(model)) is not None:
                album = _without(directory, state, album, vectors, meta.faces, threshold)
        Writer(directory, load_meta(directory)).keep_people(dump(album))
    return arranged.album.people[number].name, len(its)


def without_forgotten(boxes: npt.NDArray[np.int32], forgotten: Iterable[Box]) -> list[int]:
    """Return the places of those boxes of a picture's faces, shape (n, 4), that are none of the forgotten ones."""
    return [place for place, other in enumerate(same_faces(boxes, forgotten)) if other is None]


def leave_out_forgotten(index: Index, writer: Writer, album: Album) -> None:
    """Take the faces out of an index that an album says are forgotten, from the writer's next commit on."""
    sha256s = index.files().sha256s
    for row in [row for row, sha256 in enumerate(sha256s) if sha256 in album.forgotten]:
        faces = index.faces_of(row)
        _leave(row, faces, without_forgotten(faces.boxes, album.forgotten[sha256s[row]]), writer)


def _without(
    directory: Path, state: Meta, album: Album, vectors: Floats, finder: FacesEntry | None, threshold: float
) -> Album:
    """Take forgotten faces out of the state by one network. Returns the album with what else was taken out."""
    if state.faces is None:
        return album
    whole, index = load_meta(directory), Index(directory, state)
    writer = Writer(directory, state, whole=None if whole.model == state.model else whole)
    sha256s, valid = index.files().sha256s, index.valid
    forgotten = {sha256: list(boxes) for sha256, boxes in album.forgotten.items()}
    for row in np.flatnonzero(~valid | np.array([sha256 in forgotten for sha256 in sha256s], dtype=np.bool_)).tolist():
        faces = index.faces_of(row)
        is_alike: npt.NDArray[np.bool_] = np.zeros(len(faces), dtype=np.bool_)
        if not valid[row] and len(vectors) and state.faces.is_comparable(finder):
            # by the mean of squares of lengths, as distances are of vectors of length 1
            is_alike = np.asarray((1 - faces.vectors @ vectors.T < threshold**2 / 2).any(axis=1))
            boxes = [Box(*box) for box in faces.boxes[is_alike].tolist()]
            forgotten[sha256s[row]] = [*forgotten.get(sha256s[row], ()), *boxes]
        left = [one for one in without_forgotten(faces.boxes, forgotten.get(sha256s[row], ())) if not is_alike[one]]
        _leave(row, faces, left, writer)
    writer.commit()
    return replace(album, forgotten={one: tuple(dict.fromkeys(boxes)) for one, boxes in forgotten.items() if boxes})


def _leave(row: int, faces: FaceRows, left: Sequence[int], writer: Writer) -> None:
    """Leave a row some of its faces, unless these are all."""
    if len(left) < len(faces):
        for name, records in pack([_packed(faces, one) for one in left]).items():
            writer.backfill(_COLUMNS[name], [row], records)


def _packed(faces: FaceRows, face: int) -> Packed:
    return faces.boxes[face], float(faces.scores[face]), int(faces.heights[face]), faces.vectors[face]
