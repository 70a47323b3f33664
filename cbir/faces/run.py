"""Finding faces in many pictures: read ahead, decoded in processes of their own, several under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

from cbir.errors import ImageReadError
from cbir.extract.loader import Key, Loaded
from cbir.extract.looking import look_at
from cbir.faces.face import Face
from cbir.faces.finder import FaceFinder
from cbir.images.source import ImageSource, NamedImage
from cbir.images.views import Size


@dataclass(frozen=True)
class FoundFaces(Generic[Key]):
    """The faces of one picture, whose upright width and height are `size`, or why it could not be read."""

    key: Key
    faces: list[Face]
    size: Size = (0, 0)
    error: ImageReadError | None = None


def find_in_files(
    finder: FaceFinder, files: Iterable[tuple[Key, ImageSource | NamedImage]], *, isolated: bool
) -> Iterator[FoundFaces[Key]]:
    """Find faces in pictures, each given with a key, in order; `isolated` ones are decoded elsewhere."""
    return look_at(finder, files, _finished, isolated=isolated)


def _finished(one: Loaded[Key], finish: Callable[[], list[Face]] | None) -> FoundFaces[Key]:
    return FoundFaces(one.key, [] if finish is None else finish(), one.size, one.error)
