"""What is searched by: a picture, several that make one query together, or words. docs/queries.md and docs/words.md."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.images.regions import Asked
    from cbir.words.vocabulary import Word

#: How far a query moves away from what it is to be unlike: docs/method/queries.md has what others give.
STRENGTH = 0.3


@dataclass(frozen=True)
class Query:
    """A picture to search by: a path, or bytes (of a picture from stdin, say) with a name for them.

    With a `region`, only that part of it counts. With `parts`, pictures are found by theirs, which the index must have;
    None leaves that to the search, which does it for regions where it can. Only a query by itself can have it.
    """

    source: Path | bytes
    name: str
    region: Asked | None = field(default=None, kw_only=True)
    parts: bool | None = field(default=None, kw_only=True)

    @classmethod
    def from_path(
        cls, path: str | Path, *, region: str | None = None, segment: int | None = None, parts: bool | None = None
    ) -> Query:
        """A query by a file, or by a part of it: a box such as "40,30,80,60", or its segment of that number.

        ValueError where `region` is no box, or both are given.
        """
        if region is not None and segment is not None:
            raise ValueError("a query is by a region or by a segment, and not by both")
        asked: Asked | None = None
        if region is not None or segment is not None:
            from cbir.images.regions import RegionOption, SegmentOption

            asked = RegionOption.parse(region) if region is not None else SegmentOption(segment or 0)
        return cls(Path(path), os.fspath(path), region=asked, parts=parts)


@dataclass(frozen=True, eq=False)
class RowQuery(Query):
    """A picture of an index, by what that index knows of it: the picture itself is not read.

    `source` is where it is, or was; `feature`, shape (dimension,), has length 1.
    """

    source: Path
    sha256: str
    feature: Floats


@dataclass(frozen=True)
class CombinedQuery:
    """One query by several pictures: what is `like` all of them, and not like the `unlike` ones.

    `shares` says how much each of `like` counts, positive numbers of which only the ratios matter; without them all
    count the same. `strength` is how far to move away from `unlike`, 0 being not at all. ValueError where there is
    nothing to be like, or numbers are impossible.
    """

    like: tuple[Query, ...]
    unlike: tuple[Query, ...] = ()
    shares: tuple[float, ...] = ()
    strength: float = STRENGTH

    def __post_init__(self) -> None:
        if not self.like:
            raise ValueError("a query needs a picture that matches are to be like")
        if self.shares and len(self.shares) != len(self.like):
            raise ValueError(f"{len(self.shares)} shares for {len(self.like)} pictures")
        if any(query.parts for query in self.pictures):
            raise ValueError("pictures are found by parts of one picture, and not of several together")
        if not all(math.isfinite(share) and share > 0 for share in self.shares):
            raise ValueError("shares are numbers above 0")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError("a strength is a number from 0 on")

    @property
    def name(self) -> str:
        """The names of the pictures that matches are to be like."""
        return " + ".join(query.name for query in self.like)

    @property
    def pictures(self) -> tuple[Query, ...]:
        """All pictures, those to be like first."""
        return self.like + self.unlike

    def combine(self, features: Sequence[Floats]) -> Combination:
        """One feature from those of `pictures`, each of shape (dimension,) and of length 1."""
        like, unlike = features[: len(self.like)], features[len(self.like) :]
        likeness = np.average(like, axis=0, weights=self.shares or None).astype(np.float32)
        direction = l2_normalize(likeness)
        if len(unlike):
            direction = l2_normalize(
                direction - np.float32(self.strength) * l2_normalize(np.mean(unlike, axis=0, dtype=np.float32))
            )
        return Combination(direction, likeness)


@dataclass(frozen=True)
class WordQuery:
    """What shows all of `words` and nothing of `without`, and is like `picture`, if there is one.

    ValueError where there is no word at all.
    """

    words: tuple[Word, ...]
    without: tuple[Word, ...] = ()
    picture: Query | CombinedQuery | None = None

    def __post_init__(self) -> None:
        if not self.words and not self.without:
            raise ValueError("a query by words needs a word")
        if isinstance(self.picture, Query) and self.picture.parts:
            raise ValueError("pictures are found by parts of one picture, and not by words too")

    @classmethod
    def from_text(
        cls, *words: str, without: Iterable[str] = (), picture: Query | CombinedQuery | None = None
    ) -> WordQuery:
        """A query by words as people type them. WordError where WordNet does not know one."""
        from cbir.words.vocabulary import look_up

        return cls(tuple(map(look_up, words)), tuple(map(look_up, without)), picture)

    @property
    def name(self) -> str:
        """The picture's name; without one, the words."""
        if self.picture is not None:
            return self.picture.name
        unwanted = [f"not {word.text}" for word in self.without]
        return ", ".join([" + ".join(word.text for word in self.words), *unwanted] if self.words else unwanted)


AnyQuery = Query | CombinedQuery | WordQuery


def pictures_of(query: AnyQuery) -> tuple[Query, ...]:
    """All pictures of a query; of words alone none."""
    if isinstance(query, WordQuery):
        return () if query.picture is None else pictures_of(query.picture)
    return query.pictures if isinstance(query, CombinedQuery) else (query,)


@dataclass(frozen=True)
class Combination:
    """Several pictures' features as one.

    Rows are ranked by `direction`, shape (dimension,), of length 1. The dot product of a row and `likeness`, of the
    same shape, is the row's score: the mean of its cosines with the pictures that it is to be like, by their shares.
    """

    direction: Floats
    likeness: Floats
