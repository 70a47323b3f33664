"""`cbir stylise`: what one picture shows, in the style of another."""

from __future__ import annotations

from pathlib import Path

import click

from cbir.cli.options.common import (
    FilePath,
    PicturePath,
    force_option,
    formats_options,
    verbosity_options,
    weights_option,
)
from cbir.cli.options.completion import complete_model
from cbir.cli.options.numbers import WholeNumber
from cbir.cli.render import drawn as render
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.images.sources.address import Location, named_after
from cbir.utils.outputs import check_not_shown


@click.command("stylise", short_help="Draw a picture in the style of another.")
@click.argument("content", type=PicturePath())
@click.option("--style", type=PicturePath(), required=True, metavar="IMAGE", help="The picture whose style it gets.")
@click.option(
    "--out",
    "-o",
    type=FilePath(),
    required=True,
    callback=render.stylised_file,
    metavar="FILE",
    help="Where the picture goes: a .png.",
)
@click.option("--keep-colours", is_flag=True, help="Keep the colours of CONTENT.")
@click.option(
    "--size",
    type=WholeNumber(64, 1024),
    default=384,
    show_default=True,
    help="Pixels of the longer side.",
)
@click.option("--steps", type=WholeNumber(1, 1000), default=100, show_default=True, help="Steps at up to 384 pixels.")
@click.option(
    "--model",
    "-m",
    metavar="NAME",
    shell_complete=complete_model,
    help="efficientnet_lite0 (also lite1, lite2), squeezenet1_0 or vgg16. Default: $CBIR_MODEL, else "
    "efficientnet_lite0.",
)
@weights_option
@force_option
@formats_options(render.FORMATS)
@verbosity_options
@click.pass_context
def command(
    ctx: click.Context,
    content: Location,
    style: Location,
    out: Path,
    keep_colours: bool,
    size: int,
    steps: int,
    model: str | None,
    weights: str | None,
    force: bool,
    format_: str | None,
) -> None:
    """Draw what CONTENT shows in the style of another picture: its colours, strokes and textures.

    Nothing is learnt and nothing downloaded: the bundled network says what is content and what is style. Larger
    pictures than 384 pixels are drawn in steps, each at most twice as large as the one before. It needs torch, and half
    a minute.

    \b
      cbir stylise some.jpg --style other.jpg --out styled.png --steps 10 --size 128
      cbir stylise a.jpg --style third.jpg --keep-colours --out calm.png --steps 10 --size 128
    """
    use_one_blas_thread()
    shown = [named_after(content), named_after(style)]
    check_not_shown(out, shown, render.OUT)
    from cbir.utils.packages import check_torch

    check_torch("Stylising", render.WITHOUT_TORCH)
    import cbir.engines  # noqa: F401  # before openvino is imported, which would report that to its maker
    from cbir.backbones.backbone import describe_or_bundled
    from cbir.images.safely import open_image
    from cbir.imagine.style import stylise

    backbone = describe_or_bundled(model, weights)
    watch = progress(disable=bool(ctx.obj and ctx.obj.get("quiet")))
    pictures = open_image(content), open_image(style)
    styled = stylise(backbone, *pictures, size, watch, steps=steps, keep_colours=keep_colours)
    render.write_picture(styled.picture, out, "stylised", force=force, shown=shown)
    record = {"content": str(content), "style": str(style), "model": backbone.name, "size": size, "steps": steps}
    record |= {"keep_colours": keep_colours, **styled.errors(), "out": str(out)}
    render.write_stylised(record, format_ or output.default_format(piped="jsonl"))
