"""`cbir segment`: the parts of a picture."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli import output
from cbir.cli.options import FilePath, engine_option, model_option, verbosity_options, weights_option
from cbir.errors import CbirError, ImageReadError, reason_of

if TYPE_CHECKING:
    from cbir.segment.parts import Segmentation

logger = logging.getLogger("cbir")


@click.command("segment", short_help="Show the parts of a picture.")
@click.argument("images", nargs=-1, required=True, type=FilePath(), metavar="IMAGE...")
@click.option("-k", "parts", type=click.IntRange(1, 256), default=5, show_default=True, help="Parts, at most.")
@click.option("--out", "-o", type=FilePath(), metavar="FOLDER", help="Where the pictures go. Default: here.")
@model_option
@weights_option
@engine_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "jsonl", "csv", "tsv"]),
    default="table",
    show_default=True,
    help="How the parts are listed.",
)
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    images: tuple[Path, ...],
    parts: int,
    out: Path | None,
    model: str | None,
    weights: str | None,
    engine: str | None,
    format_: str,
) -> None:
    """Divide each IMAGE into parts by what a network sees in it.

    Writes NAME.parts.png, the picture under its parts' colours and numbers, and NAME.labels.png, an indexed image
    whose pixel values are the parts' numbers (0 is the largest), and prints each part's share of the picture, box
    (x, y, width, height in pixels) and mean colour.
    """
    from cbir.backbones.registry import choose
    from cbir.segment.parts import Segmenter

    backbone, remark = choose(model, weights)
    if remark:
        logger.info("%s", remark)
    folder = out or Path()
    segmenter = Segmenter(backbone, engine=engine)
    records: list[dict[str, Any]] = []
    taken: set[str] = set()
    failed = False
    for image in images:
        try:
            segmentation = segmenter.segment(image, parts)
        except ImageReadError as error:
            click.echo(f"Error: {error}", err=True)
            failed = True
            continue
        overlay, labels = _save(segmentation, folder, _free_stem(image, taken))
        record = {
            "image": str(image),
            "width": segmentation.image.width,
            "height": segmentation.image.height,
            "model": backbone.name,
            "overlay": str(overlay),
            "labels": str(labels),
            "parts": [part.to_json() for part in segmentation.parts],
        }
        records.append(record)
        if format_ == "jsonl":
            output.write_json_line(record)
        elif format_ == "table":
            _write_table(record)
    if format_ == "json":
        output.write_json(records[0] if len(images) == 1 and records else records)
    elif format_ in ("csv", "tsv"):
        _write_separated(records, tabs=format_ == "tsv")
    if failed:
        ctx.exit(CbirError.exit_code)


def _save(segmentation: Segmentation, folder: Path, stem: str) -> tuple[Path, Path]:
    from cbir.segment.overlay import label_map, overlay

    paths = folder / f"{stem}.parts.png", folder / f"{stem}.labels.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        overlay(segmentation).save(paths[0])
        label_map(segmentation).save(paths[1])
    except OSError as error:
        raise CbirError(f"Cannot write to {folder}: {reason_of(error)}. Choose another folder with --out.") from error
    return paths


def _free_stem(image: Path, taken: set[str]) -> str:
    """The start of the output's names; pictures of one name from several folders get numbers."""
    stem, number = image.stem, 1
    while stem in taken:
        number += 1
        stem = f"{image.stem}-{number}"
    taken.add(stem)
    return stem


def _write_table(record: dict[str, Any]) -> None:
    click.echo(f"{output.printable(record['image'])} ({record['width']} x {record['height']})")
    rows = [
        (str(part["label"]), f"{part['share']:.1%}", ",".join(map(str, part["box"])), part["colour"])
        for part in record["parts"]
    ]
    output.write_table(("part", "share", "box", "colour"), rows, right=(0, 1))
    click.echo(f"wrote {output.printable(record['overlay'])} and {output.printable(record['labels'])}\n")


def _write_separated(records: list[dict[str, Any]], *, tabs: bool) -> None:
    rows: list[tuple[Any, ...]] = [("image", "part", "share", "x", "y", "width", "height", "colour")]
    for record in records:
        for part in record["parts"]:
            rows.append((record["image"], part["label"], part["share"], *part["box"], part["colour"]))
    output.write_separated(rows, tabs=tabs)
