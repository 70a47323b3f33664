"""`cbir locate`: where in pictures is what a query shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import (
    FilePath,
    PicturePath,
    engine_option,
    force_option,
    formats_options,
    indexes_option_with,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.numbers import Number
from cbir.cli.options.regions import REGION_RULES, asked_region, region_options
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.terminal import output, table
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.errors import CbirError, ImageReadError, OutputRefusedError
from cbir.images.sources.address import Location, named_after
from cbir.utils.outputs import Derived, Piece

if TYPE_CHECKING:
    from PIL import Image

    from cbir.images.regions import Region
    from cbir.locate.locator import Located

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

RULES = (
    *REGION_RULES,
    Rule(("index_names",), "--index is for all pictures of indexes: name pictures, or indexes.", beside=("images",)),
)


@click.command("locate", short_help="Find where in pictures something is.")
@click.argument("query", type=PicturePath())
@click.argument("images", nargs=-1, type=PicturePath(), metavar="[IMAGE]...")
@indexes_option_with(
    "Look in all pictures of an index: a name, a path (with a slash), or a pattern of either. Repeatable."
)
@region_options
@click.option(
    "--min-score",
    type=Number(0, 1),
    metavar="SCORE",
    help="Only pictures with at least this score (0.5: it is probably there).",
)
@click.option("--out", "-o", type=FilePath(), metavar="FOLDER", help="Write NAME.located.png for each picture there.")
@force_option
@click.option(
    "--model",
    "-m",
    metavar="NAME",
    help="The backbone (see `cbir models`). Default: $CBIR_MODEL, else efficientnet_lite0, whose scores are learnt.",
)
@weights_option
@engine_option
@formats_options(FORMATS)
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    query: Location,
    images: tuple[Location, ...],
    index_names: tuple[str, ...],
    region: str | None,
    segment: int | None,
    min_score: float | None,
    out: Path | None,
    force: bool,
    model: str | None,
    weights: str | None,
    engine: str | None,
    format_: str | None,
) -> None:
    """Find where in each IMAGE is what QUERY shows: a box (x, y, width, height in pixels) and a score.

    The pictures need not be in an index; with --index all those of one, or of several, are looked through, and the
    surest come first. There is a box in every picture: the score, from 0 to 1, tells whether it is to be believed. With
    --out, NAME.located.png shows the box, and how like the query each place is.

    \b
      cbir locate some.jpg other.jpg
      cbir locate some.jpg --region 40,30,200,150 new/*.jpg --out found/
      cbir locate some.jpg --segment 0 *.jpg --min-score 0.5 --format csv
      cbir locate some.jpg --index archive/2024 --index archive/2025 --min-score 0.9
    """
    use_one_blas_thread()  # others would wait for work while the network computes, and double its time
    check_rules(ctx, RULES)
    asked = asked_region(region, segment)
    problems: list[CbirError] = []
    if not images and not index_names:
        raise click.UsageError("Name a picture to look in, or an index with --index.")
    if index_names:
        images, problems = _pictures_of(index_names)
    from cbir.backbones.backbone import describe_or_bundled
    from cbir.engines.lazy import LazyEngine
    from cbir.images.safely import open_image
    from cbir.locate.locator import Locator
    from cbir.search.regions import RegionFinder

    backbone = describe_or_bundled(model, weights)
    shared = LazyEngine(backbone, engine)
    shown = open_image(query)
    where = None if asked is None else RegionFinder(shared).find(shown, asked, str(query))
    locator = Locator(backbone, engine=shared)
    target = locator.target(shown, where)
    files = _Overlays(out, (query, *images), force=force)
    format_ = format_ or output.default_format(piped="jsonl")
    records: list[dict[str, Any]] = []
    failed = False
    watch = progress(disable=bool(ctx.obj and ctx.obj.get("quiet")) or not index_names)
    for path in watch(iter(images), len(images)):
        try:
            files.check(path)
            image = open_image(path, apart=len(images) > 1)
        except (ImageReadError, OutputRefusedError) as error:
            output.tell(f"Error: {error}")
            failed = True
            continue
        located = locator.locate(target, image)
        if min_score is not None and located.score < min_score:
            continue
        record = _record(query, where, {} if asked is None else asked.to_dict(), path, image, backbone.name, located)
        overlay = files.write(path, image, located)
        if overlay is not None:
            record["overlay"] = overlay
        records.append(record)
        if format_ == "jsonl" and not index_names:
            output.write_json_line(record)
    if index_names:
        records.sort(key=lambda one: -one["score"])
        for record in records if format_ == "jsonl" else ():
            output.write_json_line(record)
    _write(records, format_)
    for problem in problems:
        output.tell(f"Error: {problem} The other indexes were looked through.")
    if failed or problems:
        ctx.exit(CbirError.exit_code)


def _pictures_of(names: tuple[str, ...]) -> tuple[tuple[Location, ...], list[CbirError]]:
    """Return the pictures of indexes, each once, and what is wrong with those that cannot be opened."""
    from cbir.index.open import open_indexes

    indexes, problems = open_indexes(names, features=False)
    return tuple(dict.fromkeys(path for index in indexes for path in index.paths())), problems


def _record(
    query: Location,
    region: Region | None,
    about: dict[str, Any],
    path: Location,
    image: Image.Image,
    model: str,
    located: Located,
) -> dict[str, Any]:
    """Return the JSON record of one picture."""
    record: dict[str, Any] = {"query": str(query), **about}
    if region is not None:
        record["query_box"] = list(region.box)
    return {
        **record,
        "image": str(path),
        "width": image.width,
        "height": image.height,
        "model": model,
        "box": list(located.box),
        "score": round(located.score, 4),
    }


def _write(records: list[dict[str, Any]], format_: str) -> None:
    """All records in a format that is one document."""
    if format_ == "json":
        output.write_json(records)
    elif format_ == "table":
        rows = [
            [f"{one['score']:.3f}", ",".join(map(str, one["box"])), one["image"], one.get("overlay", "")]
            for one in records
        ]
        columns = [
            table.Column("score", right=True),
            table.Column("box"),
            table.Column("image", cuts="start", least=16),
            table.Column("overlay", cuts="start", optional=1),
        ]
        if not any(row[-1] for row in rows):
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        table.write(columns, rows)
    elif format_ in ("csv", "tsv"):
        header = ["image", "score", "x", "y", "width", "height"]
        rows = [[one["image"], one["score"], *one["box"]] for one in records]
        output.write_separated([header, *rows], tabs=format_ == "tsv")


class _Overlays:
    """The files of `--out`, if it was given. `inputs` were named: none of them is written over."""

    def __init__(self, folder: Path | None, inputs: tuple[Location, ...], *, force: bool) -> None:
        self._pieces = [] if folder is None else [Piece(folder, ".located.png", "located", "--out")]
        self._derived = Derived(inputs=map(named_after, inputs), force=force)

    def check(self, path: Location) -> None:
        """OutputRefusedError where a picture's overlay would be written over a file that cbir did not make."""
        self._derived.stem(named_after(path), self._pieces)

    def write(self, path: Location, image: Image.Image, located: Located) -> str | None:
        """Write a picture's overlay; its name."""
        if not self._pieces:
            return None
        from cbir.cli.render.segment import png_of
        from cbir.locate.overlay import overlay

        drawn = [png_of(overlay(image, located))]
        (written,) = self._derived.write(named_after(path), zip(self._pieces, drawn, strict=True))
        return str(written)
