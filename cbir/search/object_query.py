"""Queries for objects: things that pictures are to show, as detectors found them. docs/object-search.md."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from cbir.utils.numbers import finite
from cbir.utils.printable import shortened

# A count, a name, a least score: "2:dog:0.5".
_OBJECT = re.compile(r"(?:([0-9]{1,9}):)?(.*?)(?::([^:]*))?", re.DOTALL)


@dataclass(frozen=True)
class WantedObject:
    """A thing that a picture shows: `count` of it at least, of which each detection has the `least_score`.

    `name` is a class of the index's detector, or a word for what some of them are. Without a `least_score` a search
    for objects orders by scores, and a filter takes what the detector believes. ValueError where nothing is named, or
    numbers are impossible.
    """

    name: str
    count: int = 1
    least_score: float | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("an object needs a name")
        if self.count < 1:
            raise ValueError(f"{shortened(self.name)} is to be there at least once")
        if self.least_score is not None and not 0 <= self.least_score <= 1:
            raise ValueError(f"the least score of {shortened(self.name)} is no number from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> WantedObject:
        """Read what people type: `dog`, `2:dog` for two of them, `dog:0.5`, or `2:dog:0.5`. ValueError."""
        match = _OBJECT.fullmatch(text.strip())
        assert match is not None  # as a name may be anything
        count, name, score = match.groups()
        return cls(name.strip(), 1 if count is None else int(count), None if score is None else _number(score))

    @property
    def text(self) -> str:
        """The same as people type it."""
        count = "" if self.count == 1 else f"{self.count}:"
        return f"{count}{self.name}{'' if self.least_score is None else f':{self.least_score:g}'}"


@dataclass(frozen=True)
class ObjectQuery:
    """A query for pictures that show all of `objects`, and nothing of `without`.

    The score of a match is that of the best detection: of several objects the least of theirs, of `count` of one that
    of the last of these. Where only `without` is named, all pictures that show nothing of it are found. ValueError
    where there is no object at all.
    """

    objects: tuple[WantedObject, ...]
    without: tuple[WantedObject, ...] = ()

    images: ClassVar[tuple[()]] = ()
    like: ClassVar[tuple[()]] = ()
    figures: ClassVar[tuple[str, ...]] = ("score",)

    def __post_init__(self) -> None:
        if not self.objects and not self.without:
            raise ValueError("a query by objects needs one")

    @classmethod
    def from_text(cls, *objects: str, without: Iterable[str] = ()) -> ObjectQuery:
        """Return a query by objects as people type them: see `WantedObject.parse`."""
        return cls(tuple(map(WantedObject.parse, objects)), tuple(map(WantedObject.parse, without)))

    @property
    def name(self) -> str:
        """The objects as one text."""
        unwanted = [f"not {one.text}" for one in self.without]
        return ", ".join([" + ".join(one.text for one in self.objects), *unwanted] if self.objects else unwanted)

    @property
    def spoken(self) -> str:
        """The same."""
        return self.name

    def to_dict(self) -> dict[str, Any]:
        """Return the query's own keys of a result's JSON record."""
        return {"query": self.name, **objects_record(self.objects, self.without)}


def objects_record(objects: Iterable[WantedObject], without: Iterable[WantedObject]) -> dict[str, Any]:
    """Return what JSON records have of objects that were asked for."""
    return {"objects": [one.text for one in objects], "not_objects": [one.text for one in without]}


def _number(text: str) -> float:
    """Return a finite number; not a number where it is none."""
    try:
        return finite(text.strip())
    except ValueError:
        return math.nan
