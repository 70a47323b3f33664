"""`cbir merge`: several indexes as a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import FilePath, json_option, new_index_option, verbosity_options, wait_option
from cbir.cli.options.completion import complete_index
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import share

if TYPE_CHECKING:
    from cbir.moving.merge import Merged


@click.command("merge", short_help="Join several indexes into a new one.")
@click.argument("indexes", nargs=-1, required=True, metavar="INDEX...", shell_complete=complete_index)
@new_index_option
@click.option(
    "--root",
    type=FilePath(),
    metavar="FOLDER",
    help="The folder that is above all pictures.  [default: what their folders have in common]",
)
@click.option(
    "--by-name", is_flag=True, help="The pictures of each index are in a folder called like it, in that folder."
)
@wait_option
@json_option
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    indexes: tuple[str, ...],
    index_name: str,
    root: Path | None,
    by_name: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Make a new index of all pictures of several, which stay as they are. One network made them all.

    INDEX is a name, a path, or a pattern. Nothing is computed or read but the indexes. Where two have a picture of the
    same path, that of the first counts. Indexes of other machines keep their pictures' rows until --prune.

    \b
      cbir merge archive/2024 archive/2025 --index both
      cbir merge 'archive/*' --by-name --root /mnt/archive --index archive
    """
    from cbir.index.home import find_directories, index_directory
    from cbir.index.store import Index
    from cbir.moving.merge import merge

    directory = index_directory(index_name)
    quiet, verbose = bool(ctx.obj and ctx.obj.get("quiet")), bool(ctx.obj and ctx.obj.get("verbose"))
    opened = [Index.open(one) for one in find_directories(indexes)]
    with share(disable=quiet) as told:
        merged = merge(opened, directory, root=root, by_name=by_name, wait=wait, told=told)
    if as_json:
        output.write_json(_record(directory, merged))
    else:
        of = "1 index" if len(opened) == 1 else f"{len(opened):,} indexes"
        output.say(f"{directory.name}: {merged.rows:,} pictures of {of}, below {merged.root}.")
    for lost in merged.lost:
        output.tell(f"{directory.name} is without {lost}.")
    if merged.doubled and not quiet:
        _name_doubled(merged.doubled, every=verbose)


def _name_doubled(doubled: dict[str, bool], *, every: bool) -> None:
    others = sum(not is_same for is_same in doubled.values())
    output.tell(f"{len(doubled):,} paths came again, {others:,} of them with another content: the first counts.")
    lines = [f"  again: {path}{'' if is_same else ' (another content)'}" for path, is_same in doubled.items()]
    output.tell_some(lines, every=every)


def _record(directory: Path, merged: Merged) -> dict[str, object]:
    return {
        "index": str(directory),
        "root": str(merged.root),
        "rows": merged.rows,
        "of": [{"index": str(one), "rows": rows} for one, rows in merged.of.items()],
        "again": [{"path": path, "same": is_same} for path, is_same in merged.doubled.items()],
        "without": merged.lost,
    }
