"""Results of searches: matches, the figures that people are shown of them, and their JSON records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.errors import ImageReadError, RegionError
from cbir.images.sources.address import Location

if TYPE_CHECKING:
    from cbir.detect.detection import Detection
    from cbir.images.regions import Box
    from cbir.search.face_query import MatchedFace
    from cbir.search.queries import AnyQuery
    from cbir.words.tag import Tag

# The field of a match that has a figure, and its digits.
_FIGURES = {"relevance": ("relevance", 2), "score": ("score", 3), "percentile": ("percentile", 2)}
_FIGURES |= dict.fromkeys(("probability", "likeness"), ("probability", 3))


@dataclass(frozen=True)
class Match:
    """A picture that was found.

    `score` is the cosine of its features and the query's: 1 is the same picture. Of a query of several pictures it is
    the mean of the cosines with those that matches are to be like. `percentile` is the share, in percent, of random
    pairs of the index's pictures that are less alike than that; None where the index does not know. `row` is the
    picture's row in the index, by which `tags.tagger.RowTags` tells its tags. Of a search by parts, `box` is where in
    the picture, in its pixels, its most similar window is, and `score` the likeness of that window, 1 at most.

    Of a query with words, `probability` is what the network gives to their being shown, and to the unwanted ones' not
    being shown; with an inexact word (`Word.exact`) it is a likeness from 0 to 1. Of words alone, it is the score too.

    `relevance`, from 0 to 1, falls with the rank: the share of matches with that number that show a thing of the
    query's kind, as far as it could be measured (docs/scores.md); None where it could not.

    `objects` are the detections that were looked for, each with its class, its score and its box in pixels: of an
    object that was asked for, of a word, of the class of a query's region.

    `face` is the face of the person that was looked for, and `box` its place.

    `tags` are None where nobody has looked for them (`SearchResult.with_tags`), or the index knows none. `index` is the
    directory of the index that the picture is of, where several were searched.
    """

    rank: int
    path: Location
    score: float
    percentile: float | None = None
    probability: float | None = None
    row: int = -1
    box: Box | None = None
    tags: Sequence[Tag] | None = None
    relevance: float | None = None
    objects: tuple[Detection, ...] = ()
    index: Path | None = None
    face: MatchedFace | None = None

    @property
    def best_objects(self) -> dict[str, float]:
        """The best score of each class of its objects."""
        best: dict[str, float] = {}
        for one in self.objects:
            best[one.name] = max(one.score, best.get(one.name, 0.0))
        return best

    def to_dict(self) -> dict[str, Any]:
        """Return the match as JSON records have it."""
        record: dict[str, Any] = {
            "rank": self.rank,
            "path": str(self.path),
            "relevance": None if self.relevance is None else round(self.relevance, 4),
            "score": round(self.score, 6),
            "percentile": None if self.percentile is None else round(self.percentile, 2),
        }
        if self.index is not None:
            record["index"] = str(self.index)
        if self.probability is not None:
            record["probability"] = round(self.probability, 6)
        if self.box is not None:
            record["box"] = list(self.box)
        if self.face is not None:
            record["face"] = self.face.to_dict()
        if self.objects:
            record["objects"] = [one.to_dict() for one in self.objects]
        record["tags"] = None if self.tags is None else [tag.to_dict() for tag in self.tags]
        return record

    def shown(self, figure: str) -> str:
        """Return one of the query's `figures` as text for people, empty where the match has none."""
        if figure == "face":
            return "" if self.face is None else self.face.said
        name, digits = _FIGURES[figure]
        value = getattr(self, name)
        return "" if value is None else f"{value:.{digits}f}"


@dataclass(frozen=True)
class SearchResult:
    """Matches of one query, best first, or the error that prevented them.

    `index` is the directory of the index that was searched, `model` the name of its network, `class_weights` that of
    the class by whose weights matches are ordered. `boxes` are where the regions of the query's images are, in the
    order of its `images`, None of whole ones. `learnt` is the notion by which matches are alike, None where it claims
    nothing of the query, or none was asked for. `treatments` are the folders of the images' treatments where the search
    went across these, None of an image in none of them. `notices` are sentences about what this search could not find.
    `total` is how many matches there are, those not asked for among them; None where only looking at all pictures would
    tell. `shown` is the object that the query's region shows, by which pictures that show one come first.
    Where several indexes were searched, `indexes` are their directories.
    """

    query: AnyQuery
    index: Path
    model: str
    matches: list[Match] = field(default_factory=list)
    error: ImageReadError | RegionError | None = None
    boxes: tuple[Box | None, ...] = ()
    class_weights: str | None = None
    learnt: str | None = None
    treatments: tuple[str | None, ...] = ()
    notices: tuple[str, ...] = ()
    total: int | None = None
    shown: Detection | None = None
    indexes: tuple[Path, ...] = ()

    @property
    def figures(self) -> list[str]:
        """The names of the figures that people are shown of each match: those of the query that there are."""
        has_relevance = any(match.relevance is not None for match in self.matches)
        return [name for name in self.query.figures if name != "relevance" or has_relevance]

    def with_tags(self, tags: Callable[[Sequence[int]], Sequence[Sequence[Tag] | None]]) -> SearchResult:
        """Return the same result with the tags of its matches, which `tags` finds for rows of the index."""
        found = tags([match.row for match in self.matches])
        return replace(self, matches=[replace(match, tags=its) for match, its in zip(self.matches, found, strict=True)])

    def to_dict(self) -> dict[str, Any]:
        """Return the result as one JSON record."""
        record = self.query.to_dict()
        if self.class_weights is not None:
            record["class_weights"] = self.class_weights
        if self.learnt is not None:
            record["learnt"] = self.learnt
        if self.treatments:
            record["treatments"] = list(self.treatments)
        record |= self._region()
        if "face" in record and self.boxes and self.boxes[0] is not None:
            record["box"] = list(self.boxes[0])
        if self.shown is not None:
            record["shown"] = self.shown.to_dict()
        record |= {
            "index": list(map(str, self.indexes)) if self.indexes else str(self.index),
            "model": self.model,
            "matches": [match.to_dict() for match in self.matches],
        }
        if self.error is not None:
            record["error"] = str(self.error)
        if self.notices:
            record["notices"] = list(self.notices)
        return record

    def _region(self) -> dict[str, Any]:
        """Return the region of the query's images: the one that all share, or a list."""
        regions = [{} if image.region is None else image.region.to_dict() for image in self.query.like]
        if all(region == regions[0] for region in regions):
            return regions[0] if regions else {}
        return {"regions": regions}
