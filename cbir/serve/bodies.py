"""Requests as they are checked: the models of the OpenAPI document."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cbir.serve.settings import MOST_RESULTS, MOST_UPLOADS

Name = Annotated[str, Field(max_length=4096)]
Word = Annotated[str, Field(max_length=200)]
Sentence = Annotated[str, Field(max_length=2000)]
NotionName = Annotated[str, Field(min_length=1, max_length=64)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]
PersonNumber = Annotated[int, Field(ge=1, le=10**9)]
FaceName = Annotated[str, Field(max_length=120)]
Chosen = Annotated[str, Field(pattern=r"^([0-9a-f]{16,64}|[0-9a-f]{12}-[0-9]{1,15})$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Ref(_Strict):
    """A picture to search by: one of the index, a feature, or a picture of the request; or a part, or a face, of it."""

    picture: Name | None = None
    sha256: Sha256 | None = None
    path: Name | None = None
    vector: Annotated[str, Field(max_length=200_000)] | None = None
    upload: Annotated[int, Field(ge=0, lt=MOST_UPLOADS)] | None = None
    name: Name | None = None
    region: Annotated[str, Field(max_length=200)] | None = None
    segment: Annotated[int, Field(ge=0, le=255)] | None = None
    face: Annotated[int, Field(ge=1, le=1024)] | None = None
    weight: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0

    @model_validator(mode="after")
    def _names_one(self) -> Ref:
        named = [self.picture, self.sha256, self.path, self.vector, self.upload]
        if sum(one is not None for one in named) != 1:
            raise ValueError("a picture is named by one of picture, sha256, path, vector and upload")
        if self.region is not None and self.segment is not None:
            raise ValueError("a picture is searched by a region or by a segment, and not by both")
        if self.vector is not None and {self.region, self.segment, self.face} != {None}:
            raise ValueError("a vector has neither regions nor segments nor faces")
        if self.face is not None and {self.region, self.segment} != {None}:
            raise ValueError("a picture is searched by a face or by a part, and not by both")
        return self


class Filter(_Strict):
    """Limits of results to some pictures."""

    folders: Annotated[list[Name], Field(max_length=100)] = []
    tags: Annotated[list[Word], Field(max_length=100)] = []
    since: date | None = None
    until: date | None = None
    min_score: Annotated[float, Field(ge=-1, le=1)] | None = None
    min_percentile: Annotated[float, Field(ge=0, le=100)] | None = None
    min_probability: Annotated[float, Field(ge=0, le=1)] | None = None


class Search(_Strict):
    """A search by pictures, by judgements of results, by words, or by all of them; without any, all pictures.

    Texts are sentences, for a network that reads text (of another one their nouns are looked for), written as `cbir
    search --text` takes them. Objects are what a detector found, written as `cbir search --object` takes them: alone
    they make the order. A person is one whom the index knows, by a name or a number, and stands beside nothing but
    filters, as does a picture with a face. With `also`, other indexes that are served, it is one ranking over all of
    them.
    """

    like: Annotated[list[Ref], Field(max_length=100)] = []
    more: Annotated[list[Ref], Field(max_length=1000)] = []
    less: Annotated[list[Ref], Field(max_length=1000)] = []
    words: Annotated[list[Word], Field(max_length=20)] = []
    without: Annotated[list[Word], Field(max_length=20)] = []
    text: Sentence | None = None
    texts: Annotated[list[Sentence], Field(max_length=20)] = []
    not_texts: Annotated[list[Sentence], Field(max_length=20)] = []
    objects: Annotated[list[Word], Field(max_length=20)] = []
    not_objects: Annotated[list[Word], Field(max_length=20)] = []
    person: Word | None = None
    class_weights: Word | None = None
    learnt: NotionName | None = None
    also: Annotated[list[Name], Field(max_length=100)] = []
    count: Annotated[int, Field(ge=1, le=MOST_RESULTS)] = 60
    offset: Annotated[int, Field(ge=0, le=MOST_RESULTS)] = 0
    reranked: bool = True
    include_self: bool = False
    tags: bool = True
    filter: Filter = Filter()

    @property
    def all_texts(self) -> list[str]:
        """The sentences that matches are to fit."""
        return [*([] if self.text is None else [self.text]), *self.texts]

    @property
    def asks_objects_alone(self) -> bool:
        """True if objects are asked for, and neither pictures nor words: else objects are a filter."""
        others = self.like or self.more or self.less or self.words or self.without or self.all_texts
        return bool((self.objects or self.not_objects) and not others and self.person is None)

    @model_validator(mode="after")
    def _is_within(self) -> Search:
        if self.count + self.offset > MOST_RESULTS:
            raise ValueError(f"offset and count are at most {MOST_RESULTS:,} together")
        others = self.like or self.more or self.less or self.words or self.without or self.all_texts or self.not_texts
        if self.person is not None and others:
            raise ValueError("a person stands beside nothing but filters")
        if self.also and self.learnt is not None:
            raise ValueError("a notion is of one index: several are asked without")
        return self


class Marks(_Strict):
    """A notion's name, pictures that are alike by it, and others that are unlike them; `add` lets it grow."""

    name: NotionName
    alike: Annotated[list[Ref], Field(max_length=1000)] = []
    unlike: Annotated[list[Ref], Field(max_length=1000)] = []
    add: bool = False


class Said(_Strict):
    """One thing that is said of people, by their numbers, and of faces, as lists of people name them."""

    action: Literal["name", "merge", "add", "split", "not"]
    person: PersonNumber | None = None
    into: PersonNumber | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    faces: Annotated[list[FaceName], Field(max_length=1000)] = []


class Ask(_Strict):
    """A number of pictures that are asked for."""

    count: Annotated[int, Field(ge=1, le=100)] = 20


class Basket(_Strict):
    """Chosen pictures, by id or the beginning of their SHA-256, and what is to be made of them."""

    pictures: Annotated[list[Chosen], Field(min_length=1, max_length=1000)]
    format: Literal["paths", "csv", "json", "sheet", "zip", "links"]


class Login(_Strict):
    """The token that lets in."""

    token: Annotated[str, Field(max_length=1000)]
