"""Objects on the command line: `--object` and `--not-object`, and cut-outs of them, for `cbir search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cbir.cli.options.common import FilePath
from cbir.cli.options.parsed import Parsed

if TYPE_CHECKING:
    from cbir.search.object_query import WantedObject

Command = TypeVar("Command", bound=Callable[..., Any])

OBJECTS = ("objects", "not_objects")


def _parse(words: str) -> WantedObject:
    from cbir.search.object_query import WantedObject

    return WantedObject.parse(words)


_OBJECT = Parsed("object", _parse)


def object_options(command: Command) -> Command:
    """`--object` and `--not-object`, as the parameters of `OBJECTS`."""
    for option in (
        click.option(
            "--not-object",
            "not_objects",
            multiple=True,
            type=_OBJECT,
            metavar="[N:]NAME[:SCORE]",
            help="Pictures in which no such thing, or fewer than N, were found. Repeatable.",
        ),
        click.option(
            "--object",
            "objects",
            multiple=True,
            type=_OBJECT,
            metavar="[N:]NAME[:SCORE]",
            help="Pictures in which such a thing was found (see `cbir index --objects`), or N of them, perhaps with a "
            "least score: by a class's name, or a word for it. Repeatable.",
        ),
    ):
        command = option(command)
    return command


def crop_options(command: Command) -> Command:
    """`--crops` and `--masks`."""
    for option in (
        click.option(
            "--masks",
            is_flag=True,
            help="With --crops, transparent where the thing is not, approximately; 0.3 seconds a picture.",
        ),
        click.option(
            "--crops", type=FilePath(), metavar="FOLDER", help="Write the objects of matches, cut out, to this folder."
        ),
    ):
        command = option(command)
    return command
