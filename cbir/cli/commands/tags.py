"""`cbir tags`: words for pictures."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import (
    FilePath,
    PicturePath,
    engine_option,
    formats_options,
    index_option,
    learnt_option,
    model_option,
    sidecar_options,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.images import NamedPictures, Stdin, list_options, with_folders
from cbir.cli.options.numbers import Number, WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import tags
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.errors import CbirError
from cbir.images.sources.address import Address, folder_of

if TYPE_CHECKING:
    from cbir.index.store import Index
    from cbir.search.queries import Query
    from cbir.tags.tagger import Choice, Tagged

logger = logging.getLogger("cbir")

RULES = (
    Rule(("model",), "--learnt is by the network of the index: leave --model out.", beside=("learnt",)),
    Rule(("max_general",), "--max-general is about ImageNet's classes, not those of --learnt.", beside=("learnt",)),
    Rule(
        ("engine", "precision", "weights"),
        "{said} cannot be used with --learnt for the pictures of the index, which needs no network.",
        beside=("learnt",),
        lacking=("images", "files_from"),
    ),
    Rule(
        ("engine", "precision", "model", "weights"),
        "{said} cannot be used with --index, which needs no network.",
        beside=("index_name",),
        lacking=("learnt", "words_file"),
    ),
    Rule(("model",), "--words with --index is by the network of the index: leave --model out.", beside=("index_name",)),
    Rule(
        ("words_file",),
        "--words is a list of one's own, and so are the classes of --learnt: leave one of them out.",
        beside=("learnt",),
    ),
    Rule(("max_general",), "--max-general is about ImageNet's classes, not those of --words.", beside=("words_file",)),
    Rule(
        ("dry_run", "sidecar_names"),
        "--dry-run and --sidecar-names are about sidecar files: add --xmp.",
        lacking=("xmp",),
    ),
    Rule(
        ("index_name",),
        "--index is for all pictures of an index: name pictures, or an index.",
        beside=("images", "files_from"),
        lacking=("learnt", "words_file"),
    ),
)


@click.command("tags", short_help="Find words for pictures.")
@click.argument("images", nargs=-1, type=PicturePath(), metavar="IMAGE...")
@index_option
@learnt_option
@click.option(
    "--words",
    "words_file",
    type=FilePath(),
    metavar="FILE",
    help="Tags are the words in this file, one a line, by a network that reads text.",
)
@click.option("--count", "-k", type=WholeNumber(min=1), default=5, show_default=True, help="Most tags a picture.")
@click.option(
    "--min-probability",
    type=Number(0, 1, min_open=True),
    default=0.15,
    show_default=True,
    help="Only tags that are at least this probable.",
)
@click.option(
    "--max-general",
    type=Number(0, 1),
    default=0.4,
    show_default=True,
    help="Only words for at most this share of all classes: `animal` is 0.4, `dog` 0.12.",
)
@list_options
@sidecar_options("the tags")
@model_option
@weights_option
@engine_option
@formats_options(tags.FORMATS, "Default: table on a terminal, jsonl in a pipe, nothing with --xmp.")
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[Path, ...],
    index_name: str | None,
    learnt: str | None,
    words_file: Path | None,
    count: int,
    min_probability: float,
    max_general: float,
    files_from: Path | None,
    null: bool,
    xmp: bool,
    sidecar_names: str,
    dry_run: bool,
    model: str | None,
    weights: str | None,
    engine: str | None,
    format_: str | None,
) -> None:
    """Find words for each IMAGE (a folder: all pictures in it; -: a picture from stdin), or for those of an index.

    A tag is as special as the network is sure: a dog of uncertain breed is a dog. With --index no network is loaded,
    since the index has the classes of its pictures, and their objects if they were looked for, which are tags too.
    --xmp never touches a picture, and never a sidecar file that another program has written or changed; cbir's own are
    brought up to date.

    With --learnt, tags are the classes of a notion of the index: of its pictures, or of each IMAGE. With --words, they
    are words of your own, by a network that reads text: that of --index, or --model.

    \b
      cbir tags some.jpg
      cbir tags photos/ --format csv
      cbir tags --index photos --format jsonl
      cbir tags photos/ --xmp
      cbir tags new/ --learnt subject
      find new/ -name '*.jpg' -print0 | cbir tags --files-from - -0
    """
    use_one_blas_thread()
    check_rules(ctx, RULES)
    from cbir.tags.tagger import Choice

    choice = Choice(count, min_probability, max_general)
    stdin = Stdin()
    pictures, unreadable = with_folders(NamedPictures(images, files_from, stdin, null=null).all())
    if xmp and any(isinstance(picture.source, bytes) for picture in pictures):
        raise click.UsageError("A picture from stdin has no place for a sidecar file: leave --xmp out.")
    far = [picture.name for picture in pictures if isinstance(picture.source, Address)]
    if xmp and far:
        raise click.UsageError(f"{far[0]} is no file here, beside which a sidecar file could be: leave --xmp out.")
    if not pictures and not unreadable and (files_from is not None or (index_name is None and learnt is None)):
        raise click.UsageError("Name a picture, a list of them with --files-from, or an index with --index.")
    index = None if index_name is None and learnt is None else _open(index_name)
    of_index = not (images or files_from)
    names = _names_in(index) if index is not None and of_index else [one.name for one in pictures]
    if index is not None and learnt is not None:
        results = _by_notion(index, learnt, None if of_index else pictures, choice, weights, engine)
    elif words_file is not None:
        results = _by_text(index, words_file, None if of_index else pictures, choice, model, weights, engine)
    elif index is not None:
        results = _of_index(index, choice)
    else:
        results = _of_pictures(pictures, choice, model, weights, engine)
    quiet, verbose = bool(ctx.obj and ctx.obj.get("quiet")), bool(ctx.obj and ctx.obj.get("verbose"))
    format_ = format_ or (None if xmp else output.default_format(piped="jsonl"))
    sidecars = None
    if xmp:
        root = folder_of(index.root) if index is not None and of_index else None
        sidecars = tags.SidecarWriter(sidecar_names, dry_run=dry_run, every=verbose, root=root)
    # a table that grows on the terminal is progress enough
    watch = progress(disable=quiet or (format_ not in (None, "json") and sys.stdout.isatty()))
    writer = tags.TagWriter(format_, names, sidecars, is_one=not of_index and len(names) == 1)
    has_failed = writer.write(watch(results, len(names)))
    if sidecars is not None and not quiet:
        output.tell(sidecars.summary())
    if index is not None and writer.unknown and learnt is None and words_file is None:
        _say_why(index, writer.unknown)
    if has_failed or unreadable or (index is not None and index.damage):
        ctx.exit(CbirError.exit_code)


def _open(name: str | None) -> Index:
    from cbir.index.open import open_index

    return open_index(name)


def _of_index(index: Index, choice: Choice) -> Iterator[Tagged]:
    from cbir.tags.tagger import tag_index

    return tag_index(index, choice)


def _names_in(index: Index) -> list[str]:
    return list(map(str, index.paths()))


def _by_notion(
    index: Index, name: str, pictures: list[Query] | None, choice: Choice, weights: str | None, engine: str | None
) -> Iterator[Tagged]:
    """Tag pictures, or all those of the index, by one of its notions."""
    from cbir.images.source import NamedImage
    from cbir.notions.store import load_notion
    from cbir.tags.learnt import tag_index_learnt, tag_learnt

    notion = load_notion(index, name)
    if pictures is None:
        return tag_index_learnt(index, notion, choice)
    named = [NamedImage(picture.source, picture.name) for picture in pictures]
    return tag_learnt(index, notion, named, choice, engine=engine, weights=weights)


def _by_text(
    index: Index | None,
    words_file: Path,
    pictures: list[Query] | None,
    choice: Choice,
    model: str | None,
    weights: str | None,
    engine: str | None,
) -> Iterator[Tagged]:
    """Tag pictures, or all those of the index, with the words of a file."""
    from cbir.backbones.backbone import choose
    from cbir.engines.lazy import LazyEngine
    from cbir.images.source import NamedImage
    from cbir.tags.by_text import TextTagger, read_words, text_tagger_of

    words = read_words(words_file)
    if index is not None:
        tagger = text_tagger_of(index, words, choice, engine=engine, weights=weights)
    else:
        tagger = TextTagger(LazyEngine(choose(model, weights)[0], engine), words, choice)
    if pictures is None:
        assert index is not None  # as there are no pictures
        return tagger.tag_index(index)
    return tagger.tag([NamedImage(picture.source, picture.name) for picture in pictures], engine)


def _say_why(index: Index, count: int) -> None:
    """Say why `count` pictures of an index have no tags."""
    from cbir.words.of_index import why_without_classes

    if index.meta.objects is None:
        why = why_without_classes(index)
    else:
        why = f"`cbir index --index {index.directory.name}` looks for what they show."
    logger.warning("%s of %s pictures are without tags. %s", f"{count:,}", f"{len(index):,}", why)


def _of_pictures(
    pictures: list[Query], choice: Choice, model: str | None, weights: str | None, engine: str | None
) -> Iterator[Tagged]:
    from cbir.backbones.backbone import choose
    from cbir.images.source import NamedImage
    from cbir.tags.tagger import Tagger

    backbone, remark = choose(model, weights)
    if remark:
        logger.info("%s", remark)
    named = (NamedImage(picture.source, picture.name) for picture in pictures)
    return Tagger(backbone, choice, engine=engine, expected=len(pictures)).tag(named)
