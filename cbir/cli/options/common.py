"""Options that several commands share, as decorators."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from cbir.cli.options.completion import complete_index, complete_model, complete_notion, complete_weights
from cbir.cli.options.numbers import Number
from cbir.cli.terminal.logfile import about_index, about_indexes, log_option
from cbir.images.sources.address import Address, Location, is_address, picture_named, root_of

Command = TypeVar("Command", bound=Callable[..., Any])

#: The name of the handler that writes the library's messages to stderr.
STDERR = "stderr"

#: How output is listed where nothing says how, in most commands.
PIPED = "Default: table on a terminal, jsonl in a pipe."

FORMATS = ("table", "paths", "json", "jsonl", "csv", "tsv")


class FilePath(click.Path):
    """A path that keeps bytes which are no UTF-8, as the system gave them.

    Whether it can be read is found out by reading it: one picture that cannot be is no wrong usage.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)


class RootPath(FilePath):
    """A folder, or another source of pictures: an address, tar shards, a list."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Tell them apart."""
        if isinstance(value, Address):
            return value
        root = root_of(os.fsdecode(value), is_chosen=True)
        return root if isinstance(root, Address) else super().convert(value, param, ctx)


class Weighed(NamedTuple):
    """A picture that was named, and how much it counts beside others."""

    place: Location
    weight: float = 1.0

    @classmethod
    def parse(cls, name: str, *, is_chosen: bool = True, allow_private: bool = False) -> Weighed:
        """Read a name or an address, perhaps with a weight before it: `2:some.jpg`, unless a file has that very name.

        ValueError where the weight is impossible.
        """
        if os.path.lexists(name):
            return cls(Path(name))
        from cbir.search.weights import weighted_name

        weight, place = weighted_name(name)
        return cls(picture_named(place, is_chosen=is_chosen, allow_private=allow_private), weight)


class PicturePath(FilePath):
    """A picture: a file, or an address of one, on the public internet where it is of the web."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Tell them apart."""
        if isinstance(value, Address):
            return value
        text = os.fsdecode(value)
        return picture_named(text) if is_address(text) else super().convert(value, param, ctx)


class WeighedPath(FilePath):
    """A picture, perhaps with a weight: it becomes a `Weighed`, as of `Weighed.parse`.

    The parameter `allow_private` lets an address be on a private network.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Tell them apart."""
        if isinstance(value, Weighed):
            return value
        allow_private = ctx is not None and ctx.params.get("allow_private", False)
        try:
            return Weighed.parse(os.fsdecode(value), allow_private=allow_private)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def given_options(ctx: click.Context) -> set[str]:
    """Return the parameters that somebody gave, on the command line or otherwise; the others have their defaults."""
    default = click.core.ParameterSource.DEFAULT
    return {name for name in ctx.params if ctx.get_parameter_source(name) not in (None, default)}


def index_option_with(text: str) -> Callable[[Command], Command]:
    """`--index`, as `index_name`: one index, with that text of help."""
    return click.option(
        "--index",
        "-i",
        "index_name",
        metavar="NAME",
        callback=about_index,
        shell_complete=complete_index,
        help=text,
    )


index_option = index_option_with("The index: a name, or a path (with a slash). Default: the only one there is.")


def indexes_option_with(text: str) -> Callable[[Command], Command]:
    """`--index`, as `index_names`: one index or several, with that text of help."""
    return click.option(
        "--index",
        "-i",
        "index_names",
        metavar="NAME",
        multiple=True,
        callback=about_indexes,
        shell_complete=complete_index,
        help=text,
    )


indexes_option = indexes_option_with(
    "The index: a name, a path (with a slash), or a pattern of either. Repeatable: one answer from all of them. "
    "Default: the only one there is."
)

learnt_option = click.option(
    "--learnt",
    metavar="NAME",
    shell_complete=complete_notion,
    help="By this notion of the index, which `cbir learn` has made.",
)

model_option = click.option(
    "--model",
    "-m",
    metavar="NAME",
    shell_complete=complete_model,
    help="The backbone (see `cbir models`), or several as one: NAME+NAME. Default: $CBIR_MODEL, else resnet50 if its "
    "weights are here, else efficientnet_lite0.",
)

network_option = click.option(
    "--model",
    "-m",
    metavar="NAME",
    shell_complete=complete_model,
    help="By this network of the index, where it has several. Default: its own.",
)

weights_option = click.option(
    "--weights",
    metavar="FILE",
    shell_complete=complete_weights,
    help="A state dict for the backbone, or `untrained` for seeded random numbers.",
)


def engine_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--engine` and `--precision`; the command is given both as `engine`, as `engines.select.open_engine` takes it."""

    @functools.wraps(command)
    def with_engine(*args: Any, engine: str | None, precision: str | None, **options: Any) -> Any:
        return command(*args, engine=f"{engine or ''}:{precision}" if precision else engine, **options)

    with_precision = click.option(
        "--precision",
        type=click.Choice(["auto", "f32", "bf16", "f16"]),
        help="The numbers that a network is computed in. Default: $CBIR_PRECISION, else auto (the fastest in which "
        "searches find the same).",
    )(with_engine)
    return click.option(
        "--engine",
        type=click.Choice(["auto", "openvino", "torch"]),
        help="What runs the network. Default: $CBIR_ENGINE, else auto (CUDA if it pays, else OpenVINO).",
    )(with_precision)


force_option = click.option(
    "--force", is_flag=True, is_eager=True, help="Write over files that cbir did not make, too."
)

new_index_option = click.option(
    "--index", "-i", "index_name", metavar="NAME", required=True, callback=about_index, help="The new index's name."
)

wait_option = click.option(
    "--wait", type=Number(min=0), default=0.0, metavar="SECONDS", help="Wait for another run to end."
)


def sidecar_options(what: str) -> Callable[[Command], Command]:
    """`--xmp`, `--sidecar-names` and `--dry-run`; `what` is written to the sidecar files."""

    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--dry-run", "-n", is_flag=True, help="With --xmp: say what would be written, and write nothing."
            ),
            click.option(
                "--sidecar-names",
                type=click.Choice(["append", "replace"]),
                default="append",
                show_default=True,
                help="With --xmp: some.jpg.xmp (darktable, digiKam) or some.xmp (Adobe).",
            ),
            click.option(
                "--xmp",
                is_flag=True,
                help=f"Write {what} to a sidecar file beside each picture, for photo managers.",
            ),
        ):
            command = option(command)
        return command

    return add


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def formats_options(formats: Sequence[str], text: str = PIPED, **settings: Any) -> Callable[[Command], Command]:
    """`--format`, one of those, and `--json`, which is short for it; `text` is the help of the first."""

    def add(command: Command) -> Command:
        as_json = click.option("--json", "format_", flag_value="json", help="The same as --format json.")
        kind = click.Choice(list(formats))
        return click.option("--format", "format_", type=kind, help=text, **settings)(as_json(command))

    return add


def format_option(default: str) -> Callable[[Command], Command]:
    """`--format`; `default` tells in words what it is without."""
    return click.option("--format", "format_", type=click.Choice(FORMATS), help=f"Default: {default}.")


def verbosity_options(command: Command) -> Command:
    """`-q` and `-v`: how much goes to stderr; `--log-file`: where it is written as well, whatever `-q` says.

    What fails is said always.
    """

    def quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            for handler in logging.getLogger("cbir").handlers:
                if handler.name == STDERR:
                    handler.setLevel(logging.ERROR)
            ctx.ensure_object(dict)["quiet"] = True

    def verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            logging.getLogger("cbir").setLevel(logging.DEBUG)
            ctx.ensure_object(dict)["verbose"] = True

    command = click.option(
        "--log-file",
        type=FilePath(),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=log_option,
        help="Append to this file what the run does and how it ends.",
    )(command)
    command = click.option(
        "--verbose", "-v", is_flag=True, expose_value=False, callback=verbose, help="Say more on stderr."
    )(command)
    return click.option(
        "--quiet", "-q", is_flag=True, expose_value=False, callback=quiet, help="Say nothing on stderr but errors."
    )(command)
