"""The people of an index: its faces and its album read, brought up to date, and changed under its lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cbir.errors import IndexDamagedError, reason_of
from cbir.images.sources.address import root_of
from cbir.index.format import load_meta
from cbir.index.lock import exclusive
from cbir.index.rights import Rights
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.people.album import Album, dump, load
from cbir.people.arrange import Arranged, arrange, of_album
from cbir.people.faces import Faces
from cbir.utils.printable import printable

#: Changes what is known of the people of an index, and returns the album that is to be kept.
Change = Callable[[Arranged, Index], Album]


def read_album(index: Index) -> Album:
    """Read what an index has of people, which may be nothing. IndexDamagedError where it is unsound."""
    content = index.people_content()
    if content is None:
        return Album()
    try:
        return load(content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise IndexDamagedError(
            f"What {index.directory} has of people is damaged ({printable(reason_of(error))}). Put its file back from "
            f"a copy, or take faces and people out: `cbir index --index {index.directory} --no-faces`."
        ) from error


def read_faces(index: Index) -> Faces:
    """Read the faces of an index, those of one content once. CbirError where it has none, or they are unsound."""
    found = index.faces()
    sha256s = index.files().sha256s
    first_row: dict[str, int] = {}
    for row in dict.fromkeys(found.rows.tolist()):
        first_row.setdefault(sha256s[row], row)
    rows = np.array(list(first_row.values()), dtype=np.int64)
    picture_of = np.full(index.rows, -1, dtype=np.int64)
    picture_of[rows] = np.arange(len(rows))
    pictures = picture_of[found.rows]
    its = np.flatnonzero(pictures >= 0)
    return Faces(
        list(first_row),
        rows,
        pictures[its],
        found.numbers[its].astype(np.int64),
        found.boxes[its],
        found.scores[its],
        found.heights[its].astype(np.int64),
        found.vectors[its],
    )


def people_of(index: Index, *, threshold: float) -> Arranged:
    """Return the people of an index, faces that came since the last time among them; nothing is written."""
    faces, album = read_faces(index), read_album(index)
    if album.arranged == faces.state:
        return of_album(faces, album)
    return arrange(faces, album, threshold=threshold)


def is_up_to_date(index: Index, arranged: Arranged) -> bool:
    """Tell whether an index keeps what was found of its people."""
    return read_album(index).arranged == arranged.album.arranged


def change_people(directory: Path, change: Change | None = None, *, threshold: float, wait: float = 0) -> Index:
    """Bring the people of an index up to date, then `change` them, and commit that. Returns the index as it is then.

    Waits so many seconds for another writer. Raises IndexLockedError, IndexWriteError, IndexDamagedError, and
    CbirError where the index has no faces, or `change` cannot be.
    """
    with exclusive(directory, wait, Rights.like(root_of(load_meta(directory).root), directory)):
        meta = load_meta(directory)
        index = Index(directory, meta)
        arranged = people_of(index, threshold=threshold)
        content = dump(arranged.album if change is None else change(arranged, index))
        if content != index.people_content():
            Writer(directory, meta).keep_people(content)
    return Index.open(directory)
