"""`cbir search`: the pictures of an index that are most like a query, or show what is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options import values
from cbir.cli.options.common import (
    WeighedPath,
    engine_option,
    format_option,
    indexes_option,
    learnt_option,
    network_option,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.images import files_from_option, private_option, query_index_option, vectors_option
from cbir.cli.options.indexes import AskedIndexes, Find
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.objects import crop_options, object_options
from cbir.cli.options.people import people_options
from cbir.cli.options.regions import asked_region, kind_option, parts_option, region_options
from cbir.cli.options.rules import check_rules
from cbir.cli.options.search_queries import SearchOptions, SearchQueries
from cbir.cli.options.search_rules import RULES
from cbir.cli.options.texts import text_options
from cbir.cli.options.treatment import treatment_option
from cbir.cli.options.words import find_words, word_options, write_senses
from cbir.cli.render.search import MatchWriter, noted, with_tags
from cbir.cli.render.search_crops import SearchCrops
from cbir.cli.render.search_report import SearchReports, report_options
from cbir.cli.terminal import output
from cbir.cli.terminal.opening import Opener, open_option
from cbir.cli.terminal.preview import Preview, preview_option
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.search.queries import AnyQuery, WordQuery
    from cbir.search.results import SearchResult
    from cbir.search.searcher import Searcher

logger = logging.getLogger("cbir")

# Of the pictures of the web that queries are by, what is kept for pages and regions.
_KEPT_BYTES = 64 << 20


@click.command("search", short_help="Find pictures by a picture, by words, or by objects.")
@click.argument("images", nargs=-1, type=WeighedPath(), metavar="[IMAGE]...")
@text_options
@word_options
@object_options
@people_options
@treatment_option
@region_options
@parts_option
@kind_option
@indexes_option
@click.option("--top", "-k", "count", type=WholeNumber(min=1), default=10, show_default=True, help="Matches a query.")
@click.option(
    "--min-score",
    callback=values.least_score,
    metavar="COSINE|PERCENT%",
    help="Only matches with at least this score (0.8), or percentile (99.9%).",
)
@click.option(
    "--folder", "folders", multiple=True, metavar="DIR", help="Only pictures in this folder of the index. Repeatable."
)
@click.option(
    "--tagged", "tags", multiple=True, metavar="WORD", help="Only pictures with this tag, or one below. Repeatable."
)
@click.option("--since", callback=values.day, metavar="DATE", help="Only photos taken on this day, or later.")
@click.option("--until", callback=values.last_day, metavar="DATE", help="Only photos taken on this day, or before.")
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
    "--unlike",
    type=WeighedPath(),
    multiple=True,
    metavar="[WEIGHT:]FILE",
    help="Move away from this picture. Repeatable.",
)
@click.option("--strength", callback=values.strength, metavar="N", help="How far --unlike moves.  [default: 0.3]")
@click.option(
    "--class-weights",
    "class_name",
    metavar="NAME",
    help="Order by what makes pictures this class of ImageNet: a name, or a WordNet id.",
)
@learnt_option
@click.option(
    "--across",
    multiple=True,
    metavar="DIR",
    help="This folder of the index has pictures of one treatment, such as drawings: each picture is compared less the "
    "mean of its folder. Repeatable.",
)
@network_option
@files_from_option
@private_option
@click.option("--null", "-0", is_flag=True, help="Names in --files-from and printed paths end in NUL, not newline.")
@query_index_option
@vectors_option
@preview_option
@open_option
@format_option("table on a terminal, paths in a pipe")
@crop_options
@click.option("--explain", is_flag=True, help="On sheets and pages, matches under the heat of what is alike in them.")
@report_options
@weights_option
@engine_option
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **params: Any) -> None:
    """Find the pictures of an index that are most like each IMAGE (- reads a picture from stdin), or show a WORD.

    The relevance falls with the rank: of matches with 0.8, about 8 in 10 show the same kind of thing. The score is the
    cosine between the pictures' features: 1 is the same picture. The percentile is how many percent of the index's
    pictures, taken in pairs at random, are less alike than that. IMAGE need not be in the index, and may be an address
    (https://…), which is fetched.

    A --text is a sentence in your words, for an index whose network reads text; of another one the nouns are looked
    for. Words are nouns in English. The probability is what the network gives to all of them being shown. With an IMAGE
    and words, matches are like the picture and show what the words say. A number and a colon before an IMAGE, a word or
    a text say how much it counts beside others.

    Objects were found by a detector when the index was made. Alone, those come first of which it is surest; with an
    IMAGE or words, only pictures that show them are searched.

    With --across, pictures of one folder find those of others that were made in another way, such as drawings, as if
    all were of one kind; --folder says where to look.

    With --face the same person is looked for, in an index with faces. Those of children, of siblings, and of people of
    whom the network has seen few are easily taken for each other: see docs/person-search.md.

    With --treatment pictures are found that went through the same filter, in an index that knows: not those of the same
    texture or art, which a search without it and `cbir learn` find better.

    \b
      cbir search some.jpg
      cbir search some.jpg -k 3 --format json
      cbir search some.jpg --region 40,30,200,150
      cbir search some.jpg --region 40,30,200,150 --kind
      cbir search some.jpg --sheet found.jpg --html found.html
      cbir search some.jpg --explain --html found.html
      cbir search --together one.jpg other.jpg --unlike third.jpg
      cbir search some.jpg --class-weights "grand piano" --min-score 99%
      cbir search some.jpg --learnt subject
      cbir search some.jpg --index collections/prints --across photos --across sketches
      cbir search --text "two parrots on a branch"
      cbir search some.jpg --text "2:in the evening" --not-text snow
      cbir search --word bird --not-word flamingo --min-probability 0.5
      cbir search 2:some.jpg --word snow --not-word 3:dog
      cbir search --word crane --sense list
      cbir search --object 2:dog --not-object vehicle
      cbir search some.jpg --object dog:0.6
      cbir search --object dog --crops dogs/ --masks
      cbir search some.jpg --face
      cbir search some.jpg --treatment
      cbir search --person Anna --since 2024-01-01
      find new/ -name '*.jpg' -print0 | cbir search --files-from - -0 --format jsonl
      cbir search --query-index photos --index photos -k 1 --format csv
      cbir search some.jpg --index archive/2024 --index archive/2025
    """
    use_one_blas_thread()
    options = SearchOptions(**params)
    words = find_words(options.words, options.unwanted, options.senses)
    if words is not None and any(sense.list for sense in options.senses):
        write_senses(words, options.format_ or "table")
        return
    check_rules(ctx, RULES)
    if options.since and options.until and options.since > options.until:
        raise click.UsageError(f"No day is from {options.since} (--since) to {options.until} (--until).")
    if _search(options, words):
        ctx.exit(CbirError.exit_code)


def _search(options: SearchOptions, words: WordQuery | None) -> bool:
    """Search and write what is found; whether something failed."""
    format_ = options.format_ or ("paths" if options.null else output.default_format(piped="paths"))
    region = asked_region(options.region, options.segment)
    preview = Preview.checked(format_) if options.preview else None
    if options.sheet or options.html or region:
        from cbir.images.sources.web import keep  # which loads what speaks HTTP

        keep(_KEPT_BYTES)
    queries = SearchQueries(options, words, region)
    for remark in words.remarks if words else ():
        logger.warning(remark)
    asked = _asked_indexes(options, queries.at_least)
    searchers = asked.searchers
    tagged = format_ != "paths" or options.html is not None
    results = noted(asked.search(queries.batches(searchers[0]), _finder(options, tagged=tagged), options.count))
    opener = Opener()
    crops = SearchCrops(
        options.crops,
        engine=searchers[0].engine.first if options.masks else None,
        inputs=[one.place for one in (*options.images, *options.unlike) if isinstance(one.place, Path)],
        reserved=[path for path in (options.sheet, options.html) if path is not None],
        force=options.force,
    )
    explained = None
    if options.explain:
        if len(searchers) > 1:
            raise click.UsageError("--explain is for an index, or several by one network: name others by themselves.")
        from cbir.cli.render.search_explained import ExplainedMatches

        explained = ExplainedMatches(searchers[0])
    reports = SearchReports(searchers, options.sheet, options.html, force=options.force, explained=explained)
    writer = MatchWriter(
        [searcher.index for searcher in searchers],
        format_,
        several=queries.several,
        null=options.null,
        with_words=bool(words or (options.texts and not all(one.backbone.reads_text for one in searchers))),
        with_objects=any(one.index.meta.objects for one in searchers) and bool(options.objects or words or region),
        with_faces=options.face is not None or options.person is not None,
        preview=preview,
    )
    has_failed = writer.write(crops.watch(reports.watch(opener.watch(results) if options.opens else results)))
    has_failed |= crops.write()
    written = reports.write()
    if options.opens:
        opener.open(written)
    for problem in asked.problems:
        output.tell(f"Error: {problem} The other indexes answered.")
    return has_failed or asked.are_damaged


def _asked_indexes(options: SearchOptions, expected: int) -> AskedIndexes:
    """Open the indexes; a usage error where several cannot be asked so."""
    asked = AskedIndexes(
        options.index_names,
        model=options.model,
        engine=options.engine,
        weights=options.weights,
        expected=expected,
        by_features=options.has_features,
    )
    if asked.are_several and options.learnt is not None:
        raise click.UsageError("A notion (--learnt) is of one index: name one.")
    if asked.are_of_several_networks and options.across:
        raise click.UsageError("--across is for an index, or several by one network: name others by themselves.")
    if asked.are_of_several_networks and options.min_score.cosine is not None:
        raise click.UsageError(
            "The indexes are by different networks, in each of which a cosine means another thing: give --min-score "
            "as a percentile, such as 99%."
        )
    return asked


def _finder(options: SearchOptions, *, tagged: bool) -> Find:
    """Return what searches one index as the options say, with the tags of matches if these are shown."""
    from cbir.search.filters import RowFilter

    among = RowFilter(options.folders, options.tags, options.since, options.until)
    if options.is_beside:
        among = replace(among, objects=options.objects, not_objects=options.not_objects)

    def find(searcher: Searcher, batch: Iterable[AnyQuery]) -> Iterator[SearchResult]:
        results = searcher.search(
            batch,
            count=options.count,
            reranked=not options.no_rerank,
            include_self=options.include_self,
            among=among,
            min_score=options.min_score.cosine,
            min_percentile=options.min_score.percentile,
            min_probability=options.min_probability,
            class_name=options.class_name,
            learnt=options.learnt,
            across=options.across,
        )
        return with_tags(results, searcher.index) if tagged else results

    return find
