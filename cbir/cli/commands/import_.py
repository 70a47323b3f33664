"""`cbir import`: an index of features that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import (
    FilePath,
    RootPath,
    json_option,
    model_option,
    new_index_option,
    verbosity_options,
    wait_option,
    weights_option,
)
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import share

if TYPE_CHECKING:
    from cbir.images.sources.address import Location
    from cbir.moving.take import Taken

RULES = (
    Rule(("made_by",), "--made-by is for a network that cbir does not have: leave --model out.", beside=("model",)),
    Rule(("weights",), "--weights are those of a network of cbir's: name it with --model.", lacking=("model",)),
)


@click.command("import", short_help="Make an index of features made elsewhere.")
@click.argument("files", nargs=-1, required=True, type=FilePath(), metavar="FILE...")
@new_index_option
@click.option(
    "--root", type=RootPath(), metavar="FOLDER", help="The folder of the pictures.  [default: what the files say]"
)
@click.option("--paths", type=FilePath(), metavar="FILE", help="A list of the pictures of a .npy or .fvecs file.")
@model_option
@weights_option
@click.option("--made-by", metavar="NAME", help="The network that made the features, if it is none of cbir's.")
@click.option("--columns", metavar="PATH,FEATURE", help="The columns of a Parquet file.  [default: those that look so]")
@click.option("--unseen", is_flag=True, help="Do not read pictures, even where they are there.")
@wait_option
@json_option
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[Path, ...],
    index_name: str,
    root: Location | None,
    paths: Path | None,
    model: str | None,
    weights: str | None,
    made_by: str | None,
    columns: str | None,
    unseen: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Make a new index of features that are in FILE: no network looks at a picture.

    FILE is a .parquet, a .npy or a .fvecs file, as `cbir export` writes them or others do, or a folder of Parquet
    files, or of what clip-retrieval has made. The pictures need not be here. Without them, searches by pictures of the
    index, by --query-index and by --vectors work, and `cbir index` keeps their rows until --prune.

    \b
      cbir import photos.parquet --index copy
      cbir import features.npy --paths paths.txt --root photos/ --made-by "some network" --index mine
      cbir import features.npy --paths paths.txt --root photos/ --model efficientnet_lite0 --index lite
    """
    check_rules(ctx, RULES)
    from cbir.index.home import index_directory
    from cbir.indexing.target import named
    from cbir.moving.take import TakeOptions, take

    pair = None
    if columns is not None:
        path, _, feature = columns.partition(",")
        if not path or not feature:
            raise click.BadParameter("name two columns, with a comma between them.", ctx, param_hint="--columns")
        pair = path, feature
    options = TakeOptions(named(root) if root is not None else None, model, weights, made_by, paths, pair, unseen)
    directory = index_directory(index_name)
    quiet, verbose = bool(ctx.obj and ctx.obj.get("quiet")), bool(ctx.obj and ctx.obj.get("verbose"))
    with share(disable=quiet) as told:
        taken = take(files, directory, options, wait=wait, told=told)
    if as_json:
        output.write_json(_record(directory, taken))
    else:
        where = "all of them are" if taken.here == taken.rows else f"{taken.here:,} of them are"
        output.say(
            f"{directory.name}: {taken.rows:,} pictures by {taken.model} imported; {where} below {taken.root} here."
        )
    if not quiet:
        output.tell_some([f"  left out: {path}: {reason}" for path, reason in taken.left_out], every=verbose)


def _record(directory: Path, taken: Taken) -> dict[str, object]:
    return {
        "index": str(directory),
        "root": str(taken.root),
        "model": taken.model,
        "rows": taken.rows,
        "here": taken.here,
        "left_out": [{"path": path, "reason": reason} for path, reason in taken.left_out],
    }
