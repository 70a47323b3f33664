"""`cbir learn`: a likeness of your own, from labelled folders, lists or pairs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import (
    FilePath,
    engine_option,
    force_option,
    formats_options,
    index_option,
    verbosity_options,
    wait_option,
    weights_option,
)
from cbir.cli.options.completion import complete_index
from cbir.cli.options.given import Given
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import learn as render
from cbir.cli.render.search_report import html_option
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.index.store import Index
    from cbir.learn.run import Learnt

logger = logging.getLogger("cbir")

#: Where labels come from; one of them at a time.
_SOURCES = ("from_", "labels", "pairs", "labels_of")

#: Skipped pictures that are named; the others are counted.
_NAMED = 5

RULES = (
    Rule(("lists", "forget"), "{said} stands alone: leave NAME and labels out.", beside=("name", *_SOURCES)),
    Rule(("lists",), "--list and --forget are two runs.", beside=("forget",)),
    Rule(("folders",), "Folders of classes come after --from.", lacking=("from_",)),
    Rule(("from_",), "{said} and a list are two ways to say labels: choose one.", beside=("labels", "pairs")),
    Rule(("labels",), "{said} and --pairs are two ways to say labels: choose one.", beside=("pairs",)),
    Rule(("labels_of",), "{said} brings all labels: leave the others out.", beside=("from_", "labels", "pairs", "add")),
    Rule(("ask", "html"), "{said} is about one notion: leave --list and --forget out.", beside=("lists", "forget")),
    Rule(("add", "anew"), "{said} is about new labels: add --from, --labels or --pairs.", lacking=_SOURCES),
    Rule(("parts",), "--parts is about new labels: add --from or --labels.", lacking=("from_", "labels")),
    Rule(("add",), "--add keeps the labels of before, --anew forgets them: choose one.", beside=("anew",)),
)


class LearnOptions(Given):
    """The options of one call, by their names."""

    name: str | None
    folders: tuple[Path, ...]
    from_: tuple[Path, ...]
    labels: Path | None
    pairs: Path | None
    labels_of: str | None
    parts: bool
    add: bool
    anew: bool
    lists: bool
    forget: str | None
    ask: int | None
    html: Path | None
    force: bool
    index_name: str | None
    weights: str | None
    engine: str | None
    wait: float
    format_: str | None

    @property
    def has_labels(self) -> bool:
        """True if any source of labels was named."""
        return bool(self.from_ or self.labels or self.pairs or self.labels_of)


@click.command("learn", short_help="Teach an index what you mean by alike.")
@click.argument("name", required=False)
@click.argument("folders", nargs=-1, type=FilePath(), metavar="")
@click.option(
    "--from",
    "from_",
    type=FilePath(),
    multiple=True,
    metavar="FOLDER...",
    help="Folders of pictures, each a class; of one alone, its subfolders are the classes.",
)
@click.option(
    "--labels",
    type=FilePath(),
    metavar="FILE",
    help="A CSV file of labels: `path,class` in each line, or `path,class,x,y,width,height` of parts of pictures.",
)
@click.option(
    "--pairs",
    type=FilePath(),
    metavar="FILE",
    help="A CSV file of pairs: `same,path,path` or `different,path,path` in each line.",
)
@click.option(
    "--labels-of",
    metavar="INDEX",
    shell_complete=complete_index,
    help="The labels that the notion of this name has in another index, perhaps one by another network.",
)
@click.option(
    "--parts",
    is_flag=True,
    help="The labelled pictures are cut out of others: learn what orders searches by parts, not by whole pictures.",
)
@click.option("--add", is_flag=True, help="Add these labels to those that the notion has.")
@click.option("--anew", is_flag=True, help="Forget the labels that the notion has, and learn from these.")
@click.option("--list", "lists", is_flag=True, help="List the notions of the index.")
@click.option("--forget", metavar="NAME", help="Take a notion out of the index, with its labels.")
@click.option(
    "--ask",
    type=WholeNumber(1, 1000),
    metavar="COUNT",
    help="List so many pictures of the index whose labels would teach most, also before anything is learnt.",
)
@html_option
@force_option
@index_option
@weights_option
@engine_option
@wait_option
@formats_options(render.FORMATS, "The form of what is printed. Default: table; of --ask in a pipe, paths.")
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Learn a notion, a likeness of your own, called NAME, from labels; then `cbir search --learnt NAME` goes by it.

    It takes seconds and no network: labels are of pictures in the index. Others are looked at once. Whether the notion
    is applied is decided by the labels themselves, each told by the others; likely wrong ones are listed. With NAME
    alone it is learnt anew from the labels that were kept, after the index has changed say. --html is a page of the
    labels that are likely wrong; with --ask, which learns nothing unless there are new labels, of what is asked for.

    Labels of boxes, or of pictures that are cut out of others (--parts), make a notion of parts, which orders searches
    by --region, --parts, --kind and --same. The index needs parts, and the network looks at each label once.

    \b
      cbir learn kinds --from photos/mountain_lakes photos/hot_air_balloons
      cbir learn all --from photos/
      cbir learn mine --labels labels.csv
      cbir learn mine --labels labels.csv --add
      cbir learn kinds
      cbir learn kinds --html doubtful.html
      cbir learn kinds --ask 20 --html next.html
      cbir learn --list
      cbir learn --forget kinds
      cbir index photos/ --parts
      cbir learn things --labels boxes.csv
      cbir learn cuttings --from photos/ --parts
    """
    check_rules(ctx, RULES)
    request = LearnOptions(**options)
    if request.name is None and not request.lists and request.forget is None:
        raise click.UsageError("Name the notion: `cbir learn NAME --from FOLDER ...`, or see --list.")
    from cbir.index.open import open_index

    index = open_index(request.index_name)
    if request.forget is not None:
        from cbir.notions.store import forget_notion

        forget_notion(index.directory, request.forget, request.wait)
        output.tell(f"The index {index.directory.name} has no notion {request.forget} any more.")
    elif request.lists:
        _list(index, request.format_ or "table", ctx)
    elif request.name is not None:
        if request.has_labels or request.ask is None:
            _tell(_learn(request, request.name, index, ctx), index, request)
        if request.ask is not None:
            _ask(request, request.name, request.ask, index)


def _tell(learnt: Learnt, index: Index, request: LearnOptions) -> None:
    """Tell what was learnt, in short where more is asked for. CbirError where it was refused."""
    _tell_skipped(learnt)
    if request.ask is not None:
        output.tell(f"{learnt.name}: {learnt.verdict}, {learnt.why}")
    else:
        render.write_learnt(learnt, request.format_ or "table")
        if request.html is not None:
            from cbir.cli.render.learn_report import write_doubtful

            write_doubtful(learnt, index, request.html, force=request.force)
    if learnt.notion is None:
        raise CbirError(f"The notion {learnt.name} is refused, {learnt.why}")


def _ask(request: LearnOptions, name: str, count: int, index: Index) -> None:
    """List the pictures whose labels would teach a notion most, and write the page of them."""
    from cbir.index.store import Index
    from cbir.learn.ask import ask_for

    index = Index.open(index.directory)  # with what has just been learnt
    asked = ask_for(index, name, count)
    if all(entry.name != name for entry in index.meta.notions):
        logger.info("There is no notion %s yet: these are pictures that many others are like.", name)
    if not asked:
        logger.info("All pictures of %s have a label.", index.directory.name)
    if request.html is not None:
        from cbir.cli.render.learn_report import write_asked

        write_asked(asked, name, index, request.html, force=request.force)
    usual = None if output.default_format(piped="paths") == "paths" else "table"
    render.write_asked(asked, request.format_ or usual)


def _learn(request: LearnOptions, name: str, index: Index, ctx: click.Context) -> Learnt:
    """Learn from the source of labels that was named, or anew from those that were kept."""
    from cbir.learn.lists import read_labels, read_pairs
    from cbir.learn.run import Learner

    watch = progress(disable=bool(ctx.obj and ctx.obj.get("quiet")))
    learner = Learner(index, engine=request.engine, weights=request.weights, wait=request.wait, watch=watch)
    add, anew = request.add, request.anew
    if folders := [*request.from_, *request.folders]:
        return learner.from_folders(name, folders, parts=request.parts, add=add, anew=anew)
    if request.labels is not None:
        return learner.from_labels(name, read_labels(request.labels), parts=request.parts, add=add, anew=anew)
    if request.pairs is not None:
        return learner.from_pairs(name, read_pairs(request.pairs), add=add, anew=anew)
    if request.labels_of is not None:
        from cbir.index.open import open_index

        return learner.from_index(name, open_index(request.labels_of), anew=anew)
    return learner.again(name)


def _list(index: Index, format_: str, ctx: click.Context) -> None:
    from cbir.notions.store import notions_of

    notions, problems = notions_of(index)
    render.write_notions(notions, format_, index.directory.name)
    for problem in problems:
        output.tell(f"Error: {problem}")
    if problems:
        ctx.exit(CbirError.exit_code)


def _tell_skipped(learnt: Learnt) -> None:
    for one in learnt.skipped[:_NAMED]:
        logger.warning("Left out: %s (%s).", one.path, one.reason)
    if len(learnt.skipped) > _NAMED:
        logger.warning("Left out: %s pictures more.", f"{len(learnt.skipped) - _NAMED:,}")
