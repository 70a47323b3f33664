"""How results are written: tables for people, formats for programs. Data goes to stdout."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from cbir.cli.logfile import write_log


def default_format(*, piped: str) -> str:
    """`table` on a terminal, else `piped`."""
    return "table" if sys.stdout.isatty() else piped


def tell(text: str, *, logged: bool = True) -> None:
    """Say something on stderr, and in the log file if there is one and it does not have that already."""
    click.echo(text, err=True)
    if logged:
        write_log(text)


def write_json(value: Any) -> None:
    """One JSON document, indented. ASCII: bytes of a name that are no UTF-8 are written as `\\udcXX`."""
    click.echo(_indented(value, "\n"))


def _indented(value: Any, newline: str) -> str:
    """Like `json.dumps` with `indent=2`, but a list of nothing but numbers, as a polygon is, stands on one line."""
    inner = newline + "  "
    if isinstance(value, dict) and value:
        pairs = (f"{json.dumps(str(key))}: {_indented(one, inner)}" for key, one in value.items())
        return f"{{{inner}{f',{inner}'.join(pairs)}{newline}}}"
    if isinstance(value, (list, tuple)) and not all(isinstance(one, (int, float)) for one in value):
        return f"[{inner}{f',{inner}'.join(_indented(one, inner) for one in value)}{newline}]"
    return json.dumps(value)


def write_json_line(value: Any) -> None:
    """One JSON document on one line."""
    click.echo(json.dumps(value))


def write_separated(rows: Iterable[Sequence[Any]], *, tabs: bool) -> None:
    """Rows as CSV, or as TSV; fields with separators, quotes or newlines are quoted."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t" if tabs else ",", lineterminator="\n")
    for row in rows:
        writer.writerow(row)
    click.echo(buffer.getvalue(), nl=False)


def write_paths(paths: Iterable[Path], *, null: bool) -> None:
    """One path a line, or each ended by a NUL byte."""
    for path in paths:
        click.echo(os.fspath(path), nl=False)
        click.echo("\0" if null else "\n", nl=False)


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Columns in line, the numbers of the columns `right` to the right. Control characters are escaped."""
    cells = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        padded = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(padded).rstrip())


def printable(text: str) -> str:
    """`text` on one line: control characters as escapes, bytes that are no UTF-8 as a question mark in a box."""
    text = os.fsencode(text).decode("utf-8", errors="replace")
    return "".join(char if char.isprintable() or char == "\ufffd" else ascii(char)[1:-1] for char in text)


def short_path(path: Path) -> str:
    """A path as seen from the current folder where it lies below it, else as it is."""
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return os.fspath(path)


def human_bytes(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
