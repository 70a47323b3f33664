"""`cbir learn`: a likeness of your own, from labelled folders, lists or pairs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.common import FilePath, engine_option, index_option, verbosity_options, weights_option
from cbir.cli.options.numbers import Number
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import learn as render
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.index.store import Index
    from cbir.learn.run import Learner, Learnt

logger = logging.getLogger("cbir")

#: Where labels come from; one of them at a time.
_SOURCES = ("from_", "labels", "pairs")

#: Skipped pictures that are named; the others are counted.
_NAMED = 5

RULES = (
    Rule(("lists", "forget"), "{said} stands alone: leave NAME and labels out.", beside=("name", *_SOURCES)),
    Rule(("lists",), "--list and --forget are two runs.", beside=("forget",)),
    Rule(("folders",), "Folders of classes come after --from.", lacking=("from_",)),
    Rule(("from_",), "{said} and a list are two ways to say labels: choose one.", beside=("labels", "pairs")),
    Rule(("labels",), "{said} and --pairs are two ways to say labels: choose one.", beside=("pairs",)),
    Rule(("add", "anew"), "{said} is about new labels: add --from, --labels or --pairs.", lacking=_SOURCES),
    Rule(("add",), "--add keeps the labels of before, --anew forgets them: choose one.", beside=("anew",)),
)


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
@click.option("--labels", type=FilePath(), metavar="FILE", help="A CSV file of labels: `path,class` in each line.")
@click.option(
    "--pairs",
    type=FilePath(),
    metavar="FILE",
    help="A CSV file of pairs: `same,path,path` or `different,path,path` in each line.",
)
@click.option("--add", is_flag=True, help="Add these labels to those that the notion has.")
@click.option("--anew", is_flag=True, help="Forget the labels that the notion has, and learn from these.")
@click.option("--list", "lists", is_flag=True, help="List the notions of the index.")
@click.option("--forget", metavar="NAME", help="Take a notion out of the index, with its labels.")
@index_option
@weights_option
@engine_option
@click.option(
    "--wait",
    type=Number(min=0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Wait for another run to end.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(render.FORMATS),
    default="table",
    show_default=True,
    help="The form of what is printed.",
)
@click.option("--json", "format_", flag_value="json", help="The same as --format json.")
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    folders: tuple[Path, ...],
    from_: tuple[Path, ...],
    labels: Path | None,
    pairs: Path | None,
    add: bool,
    anew: bool,
    lists: bool,
    forget: str | None,
    index_name: str | None,
    weights: str | None,
    engine: str | None,
    wait: float,
    format_: str,
) -> None:
    """Learn a notion, a likeness of your own, called NAME, from labels; then `cbir search --learnt NAME` goes by it.

    It takes seconds and no network: labels are of pictures in the index. Others are looked at once. Whether the notion
    is applied is decided by the labels themselves, each told by the others; likely wrong ones are listed. With NAME
    alone it is learnt anew from the labels that were kept, after the index has changed say.

    \b
      cbir learn kinds --from photos/mountain_lakes photos/hot_air_balloons
      cbir learn all --from photos/
      cbir learn mine --labels labels.csv
      cbir learn mine --labels labels.csv --add
      cbir learn kinds
      cbir learn --list
      cbir learn --forget kinds
    """
    check_rules(ctx, RULES)
    if name is None and not lists and forget is None:
        raise click.UsageError("Name the notion: `cbir learn NAME --from FOLDER ...`, or see --list.")
    from cbir.index.open import open_index

    index = open_index(index_name)
    if forget is not None:
        from cbir.notions.store import forget_notion

        forget_notion(index.directory, forget, wait)
        output.tell(f"The index {index.directory.name} has no notion {forget} any more.")
    elif lists:
        _list(index, format_, ctx)
    elif name is not None:
        from cbir.learn.run import Learner

        watch = progress(disable=bool(ctx.obj and ctx.obj.get("quiet")))
        learner = Learner(index, engine=engine, weights=weights, wait=wait, watch=watch)
        learnt = _learn(learner, name, [*from_, *folders], labels, pairs, add=add, anew=anew)
        _tell_skipped(learnt)
        render.write_learnt(learnt, format_)
        if learnt.notion is None:
            raise CbirError(f"The notion {name} is refused, {learnt.why}")


def _learn(
    learner: Learner,
    name: str,
    folders: list[Path],
    labels: Path | None,
    pairs: Path | None,
    *,
    add: bool,
    anew: bool,
) -> Learnt:
    from cbir.learn.lists import read_labels, read_pairs

    if folders:
        return learner.from_folders(name, folders, add=add, anew=anew)
    if labels is not None:
        return learner.from_labels(name, read_labels(labels), add=add, anew=anew)
    if pairs is not None:
        return learner.from_pairs(name, read_pairs(pairs), add=add, anew=anew)
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
