"""Writing results: tables for people, formats for programs. Data goes to stdout."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from cbir.cli.terminal.logfile import write_log
from cbir.images.sources.address import Address, Location
from cbir.utils.printable import printable as printable

#: Lines of one kind that are said of many.
NAMED = 20

# Letters of a message: a list may have names of a megabyte.
_LONGEST = 20_000


def default_format(*, piped: str) -> str:
    """`table` on a terminal, else `piped`."""
    return "table" if sys.stdout.isatty() else piped


def tell(text: str, *, logged: bool = True) -> None:
    """Say something on stderr, on one line, and in the log file if there is one and it does not have that already.

    A newline at the start stays: it ends the line on which a terminal shows ^C.
    """
    line = text.lstrip("\n")
    click.echo("\n" * (len(text) - len(line)) + as_line(line), err=True)
    if logged:
        write_log(text)


def tell_some(lines: Sequence[str], *, every: bool, logged: bool = True) -> None:
    """Say the first NAMED of many lines on stderr, or every one, and how many there are more."""
    shown = lines if every else lines[:NAMED]
    for line in shown:
        tell(line, logged=logged)
    if len(shown) < len(lines):
        tell(f"  … and {len(lines) - len(shown):,} more: -v or --json names them all.", logged=logged)


def as_line(text: str) -> str:
    """Make a message fit to be shown: printable, on one line, and without its middle where no path makes it so long."""
    line = printable(text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 4 :]}"


def say(line: str = "") -> None:
    """Say something on stdout, on one line: results for people, which programs do not read."""
    click.echo(printable(line))


def tell_end(text: str) -> None:
    """Say that the run ends, also where stderr is a terminal that is gone."""
    write_log(text)
    with contextlib.suppress(OSError):
        tell(f"\n{text}", logged=False)


def write_json(value: Any) -> None:
    """One JSON document, indented. ASCII: bytes of a name that are no UTF-8 are written as `\\udcXX`."""
    click.echo(_indented(value, "\n"))


def _indented(value: Any, newline: str) -> str:
    """Write JSON like `json.dumps` with `indent=2`, but lists of nothing but numbers, as polygons are, on one line."""
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
    """Rows as CSV, or as TSV; fields with separators, quotes or newlines are quoted. Printable on a terminal."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t" if tabs else ",", lineterminator="\n")
    is_shown = sys.stdout.isatty()
    for row in rows:
        writer.writerow(
            [printable(str(one)) if isinstance(one, (str, Path)) else one for one in row] if is_shown else row
        )
    click.echo(_as_bytes(buffer.getvalue()), nl=False)


def write_paths(paths: Iterable[Location], *, null: bool) -> None:
    """One path a line, or each ended by a NUL byte; exactly as they are, but printable on a terminal."""
    is_shown = sys.stdout.isatty()
    end = b"\0" if null else b"\n"
    for path in paths:
        name = str(path)
        click.echo(_as_bytes(printable(name) if is_shown else name) + end, nl=False)


def _as_bytes(text: str) -> bytes:
    """Names as the bytes that they are, whatever stdout is to be encoded in."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # half a character, as only a stranger's index has it, or one of another script
        return text.encode("utf-8", errors="backslashreplace")


class JsonDocument:
    """One JSON document of records, written as they come: an array, or the record itself where there is only one.

    `several` says whether there will be more than one, None that nobody knows yet.
    """

    def __init__(self, *, several: bool | None) -> None:
        self._several = several
        self._first: Any = None
        self._count = 0

    def add(self, record: Any) -> None:
        """Write a record; the first only when it is sure that it is not alone."""
        self._count += 1
        if self._count == 1 and not self._several:
            self._first = record
            return
        if self._count == 2 and not self._several:
            self._write(self._first, is_first=True)
        self._write(record, is_first=self._count == 1)

    def close(self) -> None:
        """Write what is missing at the end."""
        if self._count == 1 and not self._several:
            write_json(self._first)
        else:
            click.echo("\n]" if self._count else "[]")

    def _write(self, record: Any, *, is_first: bool) -> None:
        start = "[\n  " if is_first else ",\n  "
        click.echo(start + _indented(record, "\n  "), nl=False)


def short_path(path: Location) -> str:
    """Return a path as seen from the current folder where it lies below it, else as it is."""
    if isinstance(path, Address):
        return str(path)
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return os.fspath(path)


def human_bytes(size: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
