"""`cbir search`: the pictures of an index that are most like a query, or show what words say."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options import values
from cbir.cli.options.common import (
    FilePath,
    engine_option,
    format_option,
    given_options,
    index_option,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.images import NamedPictures, Stdin, files_from_option, query_index_option
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.regions import asked_region, parts_option, region_options, with_region
from cbir.cli.options.words import SenseOption, find_words, word_options, write_senses
from cbir.cli.render.search import MatchWriter, noted
from cbir.cli.render.search_report import SearchReports, report_options
from cbir.cli.terminal import output
from cbir.cli.terminal.opening import Opener, open_option
from cbir.cli.terminal.preview import Preview, preview_option
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.search.queries import AnyQuery, CombinedQuery, Query, WordQuery

logger = logging.getLogger("cbir")


@click.command("search", short_help="Find pictures by a picture, or by words.")
@click.argument("images", nargs=-1, type=FilePath(), metavar="[IMAGE]...")
@word_options
@region_options
@parts_option
@index_option
@click.option("--top", "-k", "count", type=WholeNumber(min=1), default=10, show_default=True, help="Matches a query.")
@click.option(
    "--min-score",
    callback=values.least_score,
    metavar="COSINE|PERCENT%",
    help="Only matches with at least this score (0.8), or percentile (99.9%).",
)
@click.option("--no-rerank", is_flag=True, help="Plain order: by cosine, or by a word's probability.")
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
@files_from_option
@click.option("--null", "-0", is_flag=True, help="Names in --files-from and printed paths end in NUL, not newline.")
@query_index_option
@preview_option
@open_option
@format_option("table on a terminal, paths in a pipe")
@report_options
@weights_option
@engine_option
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[Path, ...],
    words: tuple[str, ...],
    unwanted: tuple[str, ...],
    senses: tuple[SenseOption, ...],
    min_probability: float | None,
    region: str | None,
    segment: int | None,
    parts: bool | None,
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
    query_index: str | None,
    preview: bool,
    opens: bool,
    format_: str | None,
    sheet: Path | None,
    html: Path | None,
    force: bool,
    weights: str | None,
    engine: str | None,
) -> None:
    """Find the pictures of an index that are most like each IMAGE (- reads a picture from stdin), or show a WORD.

    The score is the cosine between the pictures' features: 1 is the same picture. The percentile is how many percent
    of the index's pictures, taken in pairs at random, are less alike than that. IMAGE need not be in the index.

    Words are nouns in English. The probability is what the network gives to all of them being shown. With an IMAGE
    and words, matches are like the picture and show what the words say.

    \b
      cbir search some.jpg
      cbir search some.jpg -k 3 --format json
      cbir search some.jpg --region 40,30,200,150
      cbir search some.jpg --sheet found.jpg --html found.html
      cbir search --together one.jpg other.jpg --unlike third.jpg
      cbir search some.jpg --class-weights "grand piano" --min-score 99%
      cbir search --word bird --not-word flamingo --min-probability 0.5
      cbir search some.jpg --word snow
      cbir search --word crane --sense list
      find new/ -name '*.jpg' -print0 | cbir search --files-from - -0 --format jsonl
      cbir search --query-index photos --index photos -k 1 --format csv
    """
    use_one_blas_thread()
    from cbir.index.open import open_index
    from cbir.search.searcher import Searcher

    if shares and not together:
        raise click.UsageError("--shares are for the pictures of one query: add --together.")
    if strength is not None and not unlike:
        raise click.UsageError("--strength is how far --unlike moves: name a picture with --unlike.")
    asked = find_words(words, unwanted, senses)
    if any(sense.list for sense in senses):
        assert asked is not None
        write_senses(asked, format_ or "table")
        return
    if min_probability is not None and asked is None:
        raise click.UsageError("--min-probability is for words: name one with --word.")
    if query_index is not None:
        _refuse_other_pictures(ctx)
    by_words_alone = asked is not None and not images and files_from is None and query_index is None
    if by_words_alone:
        _refuse_options_of_pictures(ctx)
    asked_part = asked_region(region, segment)
    if parts and (asked or together or unlike or class_name or query_index is not None):
        raise click.UsageError(
            "--parts is for queries by one picture each: without words, --together, --unlike, --class-weights and "
            "--query-index."
        )
    stdin = Stdin()
    format_ = format_ or ("paths" if null else output.default_format(piped="paths"))
    previews = Preview.checked(format_) if preview else None
    named = NamedPictures(images, files_from, stdin, null=null)
    if query_index is None and not by_words_alone and named.are_none():
        what = "to search by" if not unlike else "that matches are to be like"
        raise click.UsageError(f"Name a picture {what}, or a list of them with --files-from, or a word with --word.")
    others = [stdin.query(path) for path in unlike]
    pictures: Iterable[Query | None] = named
    if together:
        pictures = group = named.all()
        if shares and len(shares) != len(group):
            raise click.UsageError(f"--shares has {len(shares)} numbers for {len(group)} pictures.")
    for remark in asked.remarks if asked else ():
        logger.warning(remark)
    searcher = Searcher(
        open_index(index_name), engine=engine, weights=weights, expected=named.at_least + len(set(others))
    )
    if query_index is not None:
        from cbir.search.from_index import indexed_queries

        pictures = indexed_queries(open_index(query_index), searcher.backbone)
    pictures = with_region(pictures, asked_part, parts)
    queries = _combined(pictures, others, together=together, shares=shares, strength=strength)
    opener = Opener()
    results = searcher.search(
        [asked] if asked is not None and by_words_alone else _with_words(queries, asked),
        count=count,
        reranked=not no_rerank,
        include_self=include_self,
        min_score=min_score.cosine,
        min_percentile=min_score.percentile,
        min_probability=min_probability,
        class_name=class_name,
    )
    writer = MatchWriter(
        searcher.index,
        format_,
        several=False if together or by_words_alone else True if query_index is not None else named.several,
        null=null,
        with_words=asked is not None,
        preview=previews,
    )
    reports = SearchReports(searcher, sheet, html, force=force)
    results = noted(results, tags_of=searcher.index if format_ != "paths" or html is not None else None)
    has_failed = writer.write(reports.watch(opener.watch(results) if opens else results))
    written = reports.write()
    if opens:
        opener.open(written)
    if has_failed or searcher.index.damage:
        ctx.exit(CbirError.exit_code)


#: Options that say something of the query's pictures, by their parameters.
_OF_PICTURES = {
    "min_score": "--min-score",
    "include_self": "--self",
    "together": "--together",
    "unlike": "--unlike",
    "class_name": "--class-weights",
    "region": "--region",
    "segment": "--segment",
    "parts": "--parts",
}


def _refuse_options_of_pictures(ctx: click.Context) -> None:
    """A usage error where such an option was given, and no picture."""
    given = given_options(ctx)
    for parameter, option in _OF_PICTURES.items():
        if parameter in given:
            instead = " --min-probability is for words." if parameter == "min_score" else ""
            raise click.UsageError(f"{option} is for a query's pictures: name one.{instead}")


def _refuse_other_pictures(ctx: click.Context) -> None:
    """A usage error where pictures are named beside --query-index, or taken together."""
    given = given_options(ctx)
    if {"images", "files_from"} & given and (ctx.params["images"] or ctx.params["files_from"]):
        raise click.UsageError("--query-index is for all pictures of an index: name pictures, or an index.")
    if "together" in given:
        raise click.UsageError("--together is for pictures that are named: with --query-index each is a query.")
    if {"region", "segment"} & given:
        raise click.UsageError("--region and --segment are for pictures that are named: --query-index reads none.")


def _with_words(queries: Iterable[Query | CombinedQuery | None], words: WordQuery | None) -> Iterable[AnyQuery | None]:
    """The same queries, with words if there are any."""
    if words is None:
        return queries
    return (None if query is None else replace(words, picture=query) for query in queries)


def _combined(
    pictures: Iterable[Query | None],
    others: list[Query],
    *,
    together: bool,
    shares: tuple[float, ...],
    strength: float | None,
) -> Iterable[Query | CombinedQuery | None]:
    """The queries: one of all `pictures` or one of each, away from all `others`. None are pauses."""
    from cbir.search.queries import STRENGTH, CombinedQuery

    away = STRENGTH if strength is None else strength
    if together:
        group = tuple(picture for picture in pictures if picture is not None)
        return [CombinedQuery(group, tuple(others), shares, away)]
    if not others:
        return pictures
    return (None if one is None else CombinedQuery((one,), tuple(others), (), away, group=False) for one in pictures)
