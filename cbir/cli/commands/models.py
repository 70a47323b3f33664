"""`cbir models`: the backbones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from cbir.cli.options.common import json_option, verbosity_options
from cbir.cli.options.completion import complete_model
from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column


@click.command("models", short_help="The backbones, and where their weights are.")
@click.option(
    "--download",
    metavar="NAME",
    shell_complete=complete_model,
    help="Fetch the weights of a backbone now, for a machine that is offline later.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="List `fake` and `fake_small` too, all of torchvision's, and the families of other libraries, with what each "
    "needs (imports what of that is installed).",
)
@click.option(
    "--fields",
    metavar="NAME",
    shell_complete=complete_model,
    help="For each stage of a backbone: how many cells it has, and which pixels they see.",
)
@json_option
@verbosity_options
def command(download: str | None, everything: bool, fields: str | None, as_json: bool) -> None:
    """List the backbones: how many features, where their weights are, and how fast they are here.

    The speed is that of the network alone, in batches, measured when it was first used on this machine.

    Any other classification network of torchvision can be named as well, and those of open_clip, of timm and of ONNX
    files.

    \b
      cbir models
      cbir models --json
      cbir models --download resnet50      # downloads 98 MB
      cbir models --fields efficientnet_lite0
    """
    from cbir.backbones.backbone import describe
    from cbir.backbones.catalog import KNOWN
    from cbir.backbones.families import FAMILIES, TORCHVISION
    from cbir.utils.packages import INSTALL, has_torch

    if download is not None:
        backbone = describe(download)
        for network in backbone.networks:
            where = f"are in {network.weights.path}" if network.weights.path else "come with cbir"
            output.say(f"The weights of {network.name} {where}.")
        return
    if fields is not None:
        from cbir.cli.render.fields import write_fields

        write_fields(fields, as_json=as_json)
        return
    names = list(KNOWN)
    if everything:
        names += [name for name in (*FAMILIES, *(TORCHVISION.names() or ())) if name not in KNOWN]
    records = [record for name in names if (record := _describe(name)) is not None]
    families = _families() if everything else []
    if as_json:
        output.write_json([*records, *families])
        return
    has_text = any(record["modalities"] != ["image"] for record in records)
    rows = [
        (
            record["name"],
            str(record["dimension"]),
            record["features"],
            *([", ".join(record["modalities"])] if has_text else []),
            _whence(record),
            "yes" if record["present"] else "no",
            f"{record['pictures_per_second']:.0f}/s in {record['precision']}" if record["precision"] else "not tried",
            output.short_path(Path(record["path"])) if record["path"] else "",
        )
        for record in records
    ]
    columns = [
        Column("name", style={"bold": True}),
        Column("features", right=True),
        Column("which", optional=2),
        *([Column("of", optional=4)] if has_text else []),
        Column("weights"),
        Column("here"),
        Column("speed on this CPU", optional=3),
        Column("where they are or would be", cuts="start", least=20, optional=1),
    ]
    table.write(columns, rows)
    if families:
        output.say()
        _write_families(families)
    else:
        output.say()
        if has_torch():
            output.say("Any other classification network of torchvision works too: `cbir models --all`.")
        else:
            output.say(f"resnet50, vgg16 and torchvision's others need torch: {INSTALL}.")


def _whence(record: dict[str, Any]) -> str:
    """Tell where the weights come from."""
    if record["extra"] is not None:
        return f"cbir[{record['extra']}]"
    if record["url"] is None:
        return "come with cbir"
    return f"{record['megabytes']} MB" if record["megabytes"] else ""


def _families() -> list[dict[str, Any]]:
    """Return records of the families of libraries, with the names of their networks as far as these can be had."""
    from cbir.backbones.families import PREFIXES, TORCHVISION
    from cbir.utils.packages import INSTALL

    found = []
    for prefix, library in {"": TORCHVISION, **PREFIXES}.items():
        names = library.names()
        found.append(
            {
                "name": library.form,
                "family": library.what,
                "extra": prefix if prefix and library.package else None,
                "present": library.is_here,
                "install": None if library.is_here else f"`pip install 'cbir[{prefix}]'`" if prefix else INSTALL,
                "complete": names is not None,
                "names": list(library.examples) if names is None else names,
                "modalities": ["image", "text"] if prefix == "clip" else ["image"],
                "dimension": None,
            }
        )
    return found


def _write_families(families: list[dict[str, Any]]) -> None:
    """Write the families of libraries as a table."""
    rows = [
        (
            record["name"],
            record["family"],
            f"{len(record['names']):,}" if record["complete"] else "",
            "here" if record["present"] else record["install"].strip("`"),
            record["names"][0],
        )
        for record in families
    ]
    columns = [
        Column("names", style={"bold": True}),
        Column("of", optional=2),
        Column("published", right=True, optional=1),
        Column("what they need"),
        Column("such as", optional=3),
    ]
    table.write(columns, rows)


def _describe(name: str) -> dict[str, Any] | None:
    from cbir.backbones.backbone import known_of
    from cbir.backbones.weights import WeightsFile, WeightsPackage, hub_file
    from cbir.engines.precision import last_measured
    from cbir.errors import ModelError, TorchMissingError

    try:
        known = known_of(name)
    except TorchMissingError:
        return None
    published = known.weights if isinstance(known.weights, WeightsFile) else None
    package = known.weights if isinstance(known.weights, WeightsPackage) else None
    try:
        path = hub_file(published) if published else package.file() if package else None
        is_present = path is None or os.path.isfile(path)
    except ModelError:  # the package of an extra that is not installed
        path, is_present = None, False
    measured = last_measured(name)
    return {
        "name": name,
        "dimension": known.dimension,
        "features": known.features,
        "modalities": list(known.modalities),
        "resize": known.preprocessing.resize,
        "crop": known.preprocessing.crop,
        "megabytes": published.megabytes if published else None,
        "url": published.url if published else None,
        "extra": package.extra if package else None,
        "path": None if path is None else str(path),
        "present": is_present,
        "precision": measured.precision if measured else None,
        "pictures_per_second": measured.trials[measured.precision].pictures_per_second if measured else None,
    }
