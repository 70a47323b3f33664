"""Queries for pictures that were treated like another one: the same filter, sketch or tone. docs/treatment.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cbir.search.picture_query import ImageQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cbir.search.combination import Combination
    from cbir.utils.vectors import Floats


@dataclass(frozen=True)
class TreatmentQuery(ImageQuery):
    """A query for pictures that were treated like a picture, whatever they show.

    ValueError where only a part of the picture is to count, or it is to have a weight.
    """

    figures: ClassVar[tuple[str, ...]] = ("score", "percentile")

    def __post_init__(self) -> None:
        if self.region is not None or self.parts or self.kind is not None:
            raise ValueError("a treatment is that of a whole picture, and not of parts or of a kind")
        if self.weight != 1:
            raise ValueError("a query by a treatment has no weight: there is nothing beside it")

    @property
    def stands_alone(self) -> bool:
        """True, as treatments are compared with treatments."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        return {"query": self.name, "treatment": True}

    def combine(self, features: Sequence[Floats]) -> Combination:
        """Raise TypeError: a treatment is no feature of a picture."""
        raise TypeError("a query by a treatment is not combined with others")
