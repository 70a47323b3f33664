"""`cbir export`: the rows of an index for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from cbir.cli.options.claims import claim
from cbir.cli.options.common import FilePath, force_option, index_option, json_option, verbosity_options
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import share
from cbir.errors import CbirError


@click.command("export", short_help="Write an index's features for other programs.")
@click.argument("file", type=FilePath())
@index_option
@force_option
@json_option
@verbosity_options
@click.pass_context
def command(ctx: click.Context, file: Path, index_name: str | None, force: bool, as_json: bool) -> None:
    """Write what an index knows of its pictures to FILE, for other programs, and for `cbir import`.

    Its ending says how: .parquet has a row a picture with path, SHA-256, size, times, tags, classes and the feature
    (with the extra cbir[parquet]); .npy and .fvecs have the features, and a .json beside them the paths. Features are
    as they are stored, of length 1. The pictures themselves are not in it.

    \b
      cbir export photos.parquet
      cbir export --index photos photos.npy
      cbir export --index photos photos.fvecs --force
    """
    from cbir.index.open import open_index
    from cbir.moving.export import check_target, export

    claim(ctx, file, "FILE")
    check_target(file, force=force)
    index = open_index(index_name)
    quiet = bool(ctx.obj and ctx.obj.get("quiet"))
    with share(disable=quiet) as told:
        done = export(index, file, force=force, told=told)
    if as_json:
        output.write_json(
            {
                "index": str(index.directory),
                "files": [str(one) for one in done.files],
                "rows": done.rows,
                "damaged": done.damaged,
                "faces": done.faces,
            }
        )
    else:
        names = " and ".join(map(str, done.files))
        output.say(f"{index.directory.name}: {done.rows:,} pictures by {index.model['name']} written to {names}.")
        if done.faces:
            output.tell(f"In it are the vectors of {done.faces:,} faces, which tell people apart.")
    if index.damage or done.damaged:
        output.tell(f"Left out: {done.damaged:,} pictures whose features are damaged.")
        ctx.exit(CbirError.exit_code)
