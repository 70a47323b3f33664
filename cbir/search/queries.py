"""Types of queries: one image, several combined, words, a text, judgements. docs/queries.md and docs/words.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.images.sources.address import Address
from cbir.search.combination import Combination, judged
from cbir.search.face_query import FaceQuery as FaceQuery
from cbir.search.face_query import PersonQuery as PersonQuery
from cbir.search.object_query import ObjectQuery
from cbir.search.picture_query import STRENGTH as STRENGTH
from cbir.search.picture_query import BesidePicture, check_not_alone
from cbir.search.picture_query import CombinedQuery as CombinedQuery
from cbir.search.picture_query import ImageQuery as ImageQuery
from cbir.search.picture_query import IndexedQuery as IndexedQuery
from cbir.search.picture_query import Picture as Picture
from cbir.search.picture_query import Query as Query
from cbir.search.picture_query import VectorQuery as VectorQuery
from cbir.search.text_query import Text as Text
from cbir.search.text_query import TextQuery as TextQuery
from cbir.search.treatment_query import TreatmentQuery as TreatmentQuery
from cbir.search.weights import typed_with, weighted
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    from cbir.images.source import ImageSource, NamedImage
    from cbir.words.vocabulary import Word


@dataclass(frozen=True)
class WordQuery(BesidePicture):
    """A query for images that show all of `words`, nothing of `without`, and are like `picture`, if there is one.

    In the place of the picture there may be texts, perhaps with a picture of their own. ValueError where there is no
    word at all.
    """

    words: tuple[Word, ...]
    without: tuple[Word, ...] = ()
    picture: Picture | CombinedQuery | TextQuery | None = None

    def __post_init__(self) -> None:
        if not self.words and not self.without:
            raise ValueError("a query by words needs a word")
        check_not_alone(self.images, "by words too")

    @classmethod
    def from_text(
        cls, *words: str, without: Iterable[str] = (), picture: Picture | CombinedQuery | TextQuery | None = None
    ) -> WordQuery:
        """Return a query by words as people type them, perhaps with weights: `2:dog`.

        WordError where WordNet does not know one; ValueError where a weight is impossible.
        """
        return cls(tuple(map(_word, words)), tuple(map(_word, without)), picture)

    @property
    def name(self) -> str:
        """The picture's name; without one, the words."""
        return self.picture.name if self.images and self.picture is not None else self.spoken

    @property
    def spoken(self) -> str:
        """The words as one text."""
        unwanted = [f"not {typed_with(word.counts, word.text)}" for word in self.without]
        wanted = [" + ".join(typed_with(word.counts, word.text) for word in self.words)] if self.words else []
        texts = [self.picture.spoken] if isinstance(self.picture, TextQuery) else []
        return ", ".join([*texts, *wanted, *unwanted])

    @property
    def alone(self) -> WordQuery:
        """The same words without a picture."""
        return self if self.picture is None else WordQuery(self.words, self.without)

    @property
    def scaled(self) -> WordQuery:
        """The same words without a picture, whose weights are at most 1: only their ratios make the order.

        Evidence by large powers would vanish.
        """
        most = self.most_weight
        words, without = (
            tuple(replace(word, counts=word.counts / most) for word in some) for some in (self.words, self.without)
        )
        return WordQuery(words, without)

    @property
    def most_weight(self) -> float:
        """The largest of all weights."""
        beside = () if self.picture is None else (self.picture.weight,)
        return max(*(word.counts for word in self.words + self.without), *beside, 0.0)

    @property
    def all_words(self) -> tuple[Word, ...]:
        """All words, each once, those to be shown first."""
        return tuple(dict.fromkeys(self.words + self.without))

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that people are shown of a match: of an inexact word, none is a probability."""
        own = "probability" if all(word.exact for word in self.all_words) else "likeness"
        return (own,) if self.picture is None else (*self.picture.figures, own)

    @property
    def remarks(self) -> list[str]:
        """Sentences about how the words were taken, often none."""
        return list(dict.fromkeys(remark for word in self.all_words for remark in word.remarks()))

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        about = {"query": self.name} if self.picture is None else self.picture.to_dict()
        if not self.images:
            about["query"] = self.name
        words = {
            "words": [word.to_dict() for word in self.words],
            "not_words": [word.to_dict() for word in self.without],
            "remarks": self.remarks,
        }
        return {"query": about.pop("query"), **words, **about}


@dataclass(frozen=True)
class NounQuery(WordQuery):
    """A query by the nouns of texts, for an index whose network reads none; `said` is a sentence about that."""

    said: str = field(default="", kw_only=True)

    @property
    def remarks(self) -> list[str]:
        """Sentences about what was looked for, and how the words were taken."""
        return [self.said, *super().remarks]


@dataclass(frozen=True)
class FeedbackQuery:
    """A query with pictures that were judged since it was asked: `more` like these, `less` like those.

    `start` is what was asked: any other query, or None for nothing. By Rocchio's rule the query moves towards the mean
    of `more` and away from that of `less` (`Judgement`). Matches are without those judged `less`; those judged `more`
    are pictures like others, and stay. With nothing asked and nothing judged, a query for all pictures, newest first.
    ValueError where pictures are to be found by parts.
    """

    start: ImageQuery | VectorQuery | CombinedQuery | WordQuery | TextQuery | None = None
    more: tuple[Picture, ...] = ()
    less: tuple[Picture, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.start, FeedbackQuery):
            raise TypeError("judgements are of one query, and not of another one's judgements: join their pictures")
        if isinstance(self.start, ObjectQuery):
            raise TypeError("judgements are not of objects: let a filter ask for these (`RowFilter.objects`)")
        if isinstance(self.start, PersonQuery):
            raise TypeError("judgements are not of people: `cbir people` takes them")
        check_not_alone(self.images, "with judgements too")

    @property
    def name(self) -> str:
        """The name of what was asked; without it, that of the pictures that matches are to be like."""
        if self.start is not None:
            return self.start.name
        return " + ".join(query.name for query in self.more) or "all pictures"

    @property
    def spoken(self) -> str:
        """The words of what was asked, as one text."""
        return "" if self.start is None else self.start.spoken

    @property
    def asked(self) -> tuple[Picture, ...]:
        """The images of what was asked."""
        return () if self.start is None else self.start.images

    @property
    def images(self) -> tuple[Picture, ...]:
        """All images: those of what was asked, then those judged `more`, then those judged `less`."""
        return self.asked + self.more + self.less

    @property
    def like(self) -> tuple[Picture, ...]:
        """The images that matches are to be like."""
        return (() if self.start is None else self.start.like) + self.more

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that people are shown of a match."""
        if isinstance(self.start, WordQuery):
            own = self.start.alone.figures
            return ("score", "percentile", *own) if self.like else own
        if self.start is None:
            return ("relevance", "score", "percentile") if self.images else ()
        return self.start.figures

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record; `query` is null where nothing was asked."""
        about = {"query": None} if self.start is None else self.start.to_dict()
        return about | {"more": [one.name for one in self.more], "less": [one.name for one in self.less]}

    def combine(self, features: Sequence[Floats], asked: Combination | None = None) -> Combination | None:
        """Return one feature of those of `images`, each of shape (dimension,) and of length 1.

        `asked` is the feature of a text, or of words; without it, that of the pictures that were asked by. None where
        there is nothing to be like or unlike.
        """
        own = len(self.asked)
        if own and not isinstance(self.start, (WordQuery, TextQuery, type(None))):
            asked = self.start.combine(features[:own])
        elif asked is None and isinstance(self.start, WordQuery) and self.start.picture is not None:
            assert not isinstance(self.start.picture, TextQuery)  # whose feature is given
            asked = self.start.picture.combine(features[:own])
        return judged(asked, features[own : own + len(self.more)], features[own + len(self.more) :])


def _word(typed: str) -> Word:
    from cbir.words.vocabulary import look_up

    weight, text = weighted(typed)
    return replace(look_up(text), counts=weight)


AnyQuery = ImageQuery | CombinedQuery | WordQuery | TextQuery | VectorQuery | ObjectQuery | PersonQuery | FeedbackQuery


def as_query(query: AnyQuery | ImageSource | NamedImage) -> AnyQuery:
    """Return the query itself; one by the image where an image is given. Raises ImageReadError of a stream."""
    if isinstance(query, (str, Path, Address)):
        return ImageQuery.from_path(query)
    if isinstance(query, AnyQuery):
        return query
    from cbir.images.source import name_of, open_source  # which loads Pillow, and names of files need none of it

    return ImageQuery(open_source(query), name_of(query))
