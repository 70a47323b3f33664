"""Reading ahead: files are read, hashed and decoded in threads while the network computes.

Pillow lets go of Python's lock while it decodes and resizes, and an engine does while it computes, so threads keep
all cores busy.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from cbir.errors import ImageReadError, OwnOutputError
from cbir.images.budget import Share, budgets
from cbir.images.contents import read_bytes
from cbir.images.isolated import Decoders
from cbir.images.pipe import MAX_PIXELS, Wanted
from cbir.images.source import ImageSource, NamedImage, name_of, open_source
from cbir.images.sources.address import Address
from cbir.images.sources.patience import AT_ONCE
from cbir.images.views import AnyView, Arrays, Size, Viewed
from cbir.utils import stopping
from cbir.utils.marks import MADE_BY_CBIR, is_made_by_cbir
from cbir.utils.vectors import Floats
from cbir.utils.workers import Workers, result_of, usable_cores

if TYPE_CHECKING:
    from cbir.index.columns.column import Records

#: Pictures that are read ahead of the network: of a CPU's, and of a GPU's, whose batches are larger.
AHEAD = 128
AHEAD_OF_CUDA = 512

#: The same where views of nearly a megabyte wait with each.
AHEAD_OF_LARGE = 32
_LARGE_BYTES = 500_000

Key = TypeVar("Key")

#: Tells by the SHA-256 of a content what is known of it: None where it is new, else the columns that it lacks.
Known = Callable[[str], "Collection[str] | None"]


@dataclass
class Loaded(Generic[Key]):
    """A file on its way to its result: what is known of it so far.

    `arrays` are its views', by their names, if it was decoded, and `size` is the upright image's own, in pixels.
    `lacking` are the columns that are wanted of it, None where all are, and its feature too.
    """

    key: Key
    sha256: str = ""
    error: ImageReadError | None = None
    lacking: Collection[str] | None = None
    size: Size = (0, 0)
    arrays: dict[str, Arrays] = field(default_factory=dict)
    feature: Floats | None = None
    treatment: Floats | None = None
    records: dict[str, Records] = field(default_factory=dict)

    def lacks(self, columns: Iterable[str]) -> bool:
        """Tell whether it is a decoded image of which one of `columns` is wanted."""
        return self.size != (0, 0) and (self.lacking is None or any(column in self.lacking for column in columns))

    def drop(self) -> None:
        """Have nothing made of it."""
        self.size, self.arrays = (0, 0), {}


class Loader:
    """Reads, hashes and decodes files in threads, in order, only so many of them ahead.

    With `isolated`, files are decoded in processes of their own; with `leave_own`, pictures that cbir made
    (`utils.marks`) are refused. Of contents that lack only some columns, `views_for` tells the views that are needed.
    Within its `with`, for one run of `load`, whose end is that of the processes, unless `decoders` are given.
    """

    def __init__(
        self,
        views: Sequence[AnyView],
        *,
        views_for: Callable[[Collection[str]], Sequence[AnyView]] | None = None,
        isolated: bool = False,
        max_pixels: int = MAX_PIXELS,
        leave_own: bool = False,
        for_cuda: bool = False,
        decoders: Decoders | None = None,
    ) -> None:
        self._wanted = Wanted(tuple(views), max_pixels=max_pixels)
        self._views_for = views_for
        self._wanted_for: dict[Collection[str], Wanted] = {}
        self._leave_own = leave_own
        self._ahead = AHEAD_OF_LARGE if _bytes(views) > _LARGE_BYTES else AHEAD_OF_CUDA if for_cuda else AHEAD
        threads = _threads()
        self._for_contents = budgets()[1]
        self._ends = decoders is None
        self._decoders = decoders or decoders_here()
        self._view = self._decoders.view if isolated else view_safely
        self._pool, self._far = Workers(threads, "decode"), Workers(AT_ONCE, "fetch")

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exception: object) -> None:
        # an interrupted run waits neither for what was read ahead, nor for a decoder or a disk that hangs
        self._pool.stop()
        self._far.stop()
        self._for_contents.close()
        if self._ends:
            self._decoders.close()

    def load(
        self, files: Iterable[tuple[Key, ImageSource | NamedImage]], known: Known
    ) -> Generator[Loaded[Key], None, None]:
        """Load files, each given with a key."""
        ahead: deque[Future[Loaded[Key]]] = deque()
        for key, source in files:
            if stopping.is_over():
                break
            # what is far away is waited for, and not for want of processors
            pool = self._far if isinstance(source, Address) else self._pool
            ahead.append(pool.submit(self._load, key, source, known))
            if len(ahead) >= self._ahead:
                yield from result_of(ahead.popleft())
        while ahead:
            yield from result_of(ahead.popleft())

    def _load(self, key: Key, source: ImageSource | NamedImage, known: Known) -> Loaded[Key]:
        loaded, name = Loaded(key), name_of(source)
        try:
            with Share(self._for_contents) as share:
                content = open_source(source)
                data = content if isinstance(content, bytes) else read_bytes(content, share)
                loaded.sha256 = hashlib.sha256(data).hexdigest()
                loaded.lacking = known(loaded.sha256)
                if loaded.lacking is not None and not loaded.lacking:
                    return loaded
                if self._leave_own and is_made_by_cbir(data):
                    raise OwnOutputError(name, MADE_BY_CBIR)
                viewed = self._view(data, name, self._wanted_of(loaded.lacking))
        except ImageReadError as error:
            loaded.error = error
        except MemoryError:
            loaded.error = ImageReadError(name, "it does not fit into memory", transient=True)
        else:
            loaded.size, loaded.arrays = viewed.size, dict(viewed.arrays)
        return loaded

    def _wanted_of(self, lacking: Collection[str] | None) -> Wanted:
        """Return what is wanted of a content that lacks some columns, or is new."""
        if lacking is None or self._views_for is None:
            return self._wanted
        columns = frozenset(lacking)
        if columns not in self._wanted_for:
            views = tuple(self._views_for(columns))
            self._wanted_for[columns] = Wanted(views, max_pixels=self._wanted.max_pixels)
        return self._wanted_for[columns]


def decoders_here() -> Decoders:
    """Return decoders, not started yet, for all processors that this process may use."""
    return Decoders(_threads(), budgets()[0])


def once(stream: Iterable[Loaded[Key]], remember: int | None) -> Iterator[Loaded[Key]]:
    """Have nothing made of contents that came earlier in `stream`, of which so many, the latest, are remembered."""
    seen: dict[str, None] = {}
    for one in stream:
        if one.arrays and one.sha256 in seen:
            one.drop()
        elif one.arrays:
            seen[one.sha256] = None
            if remember is not None and len(seen) > remember:
                del seen[next(iter(seen))]
        yield one


def view_safely(data: bytes, name: str, wanted: Wanted) -> Viewed:
    """Make views of a picture file's bytes as `safely.view` does."""
    from cbir.images import safely  # which loads all that decodes, and a search of known pictures needs none of it

    return safely.view(data, name, wanted)


def _threads() -> int:
    return max(2, usable_cores())


def _bytes(views: Sequence[AnyView]) -> int:
    """Return the bytes of an image's views at most."""
    layouts = [layout for view in views for layout in view.layouts.values()]
    return sum(np.dtype(layout.dtype).itemsize * math.prod(layout.most) for layout in layouts)
