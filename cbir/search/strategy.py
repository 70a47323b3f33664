"""The base of all strategies: what a search asks for, and the matches that are made of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError
from cbir.index.quantiles import CosineQuantiles
from cbir.notions.notion import PICTURES
from cbir.notions.rows import ROWS
from cbir.search.filters import Among
from cbir.search.queries import AnyQuery, VectorQuery
from cbir.search.resolve import QueryPicture
from cbir.search.results import Match
from cbir.search.searched import AlikeBy, SearchedIndex
from cbir.utils.vectors import Floats, Rows

if TYPE_CHECKING:
    from cbir.search.object_query import WantedObject
    from cbir.search.objects import Bonus, Sought

Of = TypeVar("Of", bound=AnyQuery)


class SearchLimits(NamedTuple):
    """Least numbers that matches must have: a cosine, a percentile, and with words a probability."""

    min_score: float | None = None
    min_percentile: float | None = None
    min_probability: float | None = None

    def keep(self, scores: Floats, quantiles: CosineQuantiles | None) -> npt.NDArray[np.bool_]:
        """Return which of some cosines, shape (n,), are large enough. Without quantiles, none has a percentile."""
        keep = np.ones(len(scores), dtype=np.bool_)
        if self.min_score is not None:
            keep &= scores >= self.min_score
        if self.min_percentile is not None:
            known = np.zeros(len(scores)) if quantiles is None else quantiles.percentiles(scores)
            keep &= known >= self.min_percentile
        return keep


NO_LIMITS = SearchLimits()


class Found(NamedTuple):
    """Matches that were asked for, and of how many they are; None where only looking at all pictures would tell."""

    matches: list[Match]
    total: int | None = None


@dataclass(frozen=True)
class SearchRequest:
    """The matches wanted of each query, and their order: see `Searcher.search`.

    `objects` are those of its filter, `notices` sentences about what this leaves out.
    """

    count: int = 10
    reranked: bool = True
    include_self: bool = False
    limits: SearchLimits = NO_LIMITS
    class_name: str | None = None
    among: Among | None = None
    offset: int = 0
    learnt: str | None = None
    across: tuple[str, ...] = ()
    objects: tuple[WantedObject, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The number of matches to be found, those before the offset included."""
        return self.offset + self.count

    @property
    def by(self) -> AlikeBy:
        """The likeness that is meant."""
        return AlikeBy(self.class_name, self.learnt, self.across)

    @property
    def has_least_cosine(self) -> bool:
        """True if matches need a cosine, or a percentile of it."""
        return self.limits.min_score is not None or self.limits.min_percentile is not None


class Strategy(ABC, Generic[Of]):
    """Finds the matches of one type of query."""

    #: The rows of notions that may order them.
    notions_of: ClassVar[tuple[str, ...]] = ()

    #: Whether the means of treatments can be taken off what they compare.
    goes_across = False

    def __init__(self, searched: SearchedIndex) -> None:
        self.searched = searched

    def check(self, query: Of, request: SearchRequest) -> None:
        """Raise what this index, or this request, cannot answer: CbirError for users, ValueError for programmers."""
        if request.learnt is not None and (of := self.searched.notion(request.learnt).of) not in self.notions_of:
            others = "words, texts and parts" if of == PICTURES else "words, texts, and what is of whole pictures"
            raise CbirError(
                f"A notion of {ROWS[of].what} (--learnt) orders {ROWS[of].orders}: leave it out, or {others}."
            )
        if request.learnt is not None and request.class_name is not None:
            raise CbirError("Pictures are ordered by a notion (--learnt) or by --class-weights, and not by both.")
        if request.across and not self.goes_across:
            raise CbirError(
                "Across treatments (--across) whole pictures are searched for by whole pictures: leave words, texts, "
                "parts, kinds, faces and people out, or --across."
            )
        if request.across and (request.learnt, request.class_name) != (None, None):
            raise CbirError(
                "Pictures are ordered across treatments (--across), or by a notion or --class-weights, and not by both."
            )
        wanted = (self.searched.index.dimension,)
        for one in query.images:
            if isinstance(one, VectorQuery) and one.vector.shape != wanted:
                raise ValueError(f"a vector to search by has shape {wanted} here, and not {one.vector.shape}")

    def gated(self, query: Of, images: Sequence[QueryPicture], request: SearchRequest) -> SearchRequest:
        """Return the same request, without its notion where that claims nothing of the query."""
        return replace(request, learnt=None)

    def notices(self) -> tuple[str, ...]:
        """Return sentences about what no search of this kind finds in the index."""
        return ()

    def sought(self, query: Of, images: Sequence[QueryPicture], request: SearchRequest) -> list[Sought]:
        """Return the objects that matches are shown with, as far as the detector believes them.

        They are of the class that a region shows, and those of the filter.
        """
        classes = {one.shown.name for one in images if one.shown is not None}
        if not classes and not request.objects:
            return []
        from cbir.search.objects import Sought, seek

        found = self.searched.objects()
        its = [Sought.of_class(name, found) for name in classes]
        return its + [seek(one, found, found.least_score) for one in request.objects]

    def _bonus(self, images: Sequence[QueryPicture], *, for_both: bool = False) -> Bonus | None:
        """Return the points of rows for showing what a region shows; None where that is not known.

        Fewer where the same thing again is to be found too, `for_both`.
        """
        shown = images[0].shown
        if shown is None:
            return None
        from cbir.search.objects import WEIGHT, WEIGHT_FOR_BOTH, Bonus

        return Bonus.of(shown, self.searched.objects(), WEIGHT_FOR_BOTH if for_both else WEIGHT)

    def _counts(
        self, own: list[int], request: SearchRequest, rows: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.bool_]:
        """Return a mask of the rows that a search is among, `own` left out, shape (rows,).

        They are of those with sound features, or of `rows`, another mask.
        """
        counts = (self.searched.index.comparable if rows is None else rows).copy()
        counts[own] = False
        return counts if request.among is None else counts & request.among.mask

    @abstractmethod
    def find(self, query: Of, images: Sequence[QueryPicture], own: list[int], request: SearchRequest) -> Found:
        """Find the matches, best first; `images` are the query's, in order, rows `own` are left out."""

    def _features(self, images: Sequence[QueryPicture]) -> list[Floats]:
        return self.searched.features(images)

    def _keep(
        self, scores: Floats, request: SearchRequest, quantiles: CosineQuantiles | None = None
    ) -> npt.NDArray[np.bool_]:
        return request.limits.keep(scores, quantiles or self.searched.quantiles(request.by))

    def _matches(
        self,
        rows: Rows,
        scores: Floats,
        request: SearchRequest,
        *,
        total: int | None = None,
        alike: bool = True,
        quantiles: CosineQuantiles | None = None,
        **more: Sequence[Any] | None,
    ) -> Found:
        """Make the matches that were asked for of `rows`, which begin with the first of `total`.

        They have percentiles if scores are of two images, or by `quantiles`, and `more` fields, of which each has a
        value a row.
        """
        index, asked = self.searched.index, slice(request.offset, request.last)
        wanted, its_scores = rows[asked].tolist(), scores[asked]
        quantiles = quantiles or (self.searched.quantiles(request.by) if alike else None)
        columns: dict[str, Sequence[Any]] = {
            "path": [index.root / file.path for file in index.files_of(wanted)],
            # float16 rows make a picture's cosine with itself miss 1 by a ten-thousandth, either way
            "score": [min(score, 1.0) for score in its_scores.tolist()],
            "percentile": [None] * len(wanted) if quantiles is None else quantiles.percentiles(its_scores).tolist(),
            "row": wanted,
            "index": list(map(index.directory_of, wanted)),
            **{name: values[asked] for name, values in more.items() if values is not None},
        }
        ranked = enumerate(zip(*columns.values(), strict=True), start=request.offset + 1)
        return Found([Match(rank, **dict(zip(columns, values, strict=True))) for rank, values in ranked], total)
