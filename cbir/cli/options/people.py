"""People on the command line: `--face` and `--person`, for `cbir search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cbir.cli.options.rules import Rule
from cbir.cli.options.texts import TEXTS

Command = TypeVar("Command", bound=Callable[..., Any])

# What else may be searched by.
_OTHERS: tuple[str, ...] = (*TEXTS, "words", "unwanted", "region", "segment", "parts=True", "kind", "together")
_OTHERS += ("unlike", "class_name", "learnt", "across", "query_index", "vectors")

PEOPLE_RULES = (
    Rule(
        ("face",),
        "--face is a face in a picture: name the picture, or a person with --person.",
        lacking=("images", "files_from"),
    ),
    Rule(
        ("face",),
        "--face compares faces with faces: with filters such as --folder, --since and --object, and nothing else to "
        "search by.",
        beside=_OTHERS,
    ),
    Rule(
        ("person",),
        "--person is a query by itself: with filters such as --folder, --since and --object, and nothing else to "
        "search by.",
        beside=("images", "files_from", "face", *_OTHERS),
    ),
)


class _FaceNumber(click.ParamType):  # type: ignore[type-arg]  # which it takes from Click 8.4 on only
    """The number of a face in a picture, the largest being 1."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= 1024:
            self.fail(
                f"{text!r} is no number of a face from 1 on: name the picture before --face, or write --face=1.",
                param,
                ctx,
            )
        return int(text)


def people_options(command: Command) -> Command:
    """`--face` and `--person`, as the parameters `face` and `person`."""
    for option in (
        click.option(
            "--person",
            metavar="NAME",
            help="Pictures of this person, by a name or a number of `cbir people`: confirmed ones first.",
        ),
        click.option(
            "--face",
            is_flag=False,
            flag_value="1",
            type=_FaceNumber(),
            metavar="[N]",
            help="Pictures with the same person as IMAGE, by its largest face, or the N-th (see `cbir index --faces`).",
        ),
    ):
        command = option(command)
    return command
