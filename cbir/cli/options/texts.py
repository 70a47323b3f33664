"""Sentences on the command line: `--text` and `--not-text`, for `cbir search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cbir.cli.options.parsed import Parsed

if TYPE_CHECKING:
    from cbir.search.text_query import Text

Command = TypeVar("Command", bound=Callable[..., Any])

TEXTS = ("texts", "unwanted_texts")


def _parse(words: str) -> Text:
    from cbir.search.text_query import Text

    return Text.parse(words)


_TEXT = Parsed("text", _parse)


def text_options(command: Command) -> Command:
    """`--text` and `--not-text`, as the parameters of `TEXTS`."""
    for option in (
        click.option(
            "--not-text",
            "unwanted_texts",
            multiple=True,
            type=_TEXT,
            metavar="[WEIGHT:]TEXT",
            help="Move away from what these words say. Repeatable.",
        ),
        click.option(
            "--text",
            "texts",
            multiple=True,
            type=_TEXT,
            metavar="[WEIGHT:]TEXT",
            help="Pictures that fit these words, a sentence for one; a number before them says how much they count "
            "beside others. Repeatable.",
        ),
    ):
        command = option(command)
    return command
