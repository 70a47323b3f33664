"""Pictures that something looks at beside the network: a detector, a finder of faces; several are under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from cbir.extract.extractor import nothing_known
from cbir.extract.loader import Key, Loaded, Loader
from cbir.extract.records import Item
from cbir.images.source import ImageSource, NamedImage
from cbir.images.views import Size, View
from cbir.index.columns.column import Records
from cbir.utils.under_way import in_order

# Pictures that are under way, or wait.
_UNDER_WAY = 8

Found = TypeVar("Found", covariant=True)
Result = TypeVar("Result")


class Looker(Protocol[Found]):
    """Looks at the pixels of its view of an image."""

    @property
    def view(self) -> View:
        """The view that it takes."""

    def start(self, pixels: Any, size: Size) -> Callable[[], Found]:
        """Begin with an image of `size`; what is returned waits for what was found."""


def look_at(
    looker: Looker[Found],
    files: Iterable[tuple[Key, ImageSource | NamedImage]],
    finished: Callable[[Loaded[Key], Callable[[], Found] | None], Result],
    *,
    isolated: bool,
) -> Iterator[Result]:
    """Look at pictures, each given with a key, in order: read ahead, `isolated` ones decoded elsewhere.

    `finished` makes the result of a picture and of what waits for what was found, None where it could not be read.
    """
    view = looker.view

    def begun(loader: Loader) -> Iterator[Callable[[], Result]]:
        for one in loader.load(files, nothing_known):
            finish = None if one.error else looker.start(one.arrays.pop(view.name)["pixels"], one.size)
            yield partial(finished, one, finish)

    with Loader([view], isolated=isolated) as loader:
        yield from in_order(begun(loader), _UNDER_WAY)


def records_of(
    looker: Looker[Found], items: Iterable[Item], pack: Callable[[Found], Mapping[str, Records]]
) -> Iterator[Mapping[str, Records]]:
    """Look at the images of a record maker's items, in order, and `pack` what was found; an item without has none."""

    def made(finish: Callable[[], Found] | None) -> Mapping[str, Records]:
        return {} if finish is None else pack(finish())

    begun = (None if item.arrays is None else looker.start(item.arrays["pixels"], item.size) for item in items)
    return in_order((partial(made, finish) for finish in begun), _UNDER_WAY)
