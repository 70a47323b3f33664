"""Faces by names that users type: the path of their picture, and their number there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from cbir.errors import CbirError
from cbir.images.sources.address import Location
from cbir.index.store import Index
from cbir.people.faces import Faces
from cbir.utils.printable import printable


class FaceNames:
    """The names of an index's faces, such as `2024/party.jpg#2`: the second largest face of that picture."""

    def __init__(self, index: Index, faces: Faces) -> None:
        self._index, self._faces = index, faces

    def name(self, face: int) -> str:
        """Return the name of a face, its path as the index has it."""
        return f"{self._paths[int(self._faces.pictures[face])]}#{self.number(face)}"

    def number(self, face: int) -> int:
        """Return the number of a face in its picture, from 1 on."""
        return int(self._faces.places[face]) + 1

    def path(self, face: int) -> Location:
        """Return the file of a face's picture."""
        picture = int(self._faces.pictures[face])
        root: Location = self._index.root_of(int(self._faces.rows[picture]))
        return root / self._paths[picture]

    def find(self, text: str) -> int:
        """Find a face by its name, its path as the index has it, or as it is seen from here.

        The number may be left out where the picture has one face. CbirError where there is no such face.
        """
        path, mark, number = text.rpartition("#")
        # a file may be called so
        whole = self._picture(text)
        if whole is not None:
            its = self._faces.of_picture(whole)
            if len(its) == 1:
                return its.start
            raise CbirError(f"{printable(text)} has {len(its)} faces: `#1` to `#{len(its)}` behind it says which.")
        picture = self._picture(path) if mark and number.isdecimal() else None
        if picture is None:
            raise CbirError(
                f"There is no face {printable(text)}: a face is named by the path of a picture of "
                f"{self._index.directory.name} and its number there, such as some.jpg#1, as `cbir people list` does."
            )
        its = self._faces.of_picture(picture)
        if not 1 <= int(number) <= len(its):
            count = "1 face" if len(its) == 1 else f"{len(its)} faces"
            raise CbirError(f"{printable(path)} has {count}, and none with the number {number}.")
        return its.start + int(number) - 1

    def _picture(self, path: str) -> int | None:
        """Return the number of the picture that a path means, None where it has no face."""
        return next((self._pictures[one] for one in self._spellings(path) if one in self._pictures), None)

    def _spellings(self, path: str) -> Iterator[str]:
        yield path
        if isinstance(self._index.root, Path):
            roots = os.path.abspath(self._index.root), os.path.realpath(self._index.root)
            for one, root in zip((os.path.abspath(path), os.path.realpath(path)), roots, strict=True):
                try:
                    yield os.path.relpath(one, root).replace(os.sep, "/")
                except ValueError:  # another drive of Windows
                    continue
        else:
            yield path.removeprefix(f"{self._index.meta.root}/")

    @cached_property
    def _paths(self) -> list[str]:
        """The path of each picture: of its first file, where several have its content."""
        return [record.path for record in self._index.files_of(self._faces.rows.tolist())]

    @cached_property
    def _pictures(self) -> dict[str, int]:
        """The pictures by the paths of all files that have their content."""
        files, numbers = self._index.files(), {sha256: one for one, sha256 in enumerate(self._faces.sha256s)}
        rows = np.flatnonzero(self._index.valid).tolist()
        return {files.paths[row]: numbers[files.sha256s[row]] for row in rows if files.sha256s[row] in numbers}
