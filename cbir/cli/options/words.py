"""Words on the command line: the options, and senses that are chosen or listed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cbir.cli.options.numbers import Number
from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.utils.numbers import whole
from cbir.utils.printable import shortened

if TYPE_CHECKING:
    from cbir.words.vocabulary import Word

Command = TypeVar("Command", bound=Callable[..., Any])

logger = logging.getLogger("cbir")


@dataclass(frozen=True)
class SenseOption:
    """What `--sense` says: to `list` senses, or the `number` of one, of the only word or of `word`."""

    word: str | None = None
    number: int = 0
    list: bool = False


def sense_options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[SenseOption, ...]:
    """`list`, `2` or `crane=2`; a usage error where it is neither."""
    found = []
    for value in values:
        word, equals, number = value.rpartition("=")
        if value.strip().lower() == "list":
            found.append(SenseOption(list=True))
            continue
        try:
            if equals and not word.strip():
                raise ValueError
            found.append(SenseOption(word if equals else None, whole(number.strip())))
        except ValueError:
            raise click.BadParameter(
                f"{shortened(value)} is neither a number such as 2, nor crane=2, nor list."
            ) from None
    return tuple(found)


def word_options(command: Command) -> Command:
    """`--word`, `--not-word`, `--sense` and `--min-probability`."""
    for option in (
        click.option(
            "--min-probability",
            type=Number(0, 1),
            metavar="P",
            help="With words, only matches with at least this probability (0.5).",
        ),
        click.option(
            "--sense",
            "senses",
            multiple=True,
            callback=sense_options,
            metavar="N|WORD=N|list",
            help="Take a word in its Nth sense only; `list` shows the senses and searches nothing. Repeatable.",
        ),
        click.option(
            "--not-word", "unwanted", multiple=True, metavar="WORD", help="Pictures that do not show this. Repeatable."
        ),
        click.option(
            "--word",
            "words",
            multiple=True,
            metavar="WORD",
            help="Pictures that show this: a noun in English. Repeatable.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Words:
    """The words that were asked for, those that matches are to show and those that they are not to."""

    wanted: tuple[Word, ...] = ()
    unwanted: tuple[Word, ...] = ()

    @property
    def all(self) -> tuple[Word, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys(self.wanted + self.unwanted))

    @property
    def remarks(self) -> list[str]:
        """What there is to say about how they were taken."""
        return list(dict.fromkeys(remark for word in self.all for remark in word.remarks()))

    @property
    def are_exact(self) -> bool:
        """Whether what matches have is a probability, and no likeness."""
        return all(word.exact for word in self.all)

    def about(self) -> dict[str, Any]:
        """What a JSON record tells of them."""
        if not self.all:
            return {}
        return {
            "words": [_record(word) for word in self.wanted],
            "not_words": [_record(word) for word in self.unwanted],
            "remarks": self.remarks,
        }


def find_words(wanted: Sequence[str], unwanted: Sequence[str], senses: Sequence[SenseOption]) -> Words:
    """Look words up, in the senses that were chosen. WordError where one is unknown; a usage error by `--sense`."""
    if not (wanted or unwanted):
        if senses:
            raise click.UsageError("--sense is which meaning of a word: name one with --word.")
        return Words()
    from cbir.words.vocabulary import look_up

    words = Words(tuple(map(look_up, wanted)), tuple(map(look_up, unwanted)))
    for sense in senses:
        if not sense.list:
            words = _choose(words, sense)
    return words


def _choose(words: Words, sense: SenseOption) -> Words:
    """The words, of which one is in one sense only."""
    from cbir.words.wordnet import plain

    names = {word.name for word in words.all}
    if sense.word is None and len(names) > 1:
        one = words.all[0].text
        raise click.UsageError(f"There are several words: --sense {one}={sense.number} says which one is meant.")

    def is_meant(word: Word) -> bool:
        return sense.word is None or plain(sense.word) in (word.name, plain(word.text))

    if not any(map(is_meant, words.all)):
        raise click.UsageError(f"--sense is for {sense.word!r}, which is none of the words.")
    wanted, unwanted = (
        tuple(word.choose(sense.number) if is_meant(word) else word for word in some)
        for some in (words.wanted, words.unwanted)
    )
    return Words(wanted, unwanted)


def write_senses(words: Words, format_: str) -> None:
    """What each word may mean: which senses are taken, how many of ImageNet's classes each has, words and gloss."""
    if format_ == "paths":
        raise click.UsageError("Senses have no paths: choose another --format.")
    records = [
        {
            "word": word.text,
            "sense": sense.number,
            "taken": sense in word.used,
            "classes": len(sense.classes),
            "synset": sense.synset,
            "meaning": sense.describe(),
        }
        for word in words.all
        for sense in word.senses
    ]
    if format_ == "json":
        output.write_json(records)
    elif format_ == "jsonl":
        for record in records:
            output.write_json_line(record)
    elif format_ in ("csv", "tsv"):
        rows = [[str(one).lower() if isinstance(one, bool) else one for one in record.values()] for record in records]
        output.write_separated([list(records[0]), *rows], tabs=format_ == "tsv")
    else:
        lines = [
            (
                str(record["word"]),
                str(record["sense"]),
                "yes" if record["taken"] else "no",
                str(record["classes"] or "–"),
                str(record["meaning"]),
            )
            for record in records
        ]
        columns = [
            Column("word", cuts="end", style={"bold": True}),
            Column("sense", right=True),
            Column("taken"),
            Column("classes", right=True),
            Column("meaning", cuts="wrap", least=24),
        ]
        table.write(columns, lines)


def _record(word: Word) -> dict[str, Any]:
    return {"word": word.text, "exact": word.exact, "synsets": [sense.synset for sense in word.used]}
