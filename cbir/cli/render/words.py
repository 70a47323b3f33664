"""The output of `cbir words`: nouns near words, and how many pictures show each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column

if TYPE_CHECKING:
    from cbir.words.near_nouns import NearNoun
    from cbir.words.vocabulary import Word

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

#: The keys of a noun in records, and the columns of CSV after that of the word.
COLUMNS = ("noun", "likeness", "relation", "pictures", "synset", "sense", "meaning")


class CountedNoun(NamedTuple):
    """A noun near a word, and how many pictures show it; None where nobody knows."""

    noun: NearNoun
    pictures: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the noun as JSON records have it."""
        noun = self.noun
        about = (noun.text, round(noun.likeness, 4), noun.relation, self.pictures)
        return dict(zip(COLUMNS, (*about, noun.sense.synset, noun.sense.number, noun.meaning), strict=True))


class Found(NamedTuple):
    """The nouns near a word in WordNet, and those near by a text encoder; None where there is none."""

    word: Word
    nouns: Sequence[CountedNoun]
    by_text: Sequence[CountedNoun] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON records have them."""
        record = {**self.word.to_dict(), "nouns": [noun.to_dict() for noun in self.nouns]}
        return record if self.by_text is None else {**record, "by_text": [noun.to_dict() for noun in self.by_text]}


def write(found: Sequence[Found], format_: str, *, with_pictures: bool) -> None:
    """Write the nouns near each word; a table has a column of pictures where any are counted."""
    if format_ == "table":
        for one in found:
            several = len(found) > 1 or one.by_text is not None
            _write_table(one.word.text if several else None, one.nouns, with_pictures=with_pictures)
            if one.by_text is not None:
                _write_table(f"{one.word.text}, by its network's texts", one.by_text, with_pictures=with_pictures)
    elif format_ in ("csv", "tsv"):
        rows = [
            [one.word.text, *noun.to_dict().values(), by]
            for one in found
            for by, nouns in (("wordnet", one.nouns), ("text", one.by_text or ()))
            for noun in nouns
        ]
        output.write_separated([("word", *COLUMNS, "by"), *rows], tabs=format_ == "tsv")
    elif format_ == "json":
        output.write_json([one.to_dict() for one in found] if len(found) > 1 else found[0].to_dict())
    else:
        for one in found:
            output.write_json_line(one.to_dict())


def _write_table(heading: str | None, nouns: Sequence[CountedNoun], *, with_pictures: bool) -> None:
    if heading is not None:
        output.say(f"{heading}:")
    columns = [
        Column("noun", cuts="end", style={"bold": True}),
        Column("likeness", right=True),
        Column("relation", optional=1),
        *([Column("pictures", right=True)] if with_pictures else []),
        Column("meaning", cuts="end", least=24, optional=2),
    ]
    rows = [
        (
            one.noun.text,
            f"{one.noun.likeness:.3f}",
            one.noun.relation,
            *(["–" if one.pictures is None else f"{one.pictures:,}"] if with_pictures else []),
            one.noun.meaning,
        )
        for one in nouns
    ]
    table.write(columns, rows)
    if heading is not None:
        output.say()
