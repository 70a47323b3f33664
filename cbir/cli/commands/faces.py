"""`cbir faces`: where faces are in pictures."""

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
    index_option,
    verbosity_options,
)
from cbir.cli.options.faces import face_model_option
from cbir.cli.options.given import Given
from cbir.cli.options.images import list_options, named_or_indexed
from cbir.cli.options.numbers import Number, WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import faces as rendering
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.search.queries import ImageQuery

RULES = (
    Rule(
        ("index_name",),
        "--index is for all pictures of an index: name pictures, or an index.",
        beside=("images", "files_from"),
    ),
)


class FacesOptions(Given):
    """The options of one call, by their names."""

    images: tuple[Path, ...]
    index_name: str | None
    files_from: Path | None
    null: bool
    face_model: Path | None
    min_score: float | None
    min_height: int | None
    out: Path | None
    crops: Path | None
    vectors: bool
    force: bool
    engine: str | None
    format_: str | None


@click.command("faces", short_help="Find the faces in pictures.")
@click.argument("images", nargs=-1, type=PicturePath(), metavar="IMAGE...")
@index_option
@list_options
@face_model_option
@click.option(
    "--min-score",
    type=Number(0, 1),
    metavar="SCORE",
    help="Only faces with at least this score. Those below 0.95 are never told.",
)
@click.option(
    "--min-height",
    type=WholeNumber(1, 100_000),
    metavar="PIXELS",
    help="Only faces that are at least so high. Below 32 people are hardly recognised, below 20 none is told.",
)
@click.option("--out", "-o", type=FilePath(), metavar="FOLDER", help="Write NAME.faces.png for each picture there.")
@click.option("--crops", type=FilePath(), metavar="FOLDER", help="Write each face, cut out, to this folder.")
@click.option("--vectors", is_flag=True, help="With JSON, tell the numbers by which each face is compared, too.")
@force_option
@engine_option
@formats_options(rendering.FORMATS, "How the faces are listed. Default: table on a terminal, jsonl in a pipe.")
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Find the faces in each IMAGE (a folder: all pictures in it; -: a picture from stdin), or in those of an index.

    Each has a number, the largest first, a box (x, y, width, height in pixels) and a score from 0 to 1. It takes the
    extra cbir[faces]; nothing leaves this machine. Whose faces they are is what `cbir verify` says of two pictures.

    \b
      cbir faces some.jpg
      cbir faces photos/ --out found/
      cbir faces some.jpg --json --vectors
      cbir faces --index photos --min-height 32 --format csv
    """
    use_one_blas_thread()
    request = FacesOptions(**options)
    check_rules(ctx, RULES)
    pictures, is_incomplete = named_or_indexed(
        request.images, request.files_from, null=request.null, index=request.index_name
    )
    outputs = rendering.FaceOutputs(
        pictures,
        request.format_ or output.default_format(piped="jsonl"),
        out=request.out,
        crops=request.crops,
        vectors=request.vectors,
        force=request.force,
    )
    _run(request, outputs, pictures, quiet=bool(ctx.obj and ctx.obj.get("quiet")))
    if outputs.failed or is_incomplete:
        ctx.exit(CbirError.exit_code)


def _run(request: FacesOptions, outputs: rendering.FaceOutputs, pictures: list[ImageQuery], *, quiet: bool) -> None:
    """Find faces in all pictures, and tell of each as it is done."""
    from cbir.faces.finder import open_finder
    from cbir.faces.run import find_in_files
    from cbir.images.source import NamedImage

    model = None if request.face_model is None else str(request.face_model)
    finder = open_finder(model=model, engine=request.engine, expected=len(pictures))
    files = ((picture, NamedImage(picture.source, picture.name)) for picture in outputs.wanted(pictures))
    # a single picture is not worth a process of its own to be decoded in; of many, one must not end the run
    results = find_in_files(finder, files, isolated=len(pictures) > 1)
    # a table that grows on the terminal is progress enough
    watch = progress(disable=quiet or outputs.grows)
    for result in watch(results, len(pictures)):
        if result.error is not None:
            outputs.fail(result.key, result.error)
            continue
        least, height = request.min_score or 0, request.min_height or 0
        outputs.add(
            result.key, result.size, [face for face in result.faces if face.score >= least and face.height >= height]
        )
    outputs.finish()
