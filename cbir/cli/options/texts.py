"""Sentences on the command line: `--text` and `--not-text`, for `cbir search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cbir.search.text_query import Text

Command = TypeVar("Command", bound=Callable[..., Any])

TEXTS = ("texts", "unwanted_texts")


class _Text(click.ParamType):  # type: ignore[type-arg]  # which it takes from Click 8.4 on only
    """A sentence, perhaps a weight in front of it."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Text:
        from cbir.search.text_query import Text

        if isinstance(value, Text):
            return value
        try:
            return Text.parse(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def text_options(command: Command) -> Command:
    """`--text` and `--not-text`, as the parameters of `TEXTS`."""
    for option in (
        click.option(
            "--not-text",
            "unwanted_texts",
            multiple=True,
            type=_Text(),
            metavar="[WEIGHT:]TEXT",
            help="Move away from what these words say. Repeatable.",
        ),
        click.option(
            "--text",
            "texts",
            multiple=True,
            type=_Text(),
            metavar="[WEIGHT:]TEXT",
            help="Pictures that fit these words, a sentence for one; a number before them says how much they count "
            "beside others. Repeatable.",
        ),
    ):
        command = option(command)
    return command
