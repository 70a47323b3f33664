"""A collection: an index together with its network, as Python code uses both."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbir.engines.lazy import LazyEngine
from cbir.errors import IndexConflictError
from cbir.extract.extractor import Extractor
from cbir.extract.of_index import backbone_of
from cbir.images.sources.address import Location
from cbir.index.format import load_state
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.search.queries import AnyQuery, CombinedQuery, Picture, TextQuery, VectorQuery, as_query
from cbir.search.results import Match, SearchResult
from cbir.search.searcher import Searcher
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.backbones.backbone import Backbone
    from cbir.images.source import ImageSource, NamedImage
    from cbir.indexing.report import Report
    from cbir.learn.ask import Asked
    from cbir.learn.run import Learnt
    from cbir.notions.store import NotionInfo


def open(
    name: str | Path | None = None,
    *,
    engine: str | None = None,
    weights: str | None = None,
    model: str | None = None,
) -> Collection:
    """Open a collection by its index's name or path; without one, the only index there is.

    `engine` is "auto", "openvino" or "torch", `weights` the file of the network's weights, if they have moved, `model`
    one of the index's networks, by default its own. Raises IndexNotFoundError, IndexDamagedError, and
    IndexConflictError where `weights` are others or there is no such network.
    """
    return Collection(open_index(name, model), engine=engine, weights=weights, model=model)


class Collection:
    """An index and its network, which is loaded at the first image that is not in the index.

    Any number of threads may share one. It answers from one committed state of the index; `update` and `reload` go on
    to a newer one. `engine`, `weights` and `model` are as in `open`.
    """

    def __init__(
        self, index: Index, *, engine: str | None = None, weights: str | None = None, model: str | None = None
    ) -> None:
        self.backbone: Backbone = backbone_of(index, weights=weights)
        self._weights, self._model = weights, None if model is None else str(index.model["name"])
        self._engine_name = engine
        self._engine = LazyEngine(self.backbone, engine)
        self._extractor = Extractor(self.backbone, engine=self._engine)
        self._going_on = threading.Lock()
        self._state = State(index, self._searcher_of(index))

    def __repr__(self) -> str:
        return f"<Collection {self.name}: {len(self):,} images by {self.backbone.name}>"

    def __len__(self) -> int:
        """Count its images."""
        return len(self.index)

    @property
    def engine(self) -> LazyEngine:
        """The engine of its network, opened when it is first needed."""
        return self._engine

    @property
    def state(self) -> State:
        """The state that answers, for whoever has several things to ask of the same."""
        return self._state

    @property
    def index(self) -> Index:
        """The state of the index that answers."""
        return self._state.index

    @property
    def name(self) -> str:
        """The index's name: that of its directory."""
        return self.index.directory.name

    @property
    def root(self) -> Location:
        """The folder, or other source, whose images are in the index."""
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
    def paths(self) -> tuple[Location, ...]:
        """The images' files, in the order of `rows`."""
        return self._state.paths

    def features(self, rows: Sequence[int] | Rows | None = None) -> Floats:
        """Return the features of `rows`, by default of all images in the order of `paths`.

        Float32, shape (n, dimension), each of length 1. Raises IndexDamagedError; IndexError where there is no such
        row.
        """
        state = self._state
        wanted = state.rows if rows is None else np.asarray(rows, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < state.index.rows):
            raise IndexError(f"{self.name} has rows 0 to {state.index.rows - 1}")
        return state.index.features(wanted)

    def encode(self, images: Iterable[ImageSource | NamedImage], *, normalize: bool = True) -> Floats:
        """Compute the features of several images by the collection's network: see `Extractor.encode`."""
        return self._extractor.encode(images, normalize=normalize)

    def search(
        self,
        query: AnyQuery | ImageSource | NamedImage | None = None,
        count: int = 10,
        *,
        text: str | Iterable[str] = (),
        not_text: str | Iterable[str] = (),
        **options: Any,
    ) -> list[Match]:
        """Find the `count` images that are most like `query`, best first.

        `query` is an image, or one of the queries of `cbir`; with `text` and `not_text`, sentences as of
        `cbir search --text`, matches fit these, too, and `query` is an image or nothing. `options` are those of
        `Searcher.search`. Raises ImageReadError or RegionError where the query cannot be read, and all that
        `Searcher.search` raises; TypeError where there is no query.
        """
        result = next(self.search_many([_asked(query, text, not_text)], count, **options))
        if result.error is not None:
            raise result.error
        return result.matches

    def search_many(
        self, queries: Iterable[AnyQuery | ImageSource | NamedImage], count: int = 10, **options: Any
    ) -> Iterator[SearchResult]:
        """Search by each of `queries`, in order; one that cannot be read has its error in its result.

        They go through the network in batches: this is faster than as many calls of `search`.
        """
        return self._state.searcher.search(queries, count=count, **options)

    def search_vector(self, vector: npt.ArrayLike, count: int = 10, **options: Any) -> list[Match]:
        """Find the `count` images whose features are most like `vector`, shape (dimension,), of any length.

        ValueError where it has another shape, is zero, or is not finite.
        """
        return self.search(VectorQuery(np.asarray(vector, dtype=np.float32)), count, **options)

    def learn(
        self,
        name: str,
        *,
        folders: Sequence[str | Path] = (),
        labels: Mapping[str | Path, str] | str | Path | None = None,
        pairs: Iterable[tuple[str | Path, str | Path, bool]] | str | Path | None = None,
        parts: bool = False,
        add: bool = False,
        anew: bool = False,
        wait: float = 0,
    ) -> Learnt:
        """Learn a notion from folders, labels or pairs, as `cbir learn` does; without any, anew from its own labels.

        `labels` are classes by path, `pairs` two paths and whether they are the same; both may be files. With `parts`
        what is labelled are pictures that are cut out of others: a notion of parts, as a file of boxes makes one. The
        collection then answers from the new state. A notion that is refused has None for its `notion`. Raises CbirError
        where nothing can be learnt, or there is a notion of that name and neither `add` nor `anew`.
        """
        from cbir.learn.lists import GivenLabel, GivenPair, read_labels, read_pairs
        from cbir.learn.run import Learner

        if sum(map(bool, (folders, labels, pairs))) > 1:
            raise TypeError("learn from folders, labels or pairs: one of them at a time")
        self.reload()  # what is added is added to the labels of today
        learner = Learner(self.index, engine=self._engine, wait=wait, weights=self._weights)
        if folders:
            learnt = learner.from_folders(name, list(map(Path, folders)), parts=parts, add=add, anew=anew)
        elif labels:
            given = (
                [GivenLabel(str(path), its) for path, its in labels.items()]
                if isinstance(labels, Mapping)
                else read_labels(Path(labels))
            )
            learnt = learner.from_labels(name, given, parts=parts, add=add, anew=anew)
        elif pairs:
            found = (
                read_pairs(Path(pairs))
                if isinstance(pairs, (str, Path))
                else [GivenPair(is_same, str(one), str(other)) for one, other, is_same in pairs]
            )
            learnt = learner.from_pairs(name, found, add=add, anew=anew)
        else:
            learnt = learner.again(name)
        self.reload()
        return learnt

    def notions(self) -> list[NotionInfo]:
        """Describe the notions that the index has, but for damaged ones."""
        from cbir.notions.store import notions_of

        return notions_of(self.index)[0]

    def ask(self, name: str, count: int = 20) -> list[Asked]:
        """Choose at most `count` pictures whose labels would teach a notion most, the first one most.

        Before there is a notion of that name they are pictures that many others are like. None of them has a label yet.
        """
        from cbir.learn.ask import ask_for

        self.reload()  # labels may have come since
        return ask_for(self.index, name, count)

    def update(self, **options: Any) -> Report:
        """Bring the index up to date with its folder, as `cbir index` does, and answer from its new state.

        `options` are those of `index_folder`, but for the network's, which is the collection's. Returns what was done;
        raises what `index_folder` raises. Other threads search the old state until it is done.
        """
        from cbir.indexing.run import index_folder

        with self._going_on:
            directory = f"{self.index.directory.absolute()}/"
            weights = None if self._model else self._weights
            given = {"engine": self._engine_name, "weights": weights, **options}
            index, report = index_folder(self.root, directory, **given)
            if self._model is not None:
                index = Index.open(self.index.directory, model=self._model)
            self._state = State(index, self._searcher_of(index))
        return report

    def reload(self) -> bool:
        """Answer from the newest state of the index, and tell whether another run has made one.

        Raises IndexNotFoundError where the index is gone, IndexConflictError where another network made it anew.
        """
        with self._going_on:
            newer = load_state(self.index.directory, self._model)
            if newer == self.index.meta:
                return False
            if self.index.take_notions(newer):
                return True
            index = Index.open(self.index.directory, model=self._model)
            self._state = State(index, self._searcher_of(index))
        return True

    def _searcher_of(self, index: Index) -> Searcher:
        # by the collection's engine, so that the file of its weights is not read and hashed once more
        searcher = Searcher(index, engine=self._engine)
        own, its = self.backbone, searcher.backbone
        if not its.matches(own):
            raise IndexConflictError(
                f"The index {index.directory} is by {its.label} now, not by {own.label}: open it again."
            )
        return searcher


def _asked(
    query: AnyQuery | ImageSource | NamedImage | None, text: str | Iterable[str], not_text: str | Iterable[str]
) -> AnyQuery | ImageSource | NamedImage:
    texts, unwanted = ((one,) if isinstance(one, str) else tuple(one) for one in (text, not_text))
    if texts or unwanted:
        picture = None if query is None else as_query(query)
        if picture is not None and not isinstance(picture, (Picture, CombinedQuery)):
            raise TypeError(f"texts are beside pictures, and not beside a {type(picture).__name__}")
        return TextQuery.from_text(*texts, without=unwanted, picture=picture)
    if query is None:
        raise TypeError("a search needs a query, or a text")
    return query


@dataclass(frozen=True)
class State:
    """One committed state of a collection, and what searches it: it stays the same while others follow it."""

    index: Index
    searcher: Searcher

    @cached_property
    def rows(self) -> Rows:
        """The rows of its images, ascending, shape (n,)."""
        return np.flatnonzero(self.index.valid)

    @cached_property
    def paths(self) -> tuple[Location, ...]:
        """The images' files, in the order of `rows`."""
        return tuple(self.index.paths())
