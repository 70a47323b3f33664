"""Queries by pictures: one, a feature, or several combined. docs/queries.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cbir.images.sources.address import Address, Location, picture_named
from cbir.search.combination import Combination
from cbir.search.weights import check_weight
from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.images.regions import Asked

#: The strength by which a query moves away from what it is to be unlike: docs/method/queries.md has what others give.
STRENGTH = 0.3


@dataclass(frozen=True)
class ImageQuery:
    """A picture to search by: a path, or bytes (of a picture from stdin, say) with a name for them.

    With a `region`, only that part of it counts. With `parts`, pictures are found by theirs, which the index must have;
    None leaves that to the search, which does it for regions where it can. With `kind`, those that show the same kind
    of thing; False is the same thing again, by parts. Only a query by itself can have either. `weight` is how much it
    counts beside other pictures, words and texts. ValueError where that is impossible.
    """

    source: Location | bytes
    name: str
    region: Asked | None = field(default=None, kw_only=True)
    parts: bool | None = field(default=None, kw_only=True)
    kind: bool | None = field(default=None, kw_only=True)
    weight: float = field(default=1.0, kw_only=True)

    figures: ClassVar[tuple[str, ...]] = ("relevance", "score", "percentile")
    spoken: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_weight(self.weight, self.name)

    @classmethod
    def from_path(
        cls,
        path: str | Location,
        *,
        region: str | None = None,
        segment: int | None = None,
        parts: bool | None = None,
        kind: bool | None = None,
        allow_private: bool = False,
        weight: float = 1.0,
    ) -> ImageQuery:
        """Return a query by a file or an address, or by a part of it: a box such as "40,30,80,60", or a segment.

        An address of the web is fetched when the query is searched; on a private network with `allow_private` only.
        ValueError where `region` is no box, or both are given.
        """
        if region is not None and segment is not None:
            raise ValueError("a query is by a region or by a segment, and not by both")
        asked: Asked | None = None
        if region is not None or segment is not None:
            from cbir.images.regions import RegionOption, SegmentOption

            asked = RegionOption.parse(region) if region is not None else SegmentOption(segment or 0)
        place = picture_named(path, allow_private=allow_private)
        name = str(place) if isinstance(place, Address) else str(path)
        return cls(place, name, region=asked, parts=parts, kind=kind, weight=weight)

    @property
    def stands_alone(self) -> bool:
        """True if it cannot be one of several, or beside something else."""
        return bool(self.parts) or self.kind is not None

    @property
    def images(self) -> tuple[ImageQuery, ...]:
        """The image itself."""
        return (self,)

    @property
    def like(self) -> tuple[ImageQuery, ...]:
        """The image itself: matches are to be like it."""
        return (self,)

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        weight = {} if self.weight == 1 else {"weight": self.weight}
        return {"query": self.name} | ({} if self.kind is None else {"kind": self.kind}) | weight

    def combine(self, features: Sequence[Floats]) -> Combination:
        """Return its own feature of those of its images: the only one."""
        return Combination(features[0], features[0])


#: The name that users type.
Query = ImageQuery


@dataclass(frozen=True, eq=False)
class IndexedQuery(ImageQuery):
    """A picture of an index, by what that index knows of it: the picture itself is read for a region alone.

    `source` is where it is, or was; `feature`, shape (dimension,), has length 1.
    """

    source: Location
    sha256: str
    feature: Floats


@dataclass(frozen=True, eq=False)
class VectorQuery:
    """A feature to search by, wherever a picture may stand: `vector`, float32 of shape (dimension,), of any length.

    ValueError where it is zero, or not finite.
    """

    vector: Floats
    name: str = "the vector"
    weight: float = 1.0

    region = parts = kind = None
    stands_alone: ClassVar[bool] = False
    spoken: ClassVar[str] = ""
    figures: ClassVar[tuple[str, ...]] = ("relevance", "score", "percentile")

    def __post_init__(self) -> None:
        if not np.isfinite(self.vector).all() or not self.vector.any():
            raise ValueError("a vector to search by has a direction: it is neither zero nor infinite")
        check_weight(self.weight, self.name)

    @property
    def images(self) -> tuple[VectorQuery, ...]:
        """The vector itself, which stands for an image."""
        return (self,)

    @property
    def like(self) -> tuple[VectorQuery, ...]:
        """The vector itself: matches are to be like it."""
        return (self,)

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        return {"query": self.name}

    def combine(self, features: Sequence[Floats]) -> Combination:
        """Return its own feature of those of its images: the only one."""
        return Combination(features[0], features[0])


#: Whatever may stand for a picture in a query.
Picture = ImageQuery | VectorQuery


def check_not_alone(pictures: Iterable[Picture], besides: str) -> None:
    """Raise ValueError where one of several pictures, or of those beside something else, is to be found by parts."""
    if any(query.stands_alone for query in pictures):
        raise ValueError(f"pictures are found by parts, by the kind, or by a face of one picture, and not {besides}")


class BesidePicture:
    """A query by something else, and perhaps by a `picture` too: the base of their types."""

    picture: Any

    @property
    def images(self) -> tuple[Picture, ...]:
        """All images of its picture; without one, none."""
        return () if self.picture is None else self.picture.images

    @property
    def like(self) -> tuple[Picture, ...]:
        """The images that matches are to be like; without a picture, none."""
        return () if self.picture is None else self.picture.like


@dataclass(frozen=True)
class CombinedQuery:
    """One query by several pictures: what is `like` all of them, and not like the `unlike` ones.

    Each counts by its `weight`; or `shares` says how much each of `like` counts, positive numbers of which only the
    ratios matter. `strength` is how far to move away from `unlike`, 0 being not at all. Results tell the images of a
    `group` as a list, also of one image. ValueError where there is nothing to be like, or numbers are impossible.
    """

    like: tuple[Picture, ...]
    unlike: tuple[Picture, ...] = ()
    shares: tuple[float, ...] = ()
    strength: float = STRENGTH
    group: bool = field(default=True, kw_only=True)

    figures: ClassVar[tuple[str, ...]] = ("relevance", "score", "percentile")
    spoken: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not self.like:
            raise ValueError("a query needs a picture that matches are to be like")
        if self.shares and len(self.shares) != len(self.like):
            raise ValueError(f"{len(self.shares)} shares for {len(self.like)} pictures")
        if self.shares and any(one.weight != 1 for one in self.like):
            raise ValueError("pictures have weights or shares, and not both")
        check_not_alone(self.images, "of several together")
        if not all(math.isfinite(share) and share > 0 for share in self.shares):
            raise ValueError("shares are numbers above 0")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError("a strength is a number from 0 on")

    @property
    def name(self) -> str:
        """The names of the pictures that matches are to be like."""
        return " + ".join(query.name for query in self.like)

    @property
    def weight(self) -> float:
        """The weight beside words and texts: that of one of the pictures that matches are to be like."""
        return mean(one.weight for one in self.like)

    @property
    def images(self) -> tuple[Picture, ...]:
        """All images, those to be like first."""
        return self.like + self.unlike

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        record: dict[str, Any] = {"query": [one.name for one in self.like] if self.group else self.name}
        if self.unlike:
            record["unlike"] = [one.name for one in self.unlike]
        if any(one.weight != 1 for one in self.images):
            record["weights"] = [one.weight for one in self.like]
            record["unlike_weights"] = [one.weight for one in self.unlike]
        return record

    def combine(self, features: Sequence[Floats]) -> Combination:
        """One feature from those of `images`, each of shape (dimension,) and of length 1."""
        like, unlike = features[: len(self.like)], features[len(self.like) :]
        shares = self.shares or [one.weight for one in self.like]
        likeness = np.average(like, axis=0, weights=shares).astype(np.float32)
        direction = l2_normalize(likeness)
        if len(unlike):
            shares = [one.weight for one in self.unlike]
            away = l2_normalize(np.average(unlike, axis=0, weights=shares).astype(np.float32))
            direction = l2_normalize(direction - np.float32(self.strength * mean(shares) / self.weight) * away)
        return Combination(direction, likeness)
