"""`cbir search`: the pictures of an index that are most like a query."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli import output
from cbir.cli.options import (
    FilePath,
    engine_option,
    format_option,
    index_option,
    verbosity_options,
    weights_option,
)
from cbir.errors import CbirError, reason_of

if TYPE_CHECKING:
    from cbir.search import Query, Searcher, SearchResult


@click.command("search", short_help="Find the pictures most like a picture.")
@click.argument("images", nargs=-1, type=FilePath(), metavar="IMAGE...")
@index_option
@click.option(
    "--top", "-k", "count", type=click.IntRange(min=1), default=10, show_default=True, help="Matches a query."
)
@click.option("--min-score", type=float, metavar="COSINE", help="Only matches with at least this score.")
@click.option("--no-rerank", is_flag=True, help="Plain cosine order.")
@click.option("--self", "include_self", is_flag=True, help="Keep the query's own file among its matches.")
@click.option("--files-from", type=FilePath(), metavar="FILE", help="Read names of queries from FILE, or - for stdin.")
@click.option("--null", "-0", is_flag=True, help="Names in --files-from and printed paths end in NUL, not newline.")
@format_option("table on a terminal, paths in a pipe")
@weights_option
@engine_option
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[Path, ...],
    index_name: str | None,
    count: int,
    min_score: float | None,
    no_rerank: bool,
    include_self: bool,
    files_from: Path | None,
    null: bool,
    format_: str | None,
    weights: str | None,
    engine: str | None,
) -> None:
    """Find the pictures of an index that are most like each IMAGE (- reads a picture from stdin).

    The score is the cosine between the pictures' features: 1 is the same picture. IMAGE need not be in the index.

    \b
      cbir search some.jpg
      cbir search some.jpg -k 3 --format json
      find new/ -name '*.jpg' -print0 | cbir search --files-from - -0 --format jsonl
    """
    from cbir.search import Searcher, open_index

    queries = list(_queries(images, files_from, null=null))
    if not queries:
        raise click.UsageError("Name a picture to search by, or a list of them with --files-from.")
    searcher = Searcher(open_index(index_name), engine=engine, weights=weights, queries=len(queries))
    results = searcher.search(
        queries, count=count, reranked=not no_rerank, include_self=include_self, min_score=min_score
    )
    failed = _write(
        results, searcher, format_ or ("paths" if null else output.default_format(piped="paths")), len(queries), null
    )
    if failed:
        ctx.exit(CbirError.exit_code)


def _queries(images: Iterable[Path], files_from: Path | None, *, null: bool) -> Iterator[Query]:
    from cbir.search import Query

    stdin_taken = files_from is not None and str(files_from) == "-"
    for image in images:
        if str(image) != "-":
            yield Query.from_path(image)
        elif stdin_taken:
            raise click.UsageError("Stdin can be a picture or a list of names, not both.")
        else:
            stdin_taken = True
            yield Query(sys.stdin.buffer.read(), "-")
    if files_from is not None:
        for name in _names(files_from, null=null):
            yield Query.from_path(name)


def _names(files_from: Path, *, null: bool) -> Iterator[str]:
    try:
        data = sys.stdin.buffer.read() if str(files_from) == "-" else files_from.read_bytes()
    except OSError as error:
        raise CbirError(f"Cannot read the list {files_from}: {reason_of(error)}.") from error
    for name in data.split(b"\0" if null else b"\n"):
        if name.strip(b"\r"):
            yield os.fsdecode(name if null else name.rstrip(b"\r"))


def _write(results: Iterable[SearchResult], searcher: Searcher, format_: str, total: int, null: bool) -> bool:
    """Write all results; True if a query could not be read. Errors go to stderr as they come."""
    failed = missing = shown = 0
    collected: list[dict[str, Any]] = []
    if format_ in ("csv", "tsv"):
        output.write_separated([("query", "rank", "score", "path")], tabs=format_ == "tsv")
    for result in results:
        if result.error is not None:
            failed += 1
            click.echo(f"Error: {result.error}", err=True)
        shown += len(result.matches)
        missing += sum(not match.path.exists() for match in result.matches)
        if format_ == "json":
            collected.append(_record(result, searcher))
        elif format_ == "jsonl":
            output.write_json_line(_record(result, searcher))
        elif result.error is None:
            _write_matches(result, format_, heading=total > 1, null=null)
    if format_ == "json":
        output.write_json(collected[0] if total == 1 else collected)
    if missing:
        click.echo(
            f"{missing} of {shown} matches are not below {searcher.index.root} any more: refresh the index with "
            f"`cbir index --index {searcher.index.directory.name}`, or say where they are with --root.",
            err=True,
        )
    return failed > 0


def _write_matches(result: SearchResult, format_: str, *, heading: bool, null: bool) -> None:
    if format_ == "paths":
        output.write_paths((match.path for match in result.matches), null=null)
    elif format_ in ("csv", "tsv"):
        rows = [(result.query.name, match.rank, f"{match.score:.6f}", match.path) for match in result.matches]
        output.write_separated(rows, tabs=format_ == "tsv")
    else:
        if heading:
            click.echo(f"{output.printable(result.query.name)}:")
        lines = [(str(match.rank), f"{match.score:.3f}", output.short_path(match.path)) for match in result.matches]
        output.write_table(("rank", "score", "path"), lines, right=(0, 1))
        if heading:
            click.echo()


def _record(result: SearchResult, searcher: Searcher) -> dict[str, Any]:
    record: dict[str, Any] = {
        "query": result.query.name,
        "index": str(searcher.index.directory),
        "model": searcher.backbone.name,
        "matches": [
            {"rank": match.rank, "path": str(match.path), "score": round(match.score, 6)} for match in result.matches
        ],
    }
    if result.error is not None:
        record["error"] = str(result.error)
    return record
