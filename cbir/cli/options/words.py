"""Words on the command line: the options, and senses that are chosen or listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cbir.cli.options.numbers import Number
from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.utils.numbers import whole
from cbir.utils.printable import shortened

if TYPE_CHECKING:
    from cbir.search.queries import WordQuery
    from cbir.words.vocabulary import Word

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class SenseOption:
    """The value of `--sense`: to `list` senses, or the `number` of one, of the only word or of `word`."""

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


sense_option = click.option(
    "--sense",
    "senses",
    multiple=True,
    callback=sense_options,
    metavar="N|WORD=N|list",
    help="Take a word in its Nth sense only; `list` shows the senses and searches nothing. Repeatable.",
)


def word_options(command: Command) -> Command:
    """`--word`, `--not-word`, `--sense` and `--min-probability`."""
    for option in (
        click.option(
            "--min-probability",
            type=Number(0, 1),
            metavar="P",
            help="With words, only matches with at least this probability (0.5).",
        ),
        sense_option,
        click.option(
            "--not-word",
            "unwanted",
            multiple=True,
            metavar="[WEIGHT:]WORD",
            help="Pictures that do not show this. Repeatable.",
        ),
        click.option(
            "--word",
            "words",
            multiple=True,
            metavar="[WEIGHT:]WORD",
            help="Pictures that show this: a noun in English, perhaps how much it counts beside others. Repeatable.",
        ),
    ):
        command = option(command)
    return command


def find_words(wanted: Sequence[str], unwanted: Sequence[str], senses: Sequence[SenseOption]) -> WordQuery | None:
    """Return the query by words, looked up in the senses that were chosen; None without words.

    WordError where one is unknown; a usage error by `--sense`.
    """
    if not (wanted or unwanted):
        if senses:
            raise click.UsageError("--sense is which meaning of a word: name one with --word.")
        return None
    from cbir.search.queries import WordQuery

    try:
        query = WordQuery.from_text(*wanted, without=unwanted)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="'--word'") from error
    for sense in senses:
        if not sense.list:
            query = _choose(query, sense)
    return query


def _choose(query: WordQuery, sense: SenseOption) -> WordQuery:
    """Return the words, of which one is in one sense only."""
    from cbir.words.wordnet import plain

    words = query.all_words
    if sense.word is None and len({word.name for word in words}) > 1:
        one = words[0].text
        raise click.UsageError(f"There are several words: --sense {one}={sense.number} says which one is meant.")

    def is_meant(word: Word) -> bool:
        return sense.word is None or plain(sense.word) in (word.name, plain(word.text))

    if not any(map(is_meant, words)):
        raise click.UsageError(f"--sense is for {sense.word!r}, which is none of the words.")
    wanted, unwanted = (
        tuple(word.choose(sense.number) if is_meant(word) else word for word in some)
        for some in (query.words, query.without)
    )
    return replace(query, words=wanted, without=unwanted)


def write_senses(query: WordQuery, format_: str) -> None:
    """Write the senses of each word: whether taken, how many of ImageNet's classes they have, words and gloss."""
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
        for word in query.all_words
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
