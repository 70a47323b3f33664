"""Queries by sentences, for networks that read text. docs/text.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cbir.search.combination import Combination, balanced
from cbir.search.picture_query import STRENGTH, BesidePicture, CombinedQuery, Picture, check_not_alone
from cbir.search.weights import check_weight, typed_with, weighted
from cbir.utils.vectors import Floats


@dataclass(frozen=True)
class Text:
    """A sentence in anybody's words, and how much it counts beside others, where a picture counts 1.

    ValueError where it is empty, or the weight is no positive number.
    """

    sentence: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.sentence.strip():
            raise ValueError("a query by a text needs one")
        check_weight(self.weight, self.sentence)

    @classmethod
    def parse(cls, typed: str) -> Text:
        """Read what people type: a sentence, or a weight before it, as in `2:golden retriever`. ValueError."""
        weight, sentence = weighted(typed)
        return cls(sentence, weight)

    @property
    def typed(self) -> str:
        """The text as people type it."""
        return typed_with(self.weight, self.sentence)

    def to_dict(self) -> dict[str, Any]:
        """Return the text as JSON records have it."""
        return {"text": self.sentence, "weight": self.weight}


@dataclass(frozen=True)
class TextQuery(BesidePicture):
    """A query for images that fit all of `texts`, none of `without`, and are like `picture`, if there is one.

    It needs an index whose network reads text; of another one the nouns are looked for. ValueError where there is
    nothing that images are to fit.
    """

    texts: tuple[Text, ...]
    without: tuple[Text, ...] = ()
    picture: Picture | CombinedQuery | None = None

    def __post_init__(self) -> None:
        if not self.texts and self.picture is None:
            raise ValueError("a query by a text needs one, or a picture, that matches are to fit")
        check_not_alone(self.images, "by a text too")

    @classmethod
    def from_text(
        cls, *texts: str, without: Iterable[str] = (), picture: Picture | CombinedQuery | None = None
    ) -> TextQuery:
        """Return a query by texts as people type them: see `Text.parse`. ValueError."""
        return cls(tuple(map(Text.parse, texts)), tuple(map(Text.parse, without)), picture)

    @property
    def weight(self) -> float:
        """The weight beside words: each text has one of its own."""
        return 1.0

    @property
    def name(self) -> str:
        """The picture's name; without one, the texts."""
        return self.spoken if self.picture is None else self.picture.name

    @property
    def spoken(self) -> str:
        """The texts as one."""
        wanted = [" + ".join(one.typed for one in self.texts)] if self.texts else []
        return ", ".join([*wanted, *(f"not {one.typed}" for one in self.without)])

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that people are shown of a match."""
        return ("score", "percentile")

    @property
    def sentences(self) -> tuple[str, ...]:
        """All sentences, those that images are to fit first."""
        return tuple(one.sentence for one in self.texts + self.without)

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        about = {"query": self.name} if self.picture is None else self.picture.to_dict()
        texts = {
            "texts": [one.to_dict() for one in self.texts],
            "not_texts": [one.to_dict() for one in self.without],
        }
        return {"query": about.pop("query"), **texts, **about}

    def combine(self, images: Sequence[Floats], texts: Floats, spread: Callable[[Floats], float]) -> Combination:
        """Return one feature of those of `images`, and those of `sentences`, shape (n, dimension), all of length 1.

        `spread` is as of `balanced`.
        """
        like = [(feature, one.weight) for feature, one in zip(texts, self.texts, strict=False)]
        others = zip(texts[len(like) :], self.without, strict=True)
        unlike = [(feature, STRENGTH * one.weight) for feature, one in others]
        picture = None if self.picture is None else self.picture.combine(images)
        return balanced(like, unlike, spread, picture, 1.0 if self.picture is None else self.picture.weight)
