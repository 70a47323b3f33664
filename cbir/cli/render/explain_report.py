"""The page of `cbir explain`: both pictures with their lines, the words that both show, the way to the match."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from cbir.explain.explainer import Explanation, Seen
from cbir.explain.record import BY, name_of, short, way_in_words
from cbir.explain.words import WordPlaces
from cbir.images.sources.address import Location, link_to
from cbir.report.card import Card, Group
from cbir.report.page import jpeg_uri, write_page
from cbir.words.vocabulary import Word

if TYPE_CHECKING:
    from cbir.index.store import Index


@dataclass(frozen=True)
class _Shown:
    """One match on the page, or of one picture that may show a word."""

    title: str
    file: Location | None
    drawn: Markup
    width: int
    height: int
    alt: str
    facts: tuple[tuple[str, str], ...]
    words: list[dict[str, Any]] = field(default_factory=list)
    way: Group | None = None


class ExplainPage:
    """The explanations of a run, as they come."""

    def __init__(self, index: Index | None) -> None:
        self._index = index
        self._shown: list[_Shown] = []
        self._query = ""

    def add(self, one: Explanation, rank: int | None, record: dict[str, Any], drawn: Image.Image) -> None:
        """Note a match, and its rank where it was looked for; `record` is what is told of it on stdout."""
        self._query = short(one.query.path, self._index)
        facts = [("score", f"{one.score:.3f}")]
        if by := BY[one.by]:
            facts.append((by, f"{one.likeness:.3f}"))
        place = "" if rank is None else f"{rank}. "
        self._shown.append(
            _Shown(
                f"{place}{short(one.match.path, self._index)}",
                link_to(one.match.path),
                jpeg_uri(drawn),
                drawn.width,
                drawn.height,
                "The query and the match, the brighter the more a place speaks for their likeness; "
                f"{len(record['lines'])} lines join the places that agree most",
                tuple(facts),
                [word for word in record["words"] if word["part"] >= 0.005],
                self._way(one),
            )
        )

    def add_word(self, seen: Seen, word: Word, places: WordPlaces, drawn: Image.Image) -> None:
        """Note a picture that may show a word."""
        self._query = word.text
        self._shown.append(
            _Shown(
                short(seen.path, self._index),
                link_to(seen.path),
                jpeg_uri(drawn),
                drawn.width,
                drawn.height,
                f"The picture, the brighter the more a place speaks for {word.text}",
                (("probability", f"{places.probability:.3f}"), ("evidence", f"{places.evidence:.2f}")),
            )
        )

    def write(self, path: Path, others: Iterable[Path], *, force: bool) -> None:
        """Write the page; CbirError where that cannot be."""
        write_page(
            "explain.html",
            [one.way for one in self._shown if one.way is not None],
            path,
            others=others,
            force=force,
            shown=self._shown,
            query=self._query,
            about="" if self._index is None else f"In {self._index.directory.name}, by {self._index.model['name']}; ",
            when=time.strftime("%Y-%m-%d at %H:%M"),
        )

    def _way(self, one: Explanation) -> Group | None:
        """Return the pictures through which a match was found, those of the strongest way first."""
        index = self._index
        if one.way is None or index is None:
            return None
        cards = [
            _card(step.row, index, ("", f"{step.likeness:.2f}"), number)
            for number, step in enumerate(one.way.steps, start=1)
        ]
        on_it = {step.row for step in one.way.steps}
        near = [neighbour for neighbour in one.way.neighbours if neighbour.row not in on_it]
        cards += [_card(neighbour.row, index, ("share", f"{neighbour.share:.0%}")) for neighbour in near]
        return Group("The way to it", cards, notes=[way_in_words(one.way.direct, one.way.share, len(one.way.steps))])


def _card(row: int, index: Index, figure: tuple[str, str], rank: int | None = None) -> Card:
    name = name_of(row, index)
    return Card(name, index.root / name, rank, [figure])
