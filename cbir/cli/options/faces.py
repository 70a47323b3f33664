"""Options of what finds faces."""

from __future__ import annotations

import click

from cbir.cli.options.common import FilePath

face_model_option = click.option(
    "--face-model",
    type=FilePath(),
    metavar="FILE",
    help="A network of your own for faces, .onnx: it takes faces of 112 x 112 pixels, turned upright. Default: dlib's.",
)
