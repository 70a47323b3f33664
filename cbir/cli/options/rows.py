"""Options that say where an index has its candidates, and its features."""

from __future__ import annotations

import click

from cbir.cli.options.common import Command


def rows_options(command: Command) -> Command:
    """Add `--candidates` and `--rows`."""
    command = click.option(
        "--rows",
        type=click.Choice(["blocks", "milvus"]),
        help="milvus: send Milvus all features, too, so that copies of the index can be searched without them. "
        "Remembered.",
    )(command)
    return click.option(
        "--candidates",
        metavar="annoy|ADDRESS",
        help="What finds candidates in a large index: annoy, or a collection in Milvus: milvus://HOST:PORT/COLLECTION, "
        "or milvus+lite:FILE.db. Remembered.",
    )(command)
