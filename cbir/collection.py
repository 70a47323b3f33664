"""A collection: an index together with its network, as Python code uses both."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone
from cbir.engines.lazy import LazyEngine
from cbir.extract.extractor import Extractor
from cbir.extract.of_index import backbone_of
from cbir.index.format import load_meta
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.search.queries import AnyQuery, as_query
from cbir.search.results import Match, SearchResult
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.images.source import ImageSource
    from cbir.indexing.report import Report

Rows = npt.NDArray[np.int64]


def open(name: str | Path | None = None, *, engine: str | None = None, weights: str | None = None) -> Collection:
    """Open a collection by its index's name or path; without one, the only index there is.

    `engine` is "auto", "openvino" or "torch", `weights` the file of the network's weights if they have moved. Raises
    IndexNotFoundError, IndexDamagedError, IndexConflictError where `weights` are others.
    """
    return Collection(open_index(name), engine=engine, weights=weights)


class Collection:
    """An index and its network, which is loaded at the first image that is not in the index.

    Any number of threads may share one. It answers from one committed state of the index; `update` and `reload` go on
    to the next.
    """

    def __init__(self, index: Index, *, engine: str | None = None, weights: str | None = None) -> None:
        self.backbone: Backbone = backbone_of(index, weights=weights)
        self._weights = weights
        self._engine = LazyEngine(self.backbone, engine)
        self._extractor = Extractor(self.backbone, engine=self._engine)
        self._updating = threading.Lock()
        self._state = self._open(index)

    def __repr__(self) -> str:
        return f"<Collection {self.name}: {len(self):,} images by {self.backbone.name}>"

    def __len__(self) -> int:
        """Count its images."""
        return len(self._state.index)

    @property
    def index(self) -> Index:
        """The state of the index that answers."""
        return self._state.index

    @property
    def name(self) -> str:
        """The index's name: that of its directory."""
        return self.index.directory.name

    @property
    def root(self) -> Path:
        """The folder whose images are in the index."""
        return self.index.root

    @property
    def dimension(self) -> int:
        """Numbers of a feature."""
        return self.index.dimension

    @property
    def rows(self) -> Rows:
        """The rows of its images in the index, ascending, shape (n,): those of `Match.row`."""
        return self._state.rows

    @property
    def paths(self) -> tuple[Path, ...]:
        """The images' files, in the order of `rows`."""
        return self._state.paths

    def features(self, rows: Sequence[int] | Rows | None = None) -> Floats:
        """Return the features of `rows`, by default of all images in the order of `paths`.

        Float32, shape (n, dimension), each of length 1. Raises IndexDamagedError.
        """
        state = self._state
        return state.index.features(state.rows if rows is None else rows)

    def encode(self, images: Iterable[ImageSource] | ImageSource) -> Floats:
        """Compute the features of images by the collection's network: see `Extractor.encode`."""
        return self._extractor.encode(images)

    def search(self, query: AnyQuery | ImageSource, count: int = 10, **limits: Any) -> list[Match]:
        """Find the `count` images that are most like `query`, best first.

        `query` is an image, or one of the queries of `cbir`; `limits` are as in `Searcher.search`. Raises
        ImageReadError or RegionError where the query cannot be understood, and all that `Searcher.search` raises.
        """
        result = next(self.search_many([query], count, **limits))
        if result.error is not None:
            raise result.error
        return result.matches

    def search_many(
        self, queries: Iterable[AnyQuery | ImageSource], count: int = 10, **limits: Any
    ) -> Iterator[SearchResult]:
        """Search by each of `queries`, in order; what is wrong with one of them is its result's `error`.

        Many queries go through the network in batches, so this is faster than as many calls of `search`.
        """
        return self._state.searcher.search(map(as_query, queries), count=count, **limits)

    def search_vector(self, vector: npt.ArrayLike, count: int = 10, *, rerank: bool = True) -> list[Match]:
        """Find the `count` images whose features are most like `vector`, shape (dimension,), of any length.

        ValueError where it has another shape, is zero, or is not finite.
        """
        feature = np.asarray(vector, dtype=np.float32)
        if feature.shape != (self.dimension,):
            raise ValueError(f"a vector of {self.name} has shape ({self.dimension},), not {feature.shape}")
        if not np.isfinite(feature).all() or not feature.any():
            raise ValueError("the vector has no direction: it is zero, or not finite")
        return self._state.searcher.search_vector(l2_normalize(feature), count, reranked=rerank)

    def update(self, **options: Any) -> Report:
        """Bring the index up to date with its folder, as `cbir index` does, and answer from its new state.

        `options` are those of `index_folder` but for the network's, which is the collection's. Returns what was done;
        raises what `index_folder` raises. Other threads go on searching the old state meanwhile.
        """
        from cbir.indexing.run import index_folder

        with self._updating:
            index, report = index_folder(
                self.root, str(self.index.directory), engine=self._engine, weights=self._weights, **options
            )
            self._state = self._open(index)
        return report

    def reload(self) -> bool:
        """Answer from the newest committed state of the index, if another run has made one; whether it has.

        Raises IndexNotFoundError where the index is gone, and IndexConflictError where another network has made it
        anew.
        """
        with self._updating:
            directory = self.index.directory
            if load_meta(directory) == self.index.meta:
                return False
            index = Index.open(directory)
            self._check_network(index)
            self._state = self._open(index)
            return True

    def _open(self, index: Index) -> _State:
        return _State(index, Searcher(index, engine=self._engine, weights=self._weights))


@dataclass(frozen=True)
class _State:
    """One committed state, and what searches it."""

    index: Index
    searcher: Searcher

    @cached_property
    def rows(self) -> Rows:
        return np.flatnonzero(self.index.valid)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        names = self.index.columns().paths
        return tuple(self.index.root / names[row] for row in self.rows.tolist())
