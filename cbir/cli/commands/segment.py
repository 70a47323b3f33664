"""`cbir segment`: the parts of a picture."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.options.claims import claimed
from cbir.cli.options.common import (
    FilePath,
    engine_option,
    force_option,
    given_options,
    model_option,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.images import list_options, listed_paths
from cbir.cli.options.numbers import Number, NumberList, WholeNumber
from cbir.cli.render import segment
from cbir.cli.render.search_report import coco_file, html_option
from cbir.cli.terminal import output
from cbir.errors import CbirError, ImageReadError, OutputRefusedError
from cbir.utils.outputs import check_not_shown

if TYPE_CHECKING:
    from PIL import Image

    from cbir.cli.render.segment_report import SegmentPage
    from cbir.segment.classify import PartClassifier
    from cbir.segment.segmenter import Segmentation, Segmenter

logger = logging.getLogger("cbir")


@click.command("segment", short_help="Show the parts of a picture.")
@click.argument("images", nargs=-1, type=FilePath(), metavar="IMAGE...")
@list_options
@click.option(
    "-k",
    "parts",
    type=WholeNumber(1, 256),
    help="How many parts. Default: as suits the picture (5 with --method kmeans).",
)
@click.option(
    "--scale",
    type=Number(0, min_open=True),
    default=1.0,
    help="Above 1 makes fewer and larger parts, below 1 more and smaller ones. Default: 1.",
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
@click.option("--no-overlay", is_flag=True, help="Do not write NAME.parts.png.")
@click.option("--no-labels", is_flag=True, help="Do not write NAME.labels.png.")
@click.option("--crops", type=FilePath(), metavar="FOLDER", help="Write each part, cut out, to this folder.")
@click.option("--layers", is_flag=True, help="Write NAME.layers.png: what each stage of the network responds to.")
@click.option("--classify", is_flag=True, help="Tell the likeliest of ImageNet's classes of the picture and its parts.")
@click.option(
    "--coco",
    type=FilePath(),
    callback=coco_file,
    metavar="FILE",
    help="Write all pictures' parts as one COCO document.",
)
@html_option
@force_option
@model_option
@weights_option
@engine_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(segment.FORMATS),
    help="How the parts are listed. Default: table on a terminal, jsonl in a pipe.",
)
@click.option("--json", "format_", flag_value="json", help="The same as --format json.")
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[Path, ...],
    files_from: Path | None,
    null: bool,
    parts: int | None,
    scale: float,
    fast: bool,
    method: str,
    layer_weights: tuple[float, ...] | None,
    seed: int | None,
    out: Path | None,
    no_overlay: bool,
    no_labels: bool,
    crops: Path | None,
    layers: bool,
    classify: bool,
    coco: Path | None,
    html: Path | None,
    force: bool,
    model: str | None,
    weights: str | None,
    engine: str | None,
    format_: str | None,
) -> None:
    """Divide each IMAGE into parts by what a network sees in it.

    Writes NAME.parts.png, the picture under its parts' colours and numbers, and NAME.labels.png, an indexed image
    whose pixel values are the parts' numbers (0 is the largest), and tells each part's share of the picture, box
    (x, y, width, height in pixels), centre and mean colour; in JSON also where it is, as polygons in COCO's format.

    \b
      cbir segment some.jpg
      cbir segment some.jpg -k 6
      cbir segment some.jpg --scale 3 --fast
      cbir segment some.jpg --classify --crops parts/
      cbir segment *.jpg --out parts/ --coco parts/coco.json
      cbir segment *.jpg --out parts/ --html parts/parts.html
      find new/ -name '*.jpg' -print0 | cbir segment --files-from - -0 --out parts/
    """
    _check_options(ctx, method)
    images = (*images, *listed_paths(files_from, null=null))
    if not images:
        raise click.UsageError("Name a picture, or a list of them with --files-from.")
    from cbir.backbones.backbone import choose
    from cbir.images.safely import open_image
    from cbir.segment.kmeans import SEED
    from cbir.segment.segmenter import Segmenter

    backbone, remark = choose(model, weights)
    if remark:
        logger.info("%s", remark)
    segmenter = Segmenter(
        backbone,
        engine=engine,
        method=method,
        fast=fast,
        layer_weights=layer_weights,
        seed=SEED if seed is None else seed,
    )
    classifier = _classifier(segmenter) if classify else None
    kinds = {"overlay": not no_overlay, "labels": not no_labels, "layers": layers, "crops": crops is not None}
    files = segment.Files(
        out or Path(),
        images,
        [kind for kind, is_wanted in kinds.items() if is_wanted],
        crops,
        reserved=claimed(ctx),
        force=force,
    )
    page = None if html is None else _page(images, backbone.name)
    for path, option in claimed(ctx).items():
        check_not_shown(path, images, option)
    format_ = format_ or output.default_format(piped="jsonl")
    records: list[segment.Record] = []
    failed = False
    for image in images:
        try:
            files.check(image)
            picture = open_image(image, apart=len(images) > 1)
            segmentation = segmenter.segment(picture, parts, scale=scale)
            written = files.write(segmentation, image, _layers(segmentation, segmenter) if layers else None)
        except (ImageReadError, OutputRefusedError) as error:
            output.tell(f"Error: {error}")
            failed = True
            if page is not None:
                page.fail(str(error))
            records.append({"image": str(image), "error": str(error)})
            if format_ == "jsonl":
                output.write_json_line(records[-1])
            continue
        classified = classifier.classify(segmentation) if classifier else None
        shapes = format_ in ("json", "jsonl") or coco is not None
        record = segment.describe(segmentation, image, backbone.name, written, classified, shapes=shapes)
        records.append(record)
        if page is not None:
            page.add(segmentation, image, record)
        if format_ == "jsonl":
            output.write_json_line(record)
        elif format_ == "table":
            segment.write_table(record)
    if coco is not None:
        segment.write_coco(records, coco, images, force=force)
    if page is not None and html is not None:
        page.write(html, force=force)
    if format_ == "json":
        output.write_json(records[0] if len(images) == 1 else records)
    elif format_ in ("csv", "tsv"):
        segment.write_separated(records, classified=classify, tabs=format_ == "tsv")
    if failed:
        ctx.exit(CbirError.exit_code)


def _check_options(ctx: click.Context, method: str) -> None:
    """UsageError for an option that means nothing with the chosen method, or beside -k."""
    given = given_options(ctx)
    useless = {"kmeans": {"fast", "scale"}, "regions": {"layer_weights", "seed"}}[method] & given
    if useless:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in sorted(useless))
        raise click.UsageError(f"{names} cannot be used with --method {method}.")
    if {"parts", "scale"} <= given:
        raise click.UsageError("-k already says how many parts: leave --scale out.")


def _classifier(segmenter: Segmenter) -> PartClassifier:
    from cbir.segment.classify import PartClassifier

    return PartClassifier(segmenter)


def _page(images: tuple[Path, ...], model: str) -> SegmentPage:
    from cbir.cli.render.segment_report import SegmentPage

    return SegmentPage(images, model)


def _layers(segmentation: Segmentation, segmenter: Segmenter) -> Image.Image:
    from cbir.segment.layers import layers_picture

    return layers_picture(segmentation.image, segmenter.engine)
