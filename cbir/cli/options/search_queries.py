"""The options of `cbir search` as they were given, and the queries that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options import values
from cbir.cli.options.common import Weighed
from cbir.cli.options.given import Given
from cbir.cli.options.images import NamedPictures, Stdin
from cbir.cli.options.words import SenseOption

if TYPE_CHECKING:
    from cbir.images.regions import Asked
    from cbir.search.object_query import ObjectQuery, WantedObject
    from cbir.search.queries import AnyQuery, CombinedQuery, PersonQuery, Picture, TextQuery, WordQuery
    from cbir.search.searcher import Searcher
    from cbir.search.text_query import Text


class SearchOptions(Given):
    """The options as typed, by the parameters of the command."""

    images: tuple[Weighed, ...]
    texts: tuple[Text, ...]
    unwanted_texts: tuple[Text, ...]
    words: tuple[str, ...]
    unwanted: tuple[str, ...]
    senses: tuple[SenseOption, ...]
    min_probability: float | None
    objects: tuple[WantedObject, ...]
    not_objects: tuple[WantedObject, ...]
    region: str | None
    segment: int | None
    parts: bool | None
    kind: bool | None
    face: int | None
    person: str | None
    treatment: bool
    index_names: tuple[str, ...]
    count: int
    min_score: values.LeastScore
    folders: tuple[str, ...]
    tags: tuple[str, ...]
    since: date | None
    until: date | None
    no_rerank: bool
    include_self: bool
    together: bool
    shares: tuple[float, ...]
    unlike: tuple[Weighed, ...]
    strength: float | None
    class_name: str | None
    learnt: str | None
    across: tuple[str, ...]
    model: str | None
    files_from: Path | None
    allow_private: bool
    null: bool
    query_index: str | None
    vectors: Path | None
    preview: bool
    opens: bool
    format_: str | None
    explain: bool
    sheet: Path | None
    html: Path | None
    crops: Path | None
    masks: bool
    force: bool
    weights: str | None
    engine: str | None

    @property
    def has_pictures(self) -> bool:
        """True if queries are by pictures, and not by words or objects alone."""
        return bool(self.images) or self.files_from is not None or self.has_features

    @property
    def has_features(self) -> bool:
        """True if queries are by features that are there, and no picture is read for them."""
        return self.query_index is not None or self.vectors is not None

    @property
    def is_beside(self) -> bool:
        """True if there is something to search by beside objects, which then filter."""
        return self.has_pictures or bool(self.texts or self.words or self.unwanted or self.person)


def _objects_alone(options: SearchOptions) -> ObjectQuery | None:
    """Return the query by objects, if they are not beside another one."""
    if options.is_beside or not (options.objects or options.not_objects):
        return None
    from cbir.search.object_query import ObjectQuery

    return ObjectQuery(options.objects, options.not_objects)


class SearchQueries:
    """The queries that were asked for: by pictures, by texts or `words`, by both, or by objects alone."""

    def __init__(self, options: SearchOptions, words: WordQuery | None, region: Asked | None) -> None:
        self._options = options
        self._words = words
        self._region = region
        stdin = Stdin()
        self._named = NamedPictures(
            options.images, options.files_from, stdin, null=options.null, allow_private=options.allow_private
        )
        self._objects = _objects_alone(options)
        is_alone = not options.has_pictures and bool(words or options.texts or self._objects or options.person)
        if not options.has_features and not is_alone and self._named.are_none():
            what = "that matches are to be like" if options.unlike else "to search by"
            raise click.UsageError(
                f"Name a picture {what}, or a list of them with --files-from, or a sentence with --text, "
                "or a word with --word, or an object with --object, or a person with --person."
            )
        self._unlike = tuple(stdin.query(path) for path in options.unlike)
        self._group = tuple(self._named.all()) if options.together else ()
        if options.shares and len(options.shares) != len(self._group):
            raise click.UsageError(f"--shares has {len(options.shares)} numbers for {len(self._group)} pictures.")
        if options.shares and any(picture.weight != 1 for picture in self._group):
            raise click.UsageError("Pictures have weights or shares, and not both: leave --shares out.")

    @property
    def at_least(self) -> int:
        """The least number of pictures, as far as it is known before a list has been read."""
        return self._named.at_least + len(set(self._unlike))

    @property
    def several(self) -> bool | None:
        """True if there are more queries than one; None where only a list's end will tell."""
        if self._options.has_features:
            return True
        return False if self._group or not self._options.has_pictures else self._named.several

    def batches(self, searcher: Searcher) -> Iterator[Iterable[AnyQuery]]:
        """Yield the queries, once: a batch ends where the next picture is not named yet."""
        if not self._options.has_pictures and (alone := self._alone()) is not None:
            yield [alone]
        elif self._group:
            yield [self._worded(self._combined(tuple(map(self._regional, self._group)), group=True))]
        else:
            for batch in self._batches_of_pictures(searcher):
                yield map(self._query, batch)

    def _batches_of_pictures(self, searcher: Searcher) -> Iterable[Iterable[Picture]]:
        if self._options.vectors is not None:
            from cbir.moving.vectorfile import vector_queries

            return [vector_queries(self._options.vectors, searcher.index)]
        if self._options.query_index is None:
            return self._named.batches()
        from cbir.index.open import open_index
        from cbir.search.from_index import indexed_queries

        return [indexed_queries(open_index(self._options.query_index), searcher.backbone)]

    def _query(self, picture: Picture) -> AnyQuery:
        picture = self._regional(picture)
        return self._worded(self._combined((picture,), group=False) if self._unlike else picture)

    def _regional(self, picture: Picture) -> Picture:
        """Return the same picture, or its region, its face or its treatment that was asked for."""
        from cbir.search.queries import FaceQuery, ImageQuery, TreatmentQuery

        options = self._options
        if options.face is not None and isinstance(picture, ImageQuery):
            return FaceQuery(picture.source, picture.name, face=options.face, weight=picture.weight)
        if options.treatment and isinstance(picture, ImageQuery):
            return TreatmentQuery(picture.source, picture.name, weight=picture.weight)
        is_plain = self._region is None and options.parts is None and options.kind is None
        if is_plain or not isinstance(picture, ImageQuery):
            return picture
        return replace(picture, region=self._region, parts=options.parts, kind=options.kind)

    def _combined(self, like: tuple[Picture, ...], *, group: bool) -> CombinedQuery:
        """One query that is `like` pictures, and unlike those that were named so."""
        from cbir.search.queries import STRENGTH, CombinedQuery

        strength = STRENGTH if self._options.strength is None else self._options.strength
        return CombinedQuery(like, self._unlike, self._options.shares, strength, group=group)

    def _alone(self) -> WordQuery | TextQuery | ObjectQuery | PersonQuery | None:
        """Return the query without pictures, if there is one."""
        if self._options.person:
            from cbir.search.queries import PersonQuery

            return PersonQuery(self._options.person)
        if not self._options.texts:
            return self._words or self._objects
        text = self._by_text(None)
        return text if self._words is None else replace(self._words, picture=text)

    def _worded(self, picture: Picture | CombinedQuery) -> AnyQuery:
        """Return the query by a picture, and by texts and words if there are any."""
        has_texts = self._options.texts or self._options.unwanted_texts
        beside = self._by_text(picture) if has_texts else picture
        return beside if self._words is None else replace(self._words, picture=beside)

    def _by_text(self, picture: Picture | CombinedQuery | None) -> TextQuery:
        from cbir.search.queries import TextQuery

        return TextQuery(self._options.texts, self._options.unwanted_texts, picture)
