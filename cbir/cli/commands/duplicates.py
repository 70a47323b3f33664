"""`cbir duplicates`: groups of pictures that are the same, or nearly."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import format_option, indexes_option, learnt_option, verbosity_options
from cbir.cli.options.numbers import Number
from cbir.cli.render.search_report import report_options
from cbir.cli.terminal import output, table
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.cli.terminal.table import Column
from cbir.errors import CbirError, IndexConflictError, IndexDamagedError

if TYPE_CHECKING:
    from cbir.duplicates.find import Duplicates, Group
    from cbir.index.store import Index

logger = logging.getLogger("cbir")

_COLUMNS = ("group", "keep", "score", "exact", "width", "height", "bytes", "mtime", "path")


@click.command("duplicates", short_help="Pictures that are the same, or nearly.")
@indexes_option
@learnt_option
@click.option(
    "--min-score",
    type=Number(0, 1, min_open=True),
    metavar="S",
    default=0.95,
    show_default=True,
    help="How probable it must be that two pictures are the same one.",
)
@click.option("--exact", is_flag=True, help="Only files of the same content; features are not read.")
@click.option(
    "--quick", is_flag=True, help="Do not read the pictures for a closer look: pages of one layout may be told."
)
@click.option("--null", "-0", is_flag=True, help="Printed paths end in NUL, not newline.")
@format_option("table on a terminal, paths in a pipe")
@report_options
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    index_names: tuple[str, ...],
    learnt: str | None,
    min_score: float,
    exact: bool,
    quick: bool,
    null: bool,
    format_: str | None,
    sheet: Path | None,
    html: Path | None,
    force: bool,
) -> None:
    """Find groups of pictures that are the same or nearly: copies, and what was made of one picture by saving it anew,
    smaller, cropped, mirrored, greyed, brighter or turned a little.

    What looks the same is read and compared once more in detail, so that pages of one layout are told apart.

    The biggest group comes first, and in each the picture to keep: the one of most pixels, then the largest file, then
    the oldest. `--format paths` prints the others, which could go. Nothing is ever deleted. With --learnt, groups come
    by the class that the notion gives the picture to keep, and the others by how like it they are.

    \b
      cbir duplicates
      cbir duplicates --exact --format json
      cbir duplicates --sheet duplicates.jpg --html duplicates.html
      cbir duplicates --learnt subject
      cbir duplicates --index archive/2024 --index archive/2025
      cbir duplicates --min-score 0.99 --format paths -0 | xargs -0 -r mv -t elsewhere/
    """
    use_one_blas_thread()
    from cbir.cli.render.duplicates_report import write_duplicates
    from cbir.duplicates.find import find_duplicates

    format_ = format_ or ("paths" if null else output.default_format(piped="paths"))
    index, problems, is_damaged = _open(index_names, exact=exact and learnt is None)
    if learnt is not None and index.directories:
        raise click.UsageError("A notion (--learnt) is of one index: name one.")
    if learnt is not None:
        from cbir.duplicates.learnt import order_by_notion
        from cbir.notions.store import load_notion

        notion = load_notion(index, learnt)
    found = find_duplicates(index, min_score, exact=exact or is_damaged, quick=quick)
    if learnt is not None:
        found = order_by_notion(found, index, notion)
    _write(found, format_, null=null)
    write_duplicates(found, index, sheet=sheet, html=html, force=force)
    _say(found, index.directory.name, exact=exact or is_damaged)
    for problem in problems:
        output.tell(f"Error: {problem} The other indexes answered.")
    if problems or is_damaged or index.damage:
        ctx.exit(CbirError.exit_code)


def _open(names: tuple[str, ...], *, exact: bool) -> tuple[Index, list[CbirError], bool]:
    """Return the index, or several as one, and what is wrong with those that cannot be opened.

    With them comes whether features are damaged, of which all are opened without then.
    """
    from cbir.index.open import open_indexes

    if exact:
        indexes, problems = open_indexes(names, features=False)
        return _joined(indexes), problems, False
    try:
        indexes, problems = open_indexes(names)
        damaged = next((problem for problem in problems if isinstance(problem, IndexDamagedError)), None)
    except IndexDamagedError as error:
        damaged = error
    if damaged is None:
        index, others = _of_one_network(indexes)
        return index, problems + others, False
    indexes, problems = open_indexes(names, features=False)
    logger.warning("%s Until then only files of the same content are told.", damaged)
    return _joined(indexes), problems, True


def _joined(indexes: list[Index]) -> Index:
    """Return several indexes as one, by whichever networks."""
    from cbir.index.joined import JoinedIndex, common_root

    return indexes[0] if len(indexes) == 1 else JoinedIndex(indexes, *common_root(indexes))


def _of_one_network(indexes: list[Index]) -> tuple[Index, list[CbirError]]:
    """Return several indexes as one, and what is wrong with those whose network cannot be told.

    CbirError where several networks made them, or they lie in several sources.
    """
    if len(indexes) == 1:
        return indexes[0], []
    from cbir.index.joined import common_root
    from cbir.search.several import by_network

    common_root(indexes)
    joined, problems = by_network(indexes)
    if len(joined) > 1:
        raise IndexConflictError(
            "The indexes are by different networks, whose features cannot be compared: look through those of each "
            "network by themselves, or for files of the same content with --exact."
        )
    return joined[0], problems


def _write(found: Duplicates, format_: str, *, null: bool) -> None:
    if format_ == "paths":
        output.write_paths((member.path for group in found.groups for member in group.members[1:]), null=null)
    elif format_ == "table":
        if found.groups:
            _write_table(found.groups)
    else:
        _write_records(found.to_dict()["groups"], format_)


def _write_records(groups: list[dict[str, Any]], format_: str) -> None:
    if format_ == "json":
        output.write_json(groups)
    elif format_ == "jsonl":
        for group in groups:
            output.write_json_line(group)
    else:
        # of several indexes, which one a picture is of comes last
        columns = (*_COLUMNS, *(["index"] if any("index" in one["members"][0] for one in groups) else []))
        rows = [[{**group, **member}[column] for column in columns] for group in groups for member in group["members"]]
        output.write_separated([columns, *rows], tabs=format_ == "tsv")


def _write_table(groups: list[Group]) -> None:
    rows: list[list[str]] = []
    for number, group in enumerate(groups, 1):
        for member in group.members:
            size = f"{member.width} x {member.height}" if member.width else ""
            score = "keep" if member.is_kept else "exact" if member.is_exact else f"{member.score:.3f}"
            group_name = f"{number:,}" if member.is_kept else ""
            path = output.short_path(member.path)
            rows.append([group_name, score, size, output.human_bytes(member.bytes), path])
    columns = [
        Column("group", right=True, style={"bold": True}),
        Column("score", right=True),
        Column("pixels", right=True, optional=2),
        Column("size", right=True, optional=1),
        Column("path", cuts="start"),
    ]
    table.write(columns, rows)


def _say(found: Duplicates, name: str, *, exact: bool) -> None:
    """Write to stderr what was found, and what was left out and why."""
    pictures = sum(len(group.members) - 1 for group in found.groups)
    if not found.groups:
        logger.info("There are no %s in %s.", "files of the same content" if exact else "duplicates", name)
    else:
        size = output.human_bytes(sum(group.bytes for group in found.groups))
        count = len(found.groups)
        groups = "1 group" if count == 1 else f"{count:,} groups"
        others = "1 picture" if pictures == 1 else f"{pictures:,} pictures"
        logger.info("%s; without those to keep %s of %s.", groups, others, size)
    if found.links:
        logger.info("Left out: %s further names of files (links).", f"{found.links:,}")
    if found.stale:
        logger.warning(
            "Left out: %s pictures that are gone or have changed since they were indexed: `cbir index --index %s` "
            "looks again.",
            f"{found.stale:,}",
            name,
        )
    if found.unread:
        logger.warning(
            "%s pictures could not be read for a closer look: what is told of them is by their thumbnails alone.",
            f"{found.unread:,}",
        )
    if found.without_thumbnails:
        logger.warning(
            "%s pictures have no thumbnail yet, only their content was compared: `cbir index --index %s` makes them.",
            f"{found.without_thumbnails:,}",
            name,
        )
