"""`cbir words`: the nouns nearest to a word, and how many pictures of an index show each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import formats_options, index_option, verbosity_options
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.options.words import SenseOption, find_words, sense_option, write_senses
from cbir.cli.render import words as render
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.errors import CbirError, IndexDamagedError

if TYPE_CHECKING:
    from cbir.search.searched import SearchedIndex
    from cbir.words.vocabulary import Word

logger = logging.getLogger("cbir")

RULES = (Rule(("every",), "--shown leaves out what no picture shows, and so all that --all adds.", beside=("shown",)),)


@click.command("words", short_help="Find the words near a word.")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@sense_option
@index_option
@click.option("--top", "-k", "count", type=WholeNumber(min=1), default=10, show_default=True, help="Nouns a word.")
@click.option("--shown", is_flag=True, help="Only nouns that some picture of the index shows.")
@click.option("--all", "every", is_flag=True, help="Also nouns of which the network knows no class.")
@formats_options(render.FORMATS)
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    words: tuple[str, ...],
    senses: tuple[SenseOption, ...],
    index_name: str | None,
    count: int,
    shown: bool,
    every: bool,
    format_: str | None,
) -> None:
    """Find the nouns nearest to each WORD in WordNet, and count the pictures of an index that show each.

    So one sees what to search for. A likeness of 1 is another word for the same; each noun is broader (a dog is an
    animal), narrower (a dog may be a poodle), or beside the word. A picture shows what its tags would say. Without
    an index, nothing is counted. Where its network reads text, everyday nouns come too that are nearest by that.

    \b
      cbir words dog
      cbir words dog bird --index photos --shown
      cbir words crane --sense 5 --all -k 20
      cbir words dog --format csv
    """
    use_one_blas_thread()
    check_rules(ctx, RULES)
    asked = find_words(words, (), senses)
    assert asked is not None  # as one is required
    format_ = format_ or output.default_format(piped="jsonl")
    if any(sense.list for sense in senses):
        write_senses(asked, format_)
        return
    for remark in asked.remarks:
        logger.warning(remark)
    searched = _searched(index_name, is_needed=shown)
    found = [render.Found(word, _near(word, searched, count, only_shown=shown, every=every)) for word in asked.words]
    if searched is not None and searched.backbone.reads_text:
        found = _with_texts(found, searched, count, only_shown=shown)
    render.write(found, format_, with_pictures=searched is not None)
    if searched is not None and searched.has_classes:
        from cbir.search.by_words import notices_of

        for notice in notices_of(searched):
            logger.warning("%s", notice)


def _searched(name: str | None, *, is_needed: bool) -> SearchedIndex | None:
    """Open the index; None, with a word about it, where none was named and there is none whose pictures have classes.

    CbirError where one is needed, or was named.
    """
    from cbir.engines.lazy import LazyEngine
    from cbir.extract.of_index import backbone_of
    from cbir.index.open import open_index
    from cbir.search.searched import SearchedIndex

    try:
        index = open_index(name)
        searched = SearchedIndex(index, LazyEngine(backbone_of(index)))
        if not searched.backbone.reads_text:
            searched.classes("does not know which words its pictures show.")
    except IndexDamagedError:
        raise
    except CbirError as error:
        if name is not None or is_needed:
            raise
        logger.info("No pictures are counted. %s", error)
        return None
    return searched


def _near(
    word: Word, searched: SearchedIndex | None, count: int, *, only_shown: bool, every: bool
) -> list[render.CountedNoun]:
    """Return the first nouns near a word; of those that are as near, the ones that more pictures show come first."""
    from cbir.search.by_words import count_showing
    from cbir.words.near_nouns import nouns_near

    found: list[render.CountedNoun] = []
    has_counts = searched is not None and searched.has_classes
    for group in nouns_near(word, others=every):
        counted = [
            render.CountedNoun(noun, count_showing(searched, noun.word) if searched and has_counts else None)
            for noun in group
        ]
        if only_shown and has_counts:
            counted = [one for one in counted if one.pictures]
        found += sorted(counted, key=lambda one: -(one.pictures or 0))
        if len(found) >= count:
            break
    return found[:count]


def _with_texts(
    found: list[render.Found], searched: SearchedIndex, count: int, *, only_shown: bool
) -> list[render.Found]:
    """Return the same nouns and those near by the network's text encoder, by which pictures without classes count."""
    from cbir.search.nouns_by_text import NounsByText

    nouns = NounsByText(searched, [one.word for one in found], [its.noun for one in found for its in one.nouns])
    completed = []
    for one in found:
        its = one.nouns
        if not searched.has_classes:
            its = [render.CountedNoun(noun, nouns.count(noun.text)) for noun, _ in its]
            its = [noun for noun in its if noun.pictures or not only_shown]
        by_text = [render.CountedNoun(*near) for near in nouns.near(one.word, count, only_shown=only_shown)]
        completed.append(render.Found(one.word, its, by_text))
    return completed
