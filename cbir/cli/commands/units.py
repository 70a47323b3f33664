"""`cbir units`: what excites the units of a network."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import (
    PicturePath,
    engine_option,
    formats_options,
    index_option,
    network_option,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.given import Given
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render.search_report import report_options
from cbir.cli.render.units import FORMATS, write_units
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.errors import ImageReadError, ModelError
from cbir.images.sources.address import Location

if TYPE_CHECKING:
    from cbir.cli.render.units import Found, Shown
    from cbir.explain.looks import Look
    from cbir.explain.units import Excited, Unit, Units
    from cbir.images.regions import Box
    from cbir.index.store import Index

logger = logging.getLogger("cbir")

RULES = (
    Rule(
        ("picture",),
        "--picture finds channels by itself: leave --channel and --class out.",
        beside=("channels", "names"),
    ),
    Rule(("most",), "--channels is how many channels of a picture: name one with --picture.", lacking=("picture",)),
)


class UnitOptions(Given):
    """The options of one call, by their names."""

    channels: tuple[int, ...]
    names: tuple[str, ...]
    picture: Location | None
    most: int | None
    count: int
    no_places: bool
    index_name: str | None
    model: str | None
    weights: str | None
    engine: str | None
    sheet: Path | None
    html: Path | None
    force: bool
    format_: str | None


@click.command("units", short_help="Show what excites a network's channels and classes.")
@click.option(
    "--channel", "channels", type=WholeNumber(0), multiple=True, help="This channel of the last map. Repeatable."
)
@click.option(
    "--class",
    "names",
    metavar="NAME",
    multiple=True,
    help="This class of ImageNet: a name, or a WordNet id. Repeatable.",
)
@click.option("--picture", type=PicturePath(), metavar="FILE", help="The channels that this picture excites most.")
@click.option("--channels", "most", type=WholeNumber(1, 100), help="With --picture, how many.  [default: 5]")
@click.option("--top", "-k", "count", type=WholeNumber(1, 1000), default=9, show_default=True, help="Pictures a unit.")
@click.option("--no-places", is_flag=True, help="Do not look where in the pictures: no network is needed then.")
@index_option
@network_option
@formats_options(FORMATS)
@report_options
@weights_option
@engine_option
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **params: object) -> None:
    """Show the pictures of an index that excite a unit of its network most, and where.

    A unit is a channel of the last map, whose means are the features, or a class. Which pictures come first is told
    from what the index has; the best are looked at again for the place, a box of 96 pixels of what the network sees.

    With --picture it goes the other way round: which channels the picture excites most, compared with the pictures of
    the index, and what else excites them.

    \b
      cbir units --channel 587 --html unit.html
      cbir units --class balloon -k 12 --sheet balloons.jpg
      cbir units --picture some.jpg --channels 3 --json
    """
    use_one_blas_thread()
    options = UnitOptions(**params)
    check_rules(ctx, RULES)
    if not options.channels and not options.names and options.picture is None:
        raise click.UsageError("Name a unit with --channel or --class, or a picture with --picture.")
    from cbir.backbones.imagenet import find_class
    from cbir.engines.lazy import LazyEngine
    from cbir.explain.units import Unit, Units
    from cbir.extract.of_index import backbone_of
    from cbir.index.open import open_index

    wanted = [Unit(channel=channel) for channel in options.channels]
    wanted += [Unit(class_=find_class(name)) for name in options.names]
    index = open_index(options.index_name, options.model)
    units = Units(index, LazyEngine(backbone_of(index, weights=options.weights), options.engine))
    if options.picture is not None:
        shown = _of_picture(units, index, options)
    else:
        shown = _of_units(units, index, wanted, options)
    write_units(
        shown,
        index,
        options.format_ or output.default_format(piped="jsonl"),
        sheet=options.sheet,
        html=options.html,
        force=options.force,
        picture=options.picture,
    )


def _of_units(
    units: Units, index: Index, wanted: Sequence[Unit], options: UnitOptions, own: Sequence[int] = ()
) -> list[Shown]:
    from cbir.cli.render.units import Shown

    seen = None if options.no_places else _Places(units)
    shown = []
    for unit, excited in zip(wanted, units.exciting(wanted, options.count, without=own), strict=True):
        record = {"channel": unit.channel} if unit.class_ is None else {"class": unit.name}
        shown.append(Shown(unit.name, record, _found(excited, unit, index, seen)))
    return shown


def _of_picture(units: Units, index: Index, options: UnitOptions) -> list[Shown]:
    """Return the channels that a picture excites. ImageReadError; ModelError without a map of places."""
    from cbir.cli.render.units import Shown
    from cbir.images.contents import read_bytes
    from cbir.images.safely import decode

    assert options.picture is not None
    data = read_bytes(options.picture)
    image = decode(data, name=str(options.picture))
    look = units.look(image)
    excited = units.excited_by(look, options.most or 5)
    wanted = [unit for unit, _ in excited]
    shown = _of_units(units, index, wanted, options, index.find(hashlib.sha256(data).hexdigest()))
    return [
        Shown(one.name, one.record, one.found, above, units.place(unit, look, image.size))
        for one, (unit, above) in zip(shown, excited, strict=True)
    ]


def _found(excited: Sequence[Excited], unit: Unit, index: Index, places: _Places | None) -> list[Found]:
    from cbir.cli.render.units import Found

    names = [str(file.path) for file in index.files_of([one.row for one in excited])]
    return [
        Found(name, one.value, None if places is None else places.of(index.root / name, unit))
        for name, one in zip(names, excited, strict=True)
    ]


class _Places:
    """Looks at pictures again, each once, for the places that excite units."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._seen: dict[Location, tuple[Look, tuple[int, int]] | None] = {}
        self._has_places = True

    def of(self, path: Location, unit: Unit) -> Box | None:
        """Return the place in a picture; None where it cannot be read any more, or the network has no places."""
        if path not in self._seen and self._has_places:
            self._seen[path] = self._look(path)
        seen = self._seen.get(path)
        return None if seen is None else self._units.place(unit, *seen)

    def _look(self, path: Location) -> tuple[Look, tuple[int, int]] | None:
        from cbir.images.safely import open_image

        try:
            image = open_image(path)
            return self._units.look(image), image.size
        except ImageReadError as error:
            logger.warning("%s", error)
        except ModelError as error:
            self._has_places = False
            logger.warning("%s", error)
        return None
