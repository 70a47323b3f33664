"""`cbir search`: the pictures of an index that are most like a query."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli import output, values
from cbir.cli.matches import MatchWriter
from cbir.cli.options import (
    FilePath,
    engine_option,
    format_option,
    index_option,
    verbosity_options,
    weights_option,
)
from cbir.cli.pictures import Stdin, named_pictures
from cbir.cli.runs import use_one_blas_thread
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.queries import CombinedQuery, Query


@click.command("search", short_help="Find the pictures most like a picture.")
@click.argument("images", nargs=-1, type=FilePath(), metavar="IMAGE...")
@index_option
@click.option(
    "--top", "-k", "count", type=click.IntRange(min=1), default=10, show_default=True, help="Matches a query."
)
@click.option(
    "--min-score",
    callback=values.least_score,
    metavar="COSINE|PERCENT%",
    help="Only matches with at least this score (0.8), or percentile (99.9%).",
)
@click.option("--no-rerank", is_flag=True, help="Plain cosine order.")
@click.option("--self", "include_self", is_flag=True, help="Keep the query's own files among its matches.")
@click.option("--together", is_flag=True, help="One query from all pictures that are named, and one result.")
@click.option(
    "--shares",
    callback=values.shares,
    metavar="N,N,...",
    help="With --together, how much each picture counts. Default: 1,1,...",
)
@click.option(
    "--unlike", type=FilePath(), multiple=True, metavar="FILE", help="Move away from this picture. Repeatable."
)
@click.option("--strength", callback=values.strength, metavar="N", help="How far --unlike moves.  [default: 0.3]")
@click.option(
    "--class-weights",
    "class_name",
    metavar="NAME",
    help="Order by what makes pictures this class of ImageNet: a name, or a WordNet id.",
)
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
    min_score: values.LeastScore,
    no_rerank: bool,
    include_self: bool,
    together: bool,
    shares: tuple[float, ...],
    unlike: tuple[Path, ...],
    strength: float | None,
    class_name: str | None,
    files_from: Path | None,
    null: bool,
    format_: str | None,
    weights: str | None,
    engine: str | None,
) -> None:
    """Find the pictures of an index that are most like each IMAGE (- reads a picture from stdin).

    The score is the cosine between the pictures' features: 1 is the same picture. The percentile is how many percent
    of the index's pictures, taken in pairs at random, are less alike than that. IMAGE need not be in the index.

    \b
      cbir search some.jpg
      cbir search some.jpg -k 3 --format json
      cbir search --together one.jpg other.jpg --unlike third.jpg
      cbir search some.jpg --class-weights "grand piano" --min-score 99%
      find new/ -name '*.jpg' -print0 | cbir search --files-from - -0 --format jsonl
    """
    use_one_blas_thread()
    from cbir.search import Searcher, open_index

    if shares and not together:
        raise click.UsageError("--shares are for the pictures of one query: add --together.")
    if strength is not None and not unlike:
        raise click.UsageError("--strength is how far --unlike moves: name a picture with --unlike.")
    stdin = Stdin()
    pictures = list(named_pictures(images, files_from, stdin, null=null))
    if not pictures:
        what = "to search by" if not unlike else "that matches are to be like"
        raise click.UsageError(f"Name a picture {what}, or a list of them with --files-from.")
    others = [stdin.query(path) for path in unlike]
    queries = _combined(pictures, others, together=together, shares=shares, strength=strength)
    searcher = Searcher(
        open_index(index_name), engine=engine, weights=weights, queries=len(set(pictures)) + len(set(others))
    )
    results = searcher.search(
        queries,
        count=count,
        reranked=not no_rerank,
        include_self=include_self,
        min_score=min_score.cosine,
        min_percentile=min_score.percentile,
        class_name=class_name,
    )
    writer = MatchWriter(
        searcher,
        format_ or ("paths" if null else output.default_format(piped="paths")),
        total=len(queries),
        null=null,
        about=_about(others, class_name),
        together=together,
    )
    if writer.write(results):
        ctx.exit(CbirError.exit_code)


def _combined(
    pictures: list[Query], others: list[Query], *, together: bool, shares: tuple[float, ...], strength: float | None
) -> list[Query | CombinedQuery]:
    """The queries: one of all `pictures` or one of each, away from all `others`."""
    from cbir.queries import STRENGTH, CombinedQuery

    if not together and not others:
        return list(pictures)
    if shares and len(shares) != len(pictures):
        raise click.UsageError(f"--shares has {len(shares)} numbers for {len(pictures)} pictures.")
    away = STRENGTH if strength is None else strength
    groups = [tuple(pictures)] if together else [(picture,) for picture in pictures]
    return [CombinedQuery(group, tuple(others), shares, away) for group in groups]


def _about(others: list[Query], class_name: str | None) -> dict[str, Any]:
    """What a JSON record tells of the way that a query was asked, beside its pictures."""
    about: dict[str, Any] = {"unlike": [other.name for other in others]} if others else {}
    if class_name is not None:
        from cbir.backbones.imagenet import find_class

        about["class_weights"] = find_class(class_name).name
    return about
