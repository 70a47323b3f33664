"""`cbir classify`: the pictures of an index by a user's own classes, as records or in folders of links."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import FilePath, formats_options, index_option, learnt_option, verbosity_options
from cbir.cli.options.completion import complete_folder
from cbir.cli.options.numbers import Number
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import classify
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.errors import CbirError, OutputRefusedError
from cbir.images.sources.address import folder_of

if TYPE_CHECKING:
    from cbir.index.store import Index
    from cbir.tags.learnt import Classified

logger = logging.getLogger("cbir")

RULES = (
    Rule(("none", "dry_run"), "{said} is about folders of links: add --links DIR.", lacking=("links",)),
    Rule(("links",), "--links sorts by a notion: name one with --learnt.", lacking=("learnt",)),
)

#: The folder of pictures that no class claims.
NONE = "none"


@click.command("classify", short_help="Sort an index by your own classes.")
@index_option
@learnt_option
@click.option(
    "--links",
    type=FilePath(),
    metavar="DIR",
    shell_complete=complete_folder,
    help="Make links to the pictures in this folder, in a folder for each class.",
)
@click.option("--none", is_flag=True, help="With --links: a folder `none` too, for pictures of no class.")
@click.option(
    "--min-probability",
    type=Number(0, 1),
    default=0.0,
    show_default=True,
    help="A less probable class does not claim a picture.",
)
@click.option("--dry-run", "-n", is_flag=True, help="With --links: say what would be linked, and make nothing.")
@formats_options(classify.FORMATS, "Default: table on a terminal, jsonl in a pipe, nothing with --links.")
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    index_name: str | None,
    learnt: str | None,
    links: Path | None,
    none: bool,
    min_probability: float,
    dry_run: bool,
    format_: str | None,
) -> None:
    """Tell of each picture of an index which class of a notion it is of, and how probably, or sort links to them.

    A picture that no class claims has none; one that has a label keeps its class. --links never touches a picture,
    writes over nothing, and adds what is new: a picture that DIR has a link to already, wherever you have moved it,
    gets no other.

    \b
      cbir classify --learnt subject
      cbir classify --learnt subject --links sorted/ --none
      cbir classify --learnt subject --min-probability 0.9 --format csv
    """
    use_one_blas_thread()
    check_rules(ctx, RULES)
    if learnt is None:
        raise click.UsageError("Name a notion with --learnt: `cbir learn --list` tells which there are.")
    from cbir.index.open import open_index
    from cbir.notions.store import load_notion
    from cbir.tags.learnt import classify_index

    index = open_index(index_name)
    notion = load_notion(index, learnt)
    folders = None
    if links is not None:
        _check_outside(links, index)
        from cbir.utils.links import LinkFolders

        folders = LinkFolders(links, [*notion.classes, *[NONE] * none], dry_run=dry_run)
    quiet, verbose = bool(ctx.obj and ctx.obj.get("quiet")), bool(ctx.obj and ctx.obj.get("verbose"))
    format_ = format_ or (None if folders else output.default_format(piped="jsonl"))
    found: Iterator[Classified] = progress(disable=quiet)(classify_index(index, notion, min_probability), len(index))
    writer = classify.ClassWriter(format_, notion.classes)
    counts: Counter[str | None] = Counter()
    linker = None if folders is None else classify.Linker(folders, index, none=none, every=verbose)
    for one in found:
        counts[None if one.number is None else notion.classes[one.number]] += 1
        writer.write(one)
        if linker is not None:
            linker.link(one)
    writer.close()
    if not quiet:
        output.tell(classify.told(counts))
        if linker is not None:
            output.tell(linker.summary(dry_run=dry_run))
    if index.damage:
        ctx.exit(CbirError.exit_code)


def _check_outside(links: Path, index: Index) -> None:
    """OutputRefusedError where links would be taken for more pictures of the index."""
    root, folder = os.path.realpath(folder_of(index.root)), os.path.realpath(links)
    if root in (folder, *map(str, Path(folder).parents)):
        raise OutputRefusedError(
            f"{links} is in {index.root}, where `cbir index` would take links for more pictures: name a folder outside "
            "of it with --links."
        )
