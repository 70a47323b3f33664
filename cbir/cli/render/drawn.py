"""The output of `cbir imagine` and `cbir stylise`: a picture, and measures on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.render.search_report import drawing_file
from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.utils.marks import Mark, picture_settings
from cbir.utils.outputs import write_output

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("table", "json", "jsonl")

#: What names the picture, as messages have it: --out of other commands is a folder.
OUT = "--out FILE"

#: What there is without torch.
WITHOUT_TORCH = "all but `cbir imagine` and `cbir stylise` does its work with the network that comes with cbir"


def imagined_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return the name of an imagined picture, checked before anything is done."""
    return drawing_file(ctx, value, OUT, "imagined")


def stylised_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Return the name of a stylised picture, checked before anything is done."""
    return drawing_file(ctx, value, OUT, "stylised")


def write_picture(picture: Image.Image, path: Path, kind: str, *, force: bool, shown: Sequence[Path]) -> None:
    """Write a picture of that kind, whole or not at all. CbirError where that cannot be."""
    settings = picture_settings("PNG", Mark(kind))
    write_output(path, lambda file: picture.save(file, "PNG", **settings), OUT, kind, force=force, shown=shown)


def write_imagined(record: dict[str, Any], format_: str) -> None:
    """Write the measures of an imagined picture."""
    if format_ == "table":
        _write_table(_imagined_rows(record))
    else:
        _write_record(record, format_)


def write_stylised(record: dict[str, Any], format_: str) -> None:
    """Write the measures of a stylised picture."""
    if format_ == "table":
        before, after = record["style_error_before"], record["style_error"]
        rows = [
            ("picture", record["out"]),
            ("from the style", f"{after:.3f}, {before:.3f} at first"),
            ("from the content", f"{record['content_error']:.3f}"),
        ]
        _write_table(rows)
    else:
        _write_record(record, format_)


def _write_record(record: dict[str, Any], format_: str) -> None:
    if format_ == "json":
        output.write_json(record)
    else:
        output.write_json_line(record)


def _write_table(rows: Sequence[tuple[str, str]]) -> None:
    table.write([Column("measure", style={"bold": True}), Column("value", cuts="wrap")], rows)


def _imagined_rows(record: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("picture", record["out"])]
    if "index" in record:
        place = record["index"]
        among = f"of {place['pictures']:,} in {place['name']}"
        rows.append(("the original's rank", f"{place['rank']:,} {among}{'' if place['has_original'] else ' and it'}"))
    for model, seen in ((record["model"], record["seen"]), *_judged(record)):
        if "cosine" in seen:
            rows.append((f"cosine by {model}", f"{seen['cosine']:.3f}"))
        if "probability" in seen:
            told = f"{seen['probability']:.3f}, the class of rank {seen['rank']}"
            rows.append((f"{record['class']} by {model}", told))
        if seen["classes"]:
            rows.append((f"seen by {model}", _listed(seen["classes"])))
        if seen.get("original_classes"):
            rows.append(("in the original", _listed(seen["original_classes"])))
    return rows


def _judged(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    judge = record.get("judge")
    return [(judge["model"], judge)] if judge else []


def _listed(classes: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{one['class']} {one['probability']:.2f}" for one in classes)
