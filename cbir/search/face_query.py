"""Queries for people: by a face in a picture, and by a name that an index knows. docs/person-search.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from cbir.images.sources.address import Address, Location, picture_named
from cbir.search.picture_query import ImageQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cbir.images.regions import Box
    from cbir.search.combination import Combination
    from cbir.utils.vectors import Floats

#: What people are told of a match's face: somebody said so, or grouping put it to the person; nearly as alike as
#: strangers may be.
CONFIRMED, GROUPED, PERHAPS = "confirmed", "grouped", "perhaps"


@dataclass(frozen=True)
class FaceQuery(ImageQuery):
    """A query for pictures with the same person, by a face in a picture: the largest, or that of a `face` number.

    Where the picture's `sha256` is known it is not read if the index has its faces. ValueError where only a part of
    the picture is to count, or it is to have a weight.
    """

    face: int = field(default=1, kw_only=True)
    sha256: str = field(default="", kw_only=True)

    figures: ClassVar[tuple[str, ...]] = ("score", "face")

    def __post_init__(self) -> None:
        if self.face < 1:
            raise ValueError("faces are numbered from 1 on, the largest first")
        if self.region is not None or self.parts or self.kind is not None:
            raise ValueError("a face is looked for in a whole picture, and not by parts or by the kind")
        if self.weight != 1:
            raise ValueError("a query by a face has no weight: there is nothing beside it")

    @classmethod
    def by_face(cls, path: str | Location, face: int = 1, *, allow_private: bool = False) -> FaceQuery:
        """Return a query by a face in a file, or in what an address has, as `ImageQuery.from_path` does."""
        place = picture_named(path, allow_private=allow_private)
        return cls(place, str(place) if isinstance(place, Address) else str(path), face=face)

    @property
    def stands_alone(self) -> bool:
        """True, as faces are compared with faces."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        return {"query": self.name, "face": self.face}

    def combine(self, features: Sequence[Floats]) -> Combination:
        """Raise TypeError: a face has no feature of a picture."""
        raise TypeError("a query by a face is not combined with others")


@dataclass(frozen=True)
class PersonQuery:
    """A query for pictures of a person whom the index knows, by the name or the number that `cbir people` shows.

    ValueError where there is neither.
    """

    who: str

    images: ClassVar[tuple[()]] = ()
    like: ClassVar[tuple[()]] = ()
    figures: ClassVar[tuple[str, ...]] = ("score", "face")

    def __post_init__(self) -> None:
        if not self.who.strip():
            raise ValueError("a person has a name, or a number")

    @property
    def name(self) -> str:
        """The person's name."""
        return self.who

    @property
    def spoken(self) -> str:
        """The same."""
        return self.who

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        return {"query": self.who, "person": self.who}


@dataclass(frozen=True)
class MatchedFace:
    """The face by which a picture was found: its box, its number in the picture from 1 on, and its distance.

    The distance is that of its vector to the query's, or to the nearest other face of the person. `said` is one of
    CONFIRMED, GROUPED and PERHAPS, or empty where it is near enough to say nothing.
    """

    box: Box
    number: int
    distance: float
    said: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON records have it."""
        return {
            "number": self.number,
            "box": list(self.box),
            "distance": round(self.distance, 4),
            "perhaps": self.said == PERHAPS,
            "confirmed": self.said == CONFIRMED,
        }
