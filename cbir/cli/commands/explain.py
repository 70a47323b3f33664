"""`cbir explain`: why a picture was found."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import (
    FilePath,
    PicturePath,
    engine_option,
    force_option,
    formats_options,
    index_option,
    learnt_option,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.given import Given
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.options.words import SenseOption, find_words, sense_option
from cbir.cli.render.explain import FORMATS, Explanations
from cbir.cli.render.search_report import html_option
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.errors import CbirError, IndexConflictError, IndexNotFoundError
from cbir.images.sources.address import Location

if TYPE_CHECKING:
    from cbir.explain.explainer import Explainer
    from cbir.index.store import Index
    from cbir.words.vocabulary import Word

logger = logging.getLogger("cbir")

RULES = (
    Rule(("count",), "-k is how many matches are looked for where none is named: name them, or say how many."),
    Rule(("no_rerank",), "--no-rerank is for matches that are looked for: name none, or leave it out."),
)
WORD_RULES = (
    Rule(("learnt",), "{said} is about two pictures, and --word about each: leave one of them out."),
    Rule(("all_pairs",), "{said} is about two pictures, and --word about each: leave one of them out."),
)


class ExplainOptions(Given):
    """The options of one call, by their names."""

    query: Location
    matches: tuple[Location, ...]
    count: int | None
    no_rerank: bool
    word: str | None
    senses: tuple[SenseOption, ...]
    fine: bool
    all_pairs: bool
    learnt: str | None
    index_name: str | None
    model: str | None
    weights: str | None
    engine: str | None
    out: Path | None
    html: Path | None
    force: bool
    format_: str | None

    @property
    def pictures(self) -> tuple[Location, ...]:
        """All pictures that were named."""
        return self.query, *self.matches


@click.command("explain", short_help="Show why a picture was found.")
@click.argument("query", type=PicturePath())
@click.argument("matches", nargs=-1, type=PicturePath(), metavar="[MATCH]...")
@click.option("--top", "-k", "count", type=WholeNumber(1, 100), help="Without MATCH, explain so many.  [default: 3]")
@click.option("--no-rerank", is_flag=True, help="Without MATCH, those that are first by cosine.")
@click.option("--word", metavar="WORD", help="Show what speaks for a word in each picture: all of them are named.")
@sense_option
@click.option("--fine", is_flag=True, help="Look at pictures twice as large: for small things in them.")
@click.option("--all-pairs", is_flag=True, help="With JSON, the shares of all pairs of places.")
@learnt_option
@index_option
@click.option(
    "--model",
    "-m",
    metavar="NAME",
    help="By this network of the index; without an index, the backbone (see `cbir models`).",
)
@click.option("--out", "-o", type=FilePath(), metavar="FOLDER", help="Write NAME.explained.png for each match there.")
@html_option
@force_option
@weights_option
@engine_option
@formats_options(FORMATS)
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **params: object) -> None:
    """Show why MATCH is like QUERY: which places of both, which words, and through which neighbours it was found.

    The score is the cosine of the pictures' features. Each place of both pictures has its exact share in it; what all
    pictures of the index have in common is taken off before places are coloured. Without MATCH, the first matches of a
    search in the index are explained. Pictures need not be in an index, but neighbours are known of those that are.

    With --word, QUERY and MATCH are any pictures, and each is coloured where it speaks for the word.

    \b
      cbir explain some.jpg other.jpg
      cbir explain some.jpg -k 3 --html why.html
      cbir explain some.jpg other.jpg third.jpg --fine --out why/
      cbir explain some.jpg other.jpg --learnt subject --json
      cbir explain --word lake some.jpg other.jpg --out why/
    """
    use_one_blas_thread()
    options = ExplainOptions(**params)
    words = find_words([options.word] if options.word is not None else [], [], options.senses)
    for remark in words.remarks if words else ():
        logger.warning(remark)
    if words is not None:
        check_rules(ctx, WORD_RULES)
    if words is not None or options.matches:
        check_rules(ctx, RULES)
    index = _index(options)
    writer = Explanations(
        options.pictures,
        format_=options.format_ or output.default_format(piped="jsonl"),
        out=options.out,
        html=options.html,
        force=options.force,
        all_pairs=options.all_pairs,
        index=index,
    )
    explainer = _explainer(options, index)
    if words is not None:
        _explain_word(explainer, options.pictures, words.words[0], writer)
    else:
        _explain(explainer, options, writer)
    writer.finish()
    if writer.has_failed:
        ctx.exit(CbirError.exit_code)


def _index(options: ExplainOptions) -> Index | None:
    """Open the index that was named, or the only one; None where pictures are compared without any."""
    from cbir.index.open import open_index

    try:
        return open_index(options.index_name, options.model)
    except (IndexNotFoundError, IndexConflictError):  # none, or it is by another network than the one that was named
        if options.index_name is not None or options.learnt is not None:
            raise
        if options.word is None and not options.matches:
            raise
    logger.info("Without an index (--index): what pictures have in common cannot be taken off.")
    return None


def _explainer(options: ExplainOptions, index: Index | None) -> Explainer:
    from cbir.backbones.backbone import describe_or_bundled
    from cbir.engines.lazy import LazyEngine
    from cbir.explain.explainer import Explainer
    from cbir.extract.of_index import backbone_of

    if index is None:
        backbone = describe_or_bundled(options.model, options.weights)
    else:
        backbone = backbone_of(index, weights=options.weights)
    return Explainer(LazyEngine(backbone, options.engine), index, notion=options.learnt, fine=options.fine)


def _explain(explainer: Explainer, options: ExplainOptions, writer: Explanations) -> None:
    """Explain each match, found or named. ImageReadError where the query cannot be read."""
    query, matches = options.query, list(options.matches)
    ranks: list[int | None] = [None] * len(matches)
    if not matches:
        assert explainer.index is not None
        from cbir.search.searcher import Searcher

        searcher = Searcher(explainer.index, engine=explainer.engine)
        found = next(
            searcher.search([query], count=options.count or 3, reranked=not options.no_rerank, learnt=options.learnt)
        )
        if found.error is not None:
            raise found.error
        matches, ranks = [match.path for match in found.matches], [match.rank for match in found.matches]
    seen = explainer.see(query)
    for match, rank in zip(matches, ranks, strict=True):
        with writer.noting(match):
            writer.add(explainer.explain(seen, explainer.see(match)), rank)


def _explain_word(explainer: Explainer, pictures: tuple[Location, ...], word: Word, writer: Explanations) -> None:
    for path in pictures:
        with writer.noting(path):
            seen = explainer.see(path)
            writer.add_word(seen, word, explainer.word(seen, word))
