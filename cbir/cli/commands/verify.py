"""`cbir verify`: whether two pictures show the same person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import PicturePath, engine_option, formats_options, verbosity_options
from cbir.cli.options.faces import face_model_option
from cbir.cli.options.images import Stdin
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.render import verify as rendering
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.faces.finder import FaceFinder
    from cbir.search.queries import ImageQuery

FORMATS = ("table", "json")

#: Exit codes by what can be said; that of no face is 1, as of every failure.
EXIT_CODES = {"same": 0, "different": 5, "cannot say": 6}


@click.command("verify", short_help="Say whether two pictures show the same person.")
@click.argument("first", type=PicturePath())
@click.argument("second", type=PicturePath())
@click.option(
    "--face",
    "numbers",
    type=WholeNumber(1, 256),
    multiple=True,
    metavar="N",
    help="Take the Nth face of FIRST, as `cbir faces` numbers them; given a second time, that of SECOND. Default: the "
    "largest of each.",
)
@face_model_option
@engine_option
@formats_options(FORMATS, "How the answer is told. Default: table.")
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Say whether FIRST and SECOND show the same person: same, different, or cannot say.

    The exit code is 0 for the same person, 5 for different ones and 6 where it cannot be said; 1 if no face is found.
    It is wrong more often for some people than for others, most of all for East Asian faces, for children, and for
    siblings: docs/people.md has the figures. Decide nothing about anybody by it.

    \b
      cbir verify some.jpg other.jpg
      cbir verify some.jpg other.jpg --face 1 --face 3
      cbir verify some.jpg other.jpg --json
    """
    use_one_blas_thread()
    from cbir.faces.compare import compare
    from cbir.faces.finder import open_finder

    numbers: Sequence[int] = options["numbers"]
    if len(numbers) > 2:
        raise click.UsageError("--face can be given twice: one for each picture.")
    model = None if options["face_model"] is None else str(options["face_model"])
    stdin = Stdin()
    pictures = [stdin.query(one) for one in (options["first"], options["second"])]
    finder = open_finder(model=model, engine=options["engine"], expected=len(pictures))
    thresholds = finder.thresholds  # which may not be known
    taken = [_taken(finder, picture, number) for picture, number in zip(pictures, (*numbers, None, None), strict=False)]
    comparison = compare(taken[0].face, taken[1].face, thresholds)
    if options["format_"] == "json":
        output.write_json(rendering.record(comparison, taken, finder))
    else:
        rendering.write_table(comparison, taken)
    ctx.exit(EXIT_CODES[comparison.answer])


def _taken(finder: FaceFinder, picture: ImageQuery, number: int | None) -> rendering.Taken:
    """Find the faces in a picture, and take one. CbirError where there are not so many."""
    from cbir.faces.run import find_in_files
    from cbir.images.source import NamedImage

    (found,) = find_in_files(finder, [(None, NamedImage(picture.source, picture.name))], isolated=False)
    if found.error is not None:
        raise found.error
    if len(found.faces) < (number or 1):
        there = {0: "No face is", 1: "Only one face is"}.get(len(found.faces), f"Only {len(found.faces)} faces are")
        raise CbirError(f"{there} found in {picture.name}.")
    return rendering.Taken(picture.name, found.size, found.faces, number)
