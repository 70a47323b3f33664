"""`--region` and `--segment`: a part of a query's picture, for `cbir search` and `cbir locate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.rules import Rule

if TYPE_CHECKING:
    from cbir.images.regions import Asked

Command = TypeVar("Command", bound=Callable[..., Any])

REGION_RULES = (
    Rule(
        ("region",), "--region and --segment both say which part of the picture: give one of them.", beside=("segment",)
    ),
)


def region_options(command: Command) -> Command:
    """`--region` and `--segment`, as the parameters `region` and `segment`."""
    for option in (
        click.option(
            "--segment", type=WholeNumber(0, 255), metavar="N", help="Only the part N of `cbir segment IMAGE`."
        ),
        click.option(
            "--region",
            metavar="X,Y,W,H",
            help="Only this box of the picture, in pixels of the upright picture, or in % (25%,25%,50%,50%).",
        ),
    ):
        command = option(command)
    return command


parts_option = click.option(
    "--parts/--no-parts",
    default=None,
    help="Compare with parts of pictures (see `cbir index --parts`).  [default: for regions, where the index has them]",
)

kind_option = click.option(
    "--kind/--same",
    default=None,
    help="Look for the same kind of thing, by classes (and parts, where the index has them); or for the same thing "
    "again, by parts.  [default: for regions --same, where the index has parts]",
)


def asked_region(region: str | None, segment: int | None) -> Asked | None:
    """Read the two options, of which one may be given (`REGION_RULES`); a usage error where `region` is none."""
    if region is None and segment is None:
        return None
    from cbir.images.regions import RegionOption, SegmentOption

    if segment is not None:
        return SegmentOption(segment)
    try:
        return RegionOption.parse(region or "")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--region'") from error
