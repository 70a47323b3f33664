"""`cbir imagine`: a picture that a network would see as another one, as a class, or as more of one."""

from __future__ import annotations

from pathlib import Path

import click

from cbir.cli.options.common import (
    FilePath,
    PicturePath,
    force_option,
    formats_options,
    index_option_with,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.completion import complete_model
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import drawn as render
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.images.sources.address import Location, named_after
from cbir.utils.outputs import check_not_shown

RULES = (
    Rule(("like", "exaggerate"), "--like and --exaggerate are two pictures: choose one.", beside=("class_name",)),
    Rule(("like",), "--like and --exaggerate are two pictures: choose one.", beside=("exaggerate",)),
    Rule(
        ("stage",), "--stage says where a picture is looked at: name one with --like or --exaggerate.", ("class_name",)
    ),
    Rule(("index_name",), "--index tells a picture's rank: name one with --like or --exaggerate.", ("class_name",)),
)

# Sides of pictures are multiples of this, so that no stage of a network has half a place.
_STEP = 32


def _whole_places(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and value % _STEP:
        low = value // _STEP * _STEP
        raise click.BadParameter(f"{value} is no multiple of {_STEP}: choose {low} or {low + _STEP}.")
    return value


@click.command("imagine", short_help="Draw what a network sees: a picture's feature, a class.")
@click.option("--like", type=PicturePath(), metavar="IMAGE", help="Draw a picture that is seen as IMAGE is.")
@click.option("--exaggerate", type=PicturePath(), metavar="IMAGE", help="Draw more of what is seen in IMAGE.")
@click.option("--class", "class_name", metavar="CLASS", help="Draw what is seen as CLASS, one of ImageNet's 1,000.")
@click.option(
    "--out",
    "-o",
    type=FilePath(),
    required=True,
    callback=render.imagined_file,
    metavar="FILE",
    help="Where the picture goes: a .png.",
)
@click.option(
    "--stage",
    type=WholeNumber(min=1),
    help="As the network's stage of this number sees it, 1 the finest. Default: its feature; for --exaggerate the last "
    "stage but one.",
)
@click.option(
    "--size",
    type=WholeNumber(64, 512),
    default=256,
    show_default=True,
    callback=_whole_places,
    help="Pixels a side, a multiple of 32.",
)
@click.option(
    "--steps",
    type=WholeNumber(1, 5000),
    help="Steps. Default: 500; with --stage 300, for --class 200, for --exaggerate 128.",
)
@click.option(
    "--seed", type=WholeNumber(0, 2**32 - 1), default=0, show_default=True, help="Another one, another picture."
)
@index_option_with("Tell the rank of IMAGE among the pictures of this index, and draw by its network.")
@click.option(
    "--model",
    "-m",
    metavar="NAME",
    shell_complete=complete_model,
    help="The backbone (see `cbir models`). Default: that of the index, else $CBIR_MODEL, else efficientnet_lite0.",
)
@weights_option
@click.option(
    "--judge", metavar="NAME", help="Another network to be asked. Default: one whose weights are here, if any."
)
@force_option
@formats_options(render.FORMATS)
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    like: Location | None,
    exaggerate: Location | None,
    class_name: str | None,
    out: Path,
    stage: int | None,
    size: int,
    steps: int | None,
    seed: int,
    index_name: str | None,
    model: str | None,
    weights: str | None,
    judge: str | None,
    force: bool,
    format_: str | None,
) -> None:
    """Draw a picture that a network sees as IMAGE, as more of IMAGE, or as a class, and tell how near it came.

    So one sees what a feature keeps of a picture and what it forgets, and what a network takes a goldfish for. Beside
    the picture stand measures: the cosine that was reached; with --index the rank of IMAGE among its pictures, in a
    search by what was drawn; and what the network, and another one that had no part in it, see in it. It needs torch,
    and up to a minute.

    \b
      cbir imagine --class goldfish --out goldfish.png --steps 20
      cbir imagine --like some.jpg --out like.png --index photos --steps 20
      cbir imagine --like some.jpg --stage 3 --out structure.png --steps 20
      cbir imagine --exaggerate some.jpg --out more.png --steps 20
    """
    use_one_blas_thread()
    check_rules(ctx, RULES)
    named = like or exaggerate
    if named is None and class_name is None:
        raise click.UsageError("Say what to draw: --like IMAGE, --exaggerate IMAGE or --class CLASS.")
    if named is not None:
        check_not_shown(out, [named_after(named)], render.OUT)
    from cbir.utils.packages import check_torch

    check_torch("Imagining", render.WITHOUT_TORCH)
    import cbir.engines  # noqa: F401  # before openvino is imported, which would report that to its maker
    from cbir.backbones.backbone import describe_or_bundled
    from cbir.backbones.imagenet import find_class
    from cbir.extract.of_index import backbone_of
    from cbir.images.contents import read_bytes
    from cbir.imagine.measures import judge_for
    from cbir.imagine.run import imagine
    from cbir.imagine.subject import Wish
    from cbir.index.open import open_index

    kind = "class" if named is None else "like" if like is not None else "exaggerate"
    number = 0 if class_name is None else find_class(class_name).number
    index = None if index_name is None else open_index(index_name, model)
    if index is None:
        backbone = describe_or_bundled(model, weights)
    else:
        backbone = backbone_of(index, weights=weights)
    imagined = imagine(
        backbone,
        Wish(kind, size, stage, number, steps, seed),
        progress(disable=bool(ctx.obj and ctx.obj.get("quiet"))),
        original=None if named is None else read_bytes(named),
        name=str(named),
        judge=judge_for(backbone, judge),
        index=index,
    )
    shown = () if named is None else (named_after(named),)
    render.write_picture(imagined.picture, out, "imagined", force=force, shown=shown)
    record = {"picture": None if named is None else str(named), **imagined.measures, "out": str(out)}
    render.write_imagined(record, format_ or output.default_format(piped="jsonl"))
