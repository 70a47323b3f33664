"""Record makers: what else is kept of an image than its feature.

Each is a class in a file of its own: `classes.ClassMaker`, `thumbnails.ThumbnailMaker`, `cbir.parts.maker.PartMaker`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cbir.engines.lazy import LazyEngine
from cbir.extract.loader import Key, Loaded
from cbir.images.views import AnyView, Arrays, Size
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    from cbir.index.columns.column import Records


class Item(NamedTuple):
    """An image as a record maker gets it, or something of which no records are wanted, which has its hash alone.

    `size` is the upright image's own, in pixels, `arrays` are those of the maker's view, and `feature`, shape
    (dimension,), is not normalised, where the maker needs it. `records` are those that earlier makers have made of it.
    `treatment`, shape (numbers,), is as of `Engine.treated`, where the maker needs that.
    """

    sha256: str
    size: Size = (0, 0)
    arrays: Arrays | None = None
    feature: Floats | None = None
    records: Mapping[str, Records] = MappingProxyType({})
    treatment: Floats | None = None


class RecordMaker(Protocol):
    """Makes records of images for some columns of an index."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that it fills."""

    @property
    def view(self) -> AnyView | None:
        """The view of an image that it needs, if it needs one."""

    @property
    def needs_features(self) -> bool:
        """True if it needs an image's feature."""

    def run(self, items: Iterable[Item], engine: LazyEngine) -> Iterator[Mapping[str, Records]]:
        """Make the records of each of `items`, in order, by column, of shape (width,).

        An item without arrays and feature has none, nor has an image of which nothing can be made. `engine` is the
        extractor's own.
        """


def needs_treatment(maker: RecordMaker) -> bool:
    """Tell whether a maker needs to know how images were treated (`Engine.treated`): it says so by a word more."""
    return bool(getattr(maker, "needs_treatment", False))


def with_records(
    stream: Iterable[Loaded[Key]], maker: RecordMaker, engine: LazyEngine, *, drop_view: bool
) -> Iterator[Loaded[Key]]:
    """Add what a maker makes to the images of `stream`, in order; with `drop_view`, drop what it was made of."""
    waiting: deque[Loaded[Key]] = deque()

    def items() -> Iterator[Item]:
        for one in stream:
            arrays = None if maker.view is None else one.arrays.get(maker.view.name)
            if drop_view and maker.view is not None:
                one.arrays.pop(maker.view.name, None)
            waiting.append(one)
            if one.lacks(maker.columns):
                feature = one.feature if maker.needs_features else None
                treatment = one.treatment if needs_treatment(maker) else None
                yield Item(one.sha256, one.size, arrays, feature, one.records, treatment)
            else:
                yield Item(one.sha256)

    for made in maker.run(items(), engine):
        one = waiting.popleft()
        one.records.update(made)
        yield one
