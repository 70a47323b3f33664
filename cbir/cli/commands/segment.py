"""`cbir segment`: the segments of a picture."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.claims import claimed
from cbir.cli.options.common import (
    FilePath,
    PicturePath,
    engine_option,
    force_option,
    formats_options,
    given_options,
    model_option,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.given import Given
from cbir.cli.options.images import list_options, listed_paths
from cbir.cli.options.numbers import Number, NumberList, WholeNumber
from cbir.cli.render import segment as rendering
from cbir.cli.render.search_report import coco_file, html_option
from cbir.cli.terminal import output
from cbir.errors import CbirError, ImageReadError, OutputRefusedError
from cbir.images.sources.address import Location, named_after
from cbir.utils.outputs import check_not_shown

if TYPE_CHECKING:
    from cbir.backbones.backbone import Backbone
    from cbir.cli.render.segment import SegmentOutputs
    from cbir.segment.classify import SegmentClassifier
    from cbir.segment.segmenter import Segmenter

logger = logging.getLogger("cbir")


class SegmentOptions(Given):
    """The options of one call, by their names."""

    images: tuple[Location, ...]
    files_from: Path | None
    null: bool
    count: int | None
    scale: float
    fast: bool
    method: str
    layer_weights: tuple[float, ...] | None
    seed: int | None
    out: Path | None
    no_overlay: bool
    no_labels: bool
    crops: Path | None
    layers: bool
    classify: bool
    coco: Path | None
    html: Path | None
    force: bool
    model: str | None
    weights: str | None
    engine: str | None
    format_: str | None


@click.command("segment", short_help="Show the segments of a picture.")
@click.argument("images", nargs=-1, type=PicturePath(), metavar="IMAGE...")
@list_options
@click.option(
    "-k",
    "count",
    type=WholeNumber(1, 256),
    help="How many segments. Default: as suits the picture (5 with --method kmeans).",
)
@click.option(
    "--scale",
    type=Number(0, min_open=True),
    default=1.0,
    help="Above 1 makes fewer and larger segments, below 1 more and smaller ones. Default: 1.",
)
@click.option("--fast", is_flag=True, help="Read the picture at one size and not at two: a little coarser borders.")
@click.option(
    "--method",
    type=click.Choice(["regions", "kmeans"]),
    default="regions",
    show_default=True,
    help="Merge superpixels to regions, or cluster hypercolumns.",
)
@click.option(
    "--layer-weights",
    type=NumberList(),
    metavar="W1,W2,…",
    help="With --method kmeans: what each stage counts, fine to coarse. Default: all the same.",
)
@click.option("--seed", type=WholeNumber(0), help="With --method kmeans: of the random start. Default: 7.")
@click.option("--out", "-o", type=FilePath(), metavar="FOLDER", help="Where the pictures go. Default: here.")
@click.option("--no-overlay", is_flag=True, help="Do not write NAME.segments.png.")
@click.option("--no-labels", is_flag=True, help="Do not write NAME.labels.png.")
@click.option("--crops", type=FilePath(), metavar="FOLDER", help="Write each segment, cut out, to this folder.")
@click.option("--layers", is_flag=True, help="Write NAME.layers.png: what each stage of the network responds to.")
@click.option(
    "--classify", is_flag=True, help="Tell the likeliest of ImageNet's classes of the picture and its segments."
)
@click.option(
    "--coco",
    type=FilePath(),
    callback=coco_file,
    metavar="FILE",
    help="Write all pictures' segments as one COCO document.",
)
@html_option
@force_option
@model_option
@weights_option
@engine_option
@formats_options(rendering.FORMATS, "How the segments are listed. Default: table on a terminal, jsonl in a pipe.")
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Divide each IMAGE into segments by what a network sees in it.

    Writes NAME.segments.png, the picture under its segments' colours and numbers, and NAME.labels.png, an indexed image
    whose pixel values are the segments' numbers (0 is the largest), and tells each segment's share of the picture, box
    (x, y, width, height in pixels), centre and mean colour; in JSON also where it is, as polygons in COCO's format.

    \b
      cbir segment some.jpg
      cbir segment some.jpg -k 6
      cbir segment some.jpg --scale 3 --fast
      cbir segment some.jpg --classify --crops segments/
      cbir segment *.jpg --out segments/ --coco segments/coco.json
      cbir segment *.jpg --out segments/ --html segments/segments.html
      find new/ -name '*.jpg' -print0 | cbir segment --files-from - -0 --out segments/
    """
    request = SegmentOptions(**options)
    _check_options(ctx, request.method)
    images = (*request.images, *listed_paths(request.files_from, null=request.null))
    if not images:
        raise click.UsageError("Name a picture, or a list of them with --files-from.")
    from cbir.backbones.backbone import choose
    from cbir.segment.classify import SegmentClassifier

    backbone, remark = choose(request.model, request.weights)
    if remark:
        logger.info("%s", remark)
    segmenter = _segmenter(backbone, request)
    classifier = SegmentClassifier(segmenter) if request.classify else None
    outputs = _outputs(request, images, backbone.name, claimed(ctx))
    for path, option in claimed(ctx).items():
        check_not_shown(path, map(named_after, images), option)
    for image in images:
        _segment(image, segmenter, classifier, outputs, request, apart=len(images) > 1)
    outputs.finish()
    if outputs.failed:
        ctx.exit(CbirError.exit_code)


def _segment(
    image: Location,
    segmenter: Segmenter,
    classifier: SegmentClassifier | None,
    outputs: SegmentOutputs,
    request: SegmentOptions,
    *,
    apart: bool,
) -> None:
    """Segment one picture, and write all that is made of it; what goes wrong with it is noted, and ends nothing."""
    from cbir.images.safely import open_image
    from cbir.segment.layers import layers_picture

    try:
        outputs.files.check(image)
        segmentation = segmenter.segment(open_image(image, apart=apart), request.count, scale=request.scale)
        layers = layers_picture(segmentation.image, segmenter.engine) if request.layers else None
        written = outputs.files.write(segmentation, image, layers)
    except (ImageReadError, OutputRefusedError) as error:
        outputs.fail(image, error)
        return
    outputs.add(segmentation, image, written, classifier.classify(segmentation) if classifier else None)


def _segmenter(backbone: Backbone, request: SegmentOptions) -> Segmenter:
    from cbir.segment.kmeans import SEED
    from cbir.segment.segmenter import Segmenter

    return Segmenter(
        backbone,
        engine=request.engine,
        method=request.method,
        fast=request.fast,
        layer_weights=request.layer_weights,
        seed=SEED if request.seed is None else request.seed,
    )


def _outputs(
    request: SegmentOptions, images: Sequence[Location], model: str, claimed: Mapping[Path, str]
) -> SegmentOutputs:
    kinds = {
        "overlay": not request.no_overlay,
        "labels": not request.no_labels,
        "layers": request.layers,
        "crops": request.crops is not None,
    }
    files = rendering.Files(
        request.out or Path(),
        images,
        [kind for kind, is_wanted in kinds.items() if is_wanted],
        request.crops,
        reserved=claimed,
        force=request.force,
    )
    return rendering.SegmentOutputs(
        files,
        images,
        model,
        request.format_ or output.default_format(piped="jsonl"),
        coco=request.coco,
        html=request.html,
        classified=request.classify,
        force=request.force,
    )


def _check_options(ctx: click.Context, method: str) -> None:
    """UsageError for an option that means nothing with the chosen method, or beside -k."""
    given = given_options(ctx)
    useless = {"kmeans": {"fast", "scale"}, "regions": {"layer_weights", "seed"}}[method] & given
    if useless:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in sorted(useless))
        raise click.UsageError(f"{names} cannot be used with --method {method}.")
    if {"count", "scale"} <= given:
        raise click.UsageError("-k already says how many segments: leave --scale out.")
