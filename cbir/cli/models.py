"""`cbir models`: the backbones."""

from __future__ import annotations

from typing import Any

import click

from cbir.cli import output
from cbir.cli.options import json_option, verbosity_options


@click.command("models", short_help="The backbones, and where their weights are.")
@click.option(
    "--download", metavar="NAME", help="Fetch the weights of a backbone now, for a machine that is offline later."
)
@click.option("--all", "everything", is_flag=True, help="List all networks of torchvision too (imports torch).")
@json_option
@verbosity_options
def command(download: str | None, everything: bool, as_json: bool) -> None:
    """List the backbones: how many features, and where their weights are.

    Any other classification network of torchvision can be named as well.
    """
    from cbir.backbones.registry import BUNDLED, KNOWN, describe

    if download is not None:
        backbone = describe(download)
        click.echo(f"The weights of {backbone.name} are in {backbone.weights.path}.")
        return
    names = list(KNOWN)
    if everything:
        from cbir.backbones.torchvision import names as torchvision_names

        names += [name for name in torchvision_names() if name not in KNOWN]
    records = [_describe(name) for name in names]
    if as_json:
        output.write_json(records)
        return
    rows = [
        (
            record["name"],
            str(record["dimension"]),
            record["features"],
            "come with cbir"
            if record["name"] == BUNDLED
            else f"{record['megabytes']} MB"
            if record["megabytes"]
            else "",
            "yes" if record["present"] else "no",
            record["path"],
        )
        for record in records
    ]
    output.write_table(("name", "features", "which", "weights", "here", "where they are or would be"), rows, right=(1,))
    if not everything:
        click.echo("\nAny other classification network of torchvision works too: `cbir models --all`.")


def _describe(name: str) -> dict[str, Any]:
    from pathlib import Path

    from cbir.backbones.registry import KNOWN, bundled_weights
    from cbir.backbones.weights import hub_file

    known = KNOWN.get(name)
    if known is None:
        from cbir.backbones.torchvision import describe as describe_torchvision

        known = describe_torchvision(name)
    path = Path(str(bundled_weights().path)) if known.weights is None else hub_file(known.weights)
    return {
        "name": name,
        "dimension": known.dimension,
        "features": known.features,
        "resize": known.preprocessing.resize,
        "crop": known.preprocessing.crop,
        "megabytes": known.weights.megabytes if known.weights else None,
        "url": known.weights.url if known.weights else None,
        "path": str(path),
        "present": path.is_file(),
    }
