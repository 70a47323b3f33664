"""Faces of the pictures of queries: from the index if it knows them, else found now."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from cbir.errors import RegionError
from cbir.images.contents import read_bytes
from cbir.images.regions import Box
from cbir.images.source import NamedImage
from cbir.index.facerows import finder_of
from cbir.index.store import Index
from cbir.search.face_query import FaceQuery
from cbir.utils.printable import printable
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    from cbir.faces.face import Face
    from cbir.faces.finder import FaceFinder


class QueryFaces:
    """Finds the faces of queries for one index; the finder is opened at the first picture whose faces it lacks.

    `engine` is what runs its networks, as in `cbir.faces.finder.open_finder`.
    """

    def __init__(self, index: Index, engine: str | None) -> None:
        self._index, self._engine = index, engine
        self._opening = threading.Lock()
        self._finder: FaceFinder | None = None

    def of(self, query: FaceQuery) -> tuple[list[int], Floats, Box]:
        """Return the rows of the index that have the query's picture, and the vector and the box of its face.

        Raises ImageReadError; RegionError where the picture has no such face; what opening the finder raises.
        """
        data = b""
        sha256 = query.sha256
        rows = self._index.find(sha256) if sha256 else []
        if not rows:
            data = query.source if isinstance(query.source, bytes) else read_bytes(query.source)
            sha256 = hashlib.sha256(data).hexdigest()
            rows = self._index.find(sha256)
        for row in rows:
            its = self._index.faces_of(row)
            if its.known[0]:
                place = _checked(query, len(its))
                return rows, its.vectors[place], Box(*its.boxes[place].tolist())
        data = data or (query.source if isinstance(query.source, bytes) else read_bytes(query.source))
        faces = self._found(data, query.name)
        place = _checked(query, len(faces))
        return rows, faces[place].vector, Box(*faces[place].box)

    def _found(self, data: bytes, name: str) -> list[Face]:
        """Find the faces in a picture, the largest first. ImageReadError where it cannot be read."""
        from cbir.faces.run import find_in_files

        with self._opening:
            if self._finder is None:
                from cbir.faces.remembered import open_for_index

                entry = finder_of(self._index.directory, self._index.meta.faces)
                name_of_index = self._index.directory.name
                self._finder, _ = open_for_index(name_of_index, entry, None, engine=self._engine)
        (result,) = find_in_files(self._finder, [(name, NamedImage(data, name))], isolated=False)
        if result.error is not None:
            raise result.error
        return result.faces


def _checked(query: FaceQuery, count: int) -> int:
    """Return the place of the face that was asked for. RegionError where there are not as many."""
    name = printable(query.name)
    if not count:
        raise RegionError(f"No face was found in {name}: search without --face for pictures like it.")
    if query.face > count:
        are = "is 1 face" if count == 1 else f"are {count} faces"
        raise RegionError(f"There {are} in {name}, and none with the number {query.face}: `cbir faces` shows them.")
    return query.face - 1
