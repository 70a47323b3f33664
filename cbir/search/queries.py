"""Types of queries: one image, several combined, words, a text, judgements. docs/queries.md and docs/words.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cbir.images.sources.address import Address, Location, picture_named
from cbir.search.combination import Combination, judged
from cbir.search.object_query import ObjectQuery
from cbir.utils.vectors import Floats, l2_normalize

if TYPE_CHECKING:
    from cbir.images.regions import Asked
    from cbir.images.source import ImageSource, NamedImage
    from cbir.words.vocabulary import Word

#: The strength by which a query moves away from what it is to be unlike: docs/method/queries.md has what others give.
STRENGTH = 0.3


@dataclass(frozen=True)
class ImageQuery:
    """A picture to search by: a path, or bytes (of a picture from stdin, say) with a name for them.

    With a `region`, only that part of it counts. With `parts`, pictures are found by theirs, which the index must have;
    None leaves that to the search, which does it for regions where it can. With `kind`, those that show the same kind
    of thing; False is the same thing again, by parts. Only a query by itself can have either.
    """

    source: Location | bytes
    name: str
    region: Asked | None = field(default=None, kw_only=True)
    parts: bool | None = field(default=None, kw_only=True)
    kind: bool | None = field(default=None, kw_only=True)

    figures: ClassVar[tuple[str, ...]] = ("relevance", "score", "percentile")
    spoken: ClassVar[str] = ""

    @classmethod
    def from_path(
        cls,
        path: str | Location,
        *,
        region: str | None = None,
        segment: int | None = None,
        parts: bool | None = None,
        kind: bool | None = None,
    ) -> ImageQuery:
        """Return a query by a file or an address, or by a part of it: a box such as "40,30,80,60", or a segment.

        ValueError where `region` is no box, or both are given.
        """
        if region is not None and segment is not None:
            raise ValueError("a query is by a region or by a segment, and not by both")
        asked: Asked | None = None
        if region is not None or segment is not None:
            from cbir.images.regions import RegionOption, SegmentOption

            asked = RegionOption.parse(region) if region is not None else SegmentOption(segment or 0)
        return cls(picture_named(path), str(path), region=asked, parts=parts, kind=kind)

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
        return {"query": self.name} | ({} if self.kind is None else {"kind": self.kind})

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

    region = parts = kind = None
    spoken: ClassVar[str] = ""
    figures: ClassVar[tuple[str, ...]] = ("relevance", "score", "percentile")

    def __post_init__(self) -> None:
        if not np.isfinite(self.vector).all() or not self.vector.any():
            raise ValueError("a vector to search by has a direction: it is neither zero nor infinite")

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


def _check_not_alone(pictures: Iterable[Picture], besides: str) -> None:
    if any(query.parts or query.kind is not None for query in pictures):
        raise ValueError(f"pictures are found by parts, or by the kind, of one picture, and not {besides}")


@dataclass(frozen=True)
class CombinedQuery:
    """One query by several pictures: what is `like` all of them, and not like the `unlike` ones.

    `shares` says how much each of `like` counts, positive numbers of which only the ratios matter; without them all
    count the same. `strength` is how far to move away from `unlike`, 0 being not at all. Results tell the images of a
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
        _check_not_alone(self.images, "of several together")
        if not all(math.isfinite(share) and share > 0 for share in self.shares):
            raise ValueError("shares are numbers above 0")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError("a strength is a number from 0 on")

    @property
    def name(self) -> str:
        """The names of the pictures that matches are to be like."""
        return " + ".join(query.name for query in self.like)

    @property
    def images(self) -> tuple[Picture, ...]:
        """All images, those to be like first."""
        return self.like + self.unlike

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        record: dict[str, Any] = {"query": [one.name for one in self.like] if self.group else self.name}
        if self.unlike:
            record["unlike"] = [one.name for one in self.unlike]
        return record

    def combine(self, features: Sequence[Floats]) -> Combination:
        """One feature from those of `images`, each of shape (dimension,) and of length 1."""
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
    """A query for images that show all of `words`, nothing of `without`, and are like `picture`, if there is one.

    ValueError where there is no word at all.
    """

    words: tuple[Word, ...]
    without: tuple[Word, ...] = ()
    picture: Picture | CombinedQuery | None = None

    def __post_init__(self) -> None:
        if not self.words and not self.without:
            raise ValueError("a query by words needs a word")
        _check_not_alone(self.images, "by words too")

    @classmethod
    def from_text(
        cls, *words: str, without: Iterable[str] = (), picture: Picture | CombinedQuery | None = None
    ) -> WordQuery:
        """Return a query by words as people type them. WordError where WordNet does not know one."""
        from cbir.words.vocabulary import look_up

        return cls(tuple(map(look_up, words)), tuple(map(look_up, without)), picture)

    @property
    def name(self) -> str:
        """The picture's name; without one, the words."""
        return self.spoken if self.picture is None else self.picture.name

    @property
    def spoken(self) -> str:
        """The words as one text."""
        unwanted = [f"not {word.text}" for word in self.without]
        return ", ".join([" + ".join(word.text for word in self.words), *unwanted] if self.words else unwanted)

    @property
    def alone(self) -> WordQuery:
        """The same words without a picture."""
        return self if self.picture is None else WordQuery(self.words, self.without)

    @property
    def images(self) -> tuple[Picture, ...]:
        """All images of its picture; of words alone none."""
        return () if self.picture is None else self.picture.images

    @property
    def like(self) -> tuple[Picture, ...]:
        """The images that matches are to be like; of words alone none."""
        return () if self.picture is None else self.picture.like

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
        words = {
            "words": [word.to_dict() for word in self.words],
            "not_words": [word.to_dict() for word in self.without],
            "remarks": self.remarks,
        }
        return {"query": about.pop("query"), **words, **about}


@dataclass(frozen=True)
class TextQuery:
    """A text in anybody's words, for an index whose network has an encoder of texts. ValueError where it is empty."""

    text: str

    images: ClassVar[tuple[ImageQuery, ...]] = ()
    like: ClassVar[tuple[ImageQuery, ...]] = ()
    spoken: ClassVar[str] = ""
    # percentiles are of pairs of images, with which cosines of a text and an image cannot be compared
    figures: ClassVar[tuple[str, ...]] = ("score",)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("a query by a text needs one")

    @property
    def name(self) -> str:
        """The text."""
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        return {"query": self.text, "text": self.text}


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
        _check_not_alone(self.images, "with judgements too")

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
        elif isinstance(self.start, WordQuery) and self.start.picture is not None:
            asked = self.start.picture.combine(features[:own])
        return judged(asked, features[own : own + len(self.more)], features[own + len(self.more) :])


AnyQuery = ImageQuery | CombinedQuery | WordQuery | TextQuery | VectorQuery | ObjectQuery | FeedbackQuery


def as_query(query: AnyQuery | ImageSource | NamedImage) -> AnyQuery:
    """Return the query itself; one by the image where an image is given. Raises ImageReadError of a stream."""
    if isinstance(query, (str, Path, Address)):
        return ImageQuery.from_path(query)
    if isinstance(query, AnyQuery):
        return query
    from cbir.images.source import name_of, open_source  # which loads Pillow, and names of files need none of it

    return ImageQuery(open_source(query), name_of(query))
