"""`cbir map`: the pictures of a whole index on one page, like beside like."""

from __future__ import annotations

from pathlib import Path

import click

from cbir.cli.options.common import FilePath, force_option, index_option, learnt_option, verbosity_options
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.render.search_report import html_file, png_file
from cbir.cli.terminal import output
from cbir.cli.terminal.opening import Opener, open_written_option
from cbir.cli.terminal.runs import progress, use_one_blas_thread


@click.command("map", short_help="Show a whole index as one picture.")
@index_option
@learnt_option
@click.option("--html", type=FilePath(), callback=html_file, metavar="FILE", help="Where the page goes.")
@click.option("--png", type=FilePath(), callback=png_file, metavar="FILE", help="Where the picture goes.")
@click.option(
    "--most",
    type=WholeNumber(1, 20_000),
    default=2500,
    show_default=True,
    help="Pictures shown. Of more, each stands for some that are like it.",
)
@click.option(
    "--words",
    type=click.Choice(["tags", "folders", "none"]),
    help="What regions are called by. Default: tags if the index has classes, else folders.",
)
@force_option
@open_written_option
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    index_name: str | None,
    learnt: str | None,
    html: Path | None,
    png: Path | None,
    most: int,
    words: str | None,
    force: bool,
    opens: bool,
) -> None:
    """Show all pictures of an index on a grid, like beside like, so that one sees what a collection holds.

    Writes NAME.map.html, a page to zoom into whose pictures are links to the files, and NAME.map.png, both here unless
    --html or --png says which and where. Neither needs the network, nor the files once it is written. With --learnt,
    pictures are alike as the notion has it, and regions are called by its classes.

    \b
      cbir map
      cbir map --index photos --html photos.html
      cbir map --index photos --png photos.png --most 400 --words folders
      cbir map --learnt subject
    """
    use_one_blas_thread()
    from cbir.index.open import open_index
    from cbir.map.collection import map_index
    from cbir.notions.store import load_notion
    from cbir.report.map import map_names, write_map

    index = open_index(index_name)
    by_default = html is None and png is None
    if by_default:
        html, png = map_names(index.directory, force=force)
    whole = map_index(index, most=most, notion=None if learnt is None else load_notion(index, learnt))
    watch = progress(disable=bool(ctx.obj and ctx.obj.get("quiet")))
    missing = write_map(whole, html=html, png=png, words=words, force=force, keep_others=by_default, watch=watch)
    written = [path for path in (html, png) if path is not None]
    output.write_paths(written, null=False)
    if missing:
        output.tell(f"{len(missing)} of {len(whole.cells)} pictures could not be read, {missing[0].path} for one.")
    if opens:
        Opener().open(written[:1])
