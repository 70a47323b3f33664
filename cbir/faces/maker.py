"""Records of faces for an index, made of images as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from cbir.engines.lazy import LazyEngine
from cbir.extract.looking import records_of
from cbir.extract.records import Item
from cbir.faces.face import Face
from cbir.faces.finder import FaceFinder, open_finder
from cbir.images.views import View
from cbir.index.columns.column import Records
from cbir.index.columns.faces import FACES, FOUND, VECTORS, pack


class FaceMaker:
    """Makes the records of images' faces with a finder, which is opened anew where this is unpickled.

    `model`, `engine` and `expected` are what the finder was opened with. It computes beside the network of the engine.
    """

    columns = (FOUND.name, FACES.name, VECTORS.name)
    needs_features = False

    def __init__(
        self, finder: FaceFinder, *, model: str | None = None, engine: str | None = None, expected: int = 1
    ) -> None:
        self._finder = finder
        self._opened_with = (model, engine, expected)

    def __reduce__(self) -> tuple[Callable[..., FaceMaker], tuple[str | None, str | None, int]]:
        """Pickle what the finder is opened with."""
        return _opened, self._opened_with

    @property
    def view(self) -> View:
        """The view of an image that the finder takes."""
        return self._finder.view

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Make the faces of each image, some of them under way at a time."""
        return records_of(self._finder, items, _packed)


def _packed(faces: list[Face]) -> Mapping[str, Records]:
    return pack([(face.box, face.score, face.height, face.vector) for face in faces])


def _opened(model: str | None, engine: str | None, expected: int) -> FaceMaker:
    finder = open_finder(model=model, engine=engine, expected=expected)
    return FaceMaker(finder, model=model, engine=engine, expected=expected)
