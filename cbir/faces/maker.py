"""Records of faces for an index, made of images as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from cbir.engines.lazy import LazyEngine
from cbir.extract.records import Item
from cbir.faces.face import Face
from cbir.faces.finder import FaceFinder, open_finder
from cbir.faces.run import UNDER_WAY
from cbir.images.views import View
from cbir.index.columns.column import Records
from cbir.index.columns.faces import FACES, FOUND, VECTORS, pack
from cbir.utils.under_way import in_order


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
        begun = (
            None if item.arrays is None else self._finder.start(item.arrays["pixels"], item.size) for item in items
        )
        return in_order((partial(_made, finish) for finish in begun), UNDER_WAY)


def _made(finish: Callable[[], list[Face]] | None) -> Mapping[str, Records]:
    if finish is None:
        return {}
    return pack([(face.box, face.score, face.height, face.vector) for face in finish()])


def _opened(model: str | None, engine: str | None, expected: int) -> FaceMaker:
    finder = open_finder(model=model, engine=engine, expected=expected)
    return FaceMaker(finder, model=model, engine=engine, expected=expected)
