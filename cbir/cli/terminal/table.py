"""Tables for people: columns in line, as wide as the terminal is, with a little colour if it likes any."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import click

from cbir.cli.terminal import cells
from cbir.cli.terminal.output import printable

_GAP = "  "

# No column gets narrower than that, even if the table then is wider than the terminal.
_LEAST = 8


@dataclass(frozen=True)
class Column:
    """A column of a table, with its numbers to the `right` or its words to the left.

    Where the table is too wide, a column that `cuts` at the start (paths: their ends tell more) or at the end is cut
    down, a last one that cuts by "wrap" goes on in the next line. `least` is how wide it should stay: before that, the
    columns that are `optional` are left out, those with 1 first. `style` is as `click.style` has it.
    """

    name: str
    right: bool = False
    cuts: Literal["", "start", "end", "wrap"] = ""
    least: int = _LEAST
    optional: int = 0
    style: dict[str, Any] = field(default_factory=dict)


def write(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A header and rows, a cell for each column. Control characters are escaped."""
    lines = [[printable(cell) for cell in row] for row in ([column.name for column in columns], *rows)]
    widths = [max(map(cells.width, column)) for column in zip(*lines, strict=True)]
    shown = list(range(len(columns)))
    room = terminal_width()
    if room is not None:
        shown = _chosen(columns, widths, room)
        widths = _narrowed(columns, widths, shown, room)
    has_style = has_colour()
    for number, line in enumerate(lines):
        parts = {place: _lines(columns[place], line[place], widths[place]) for place in shown}
        for depth in range(max(map(len, parts.values()))):
            told = []
            for place, its in parts.items():
                column = columns[place]
                text = its[depth] if depth < len(its) else ""
                last = place == shown[-1] and not column.right
                text = text if last else cells.pad(text, widths[place], right=column.right)
                style = column.style if number else {"dim": True}
                told.append(click.style(text, **style) if has_style and style and text.strip() else text)
            click.echo(_GAP.join(told).rstrip())


def terminal_width() -> int | None:
    """Return the columns of the terminal, if stdout is one; a pipe or a file takes lines of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def has_colour() -> bool:
    """Tell whether stdout is a terminal, and nobody said that colours are not wanted (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _lines(column: Column, text: str, width: int) -> list[str]:
    if column.cuts == "wrap":
        return cells.wrap(text, width)
    if column.cuts:
        return [cells.cut_start(text, width) if column.cuts == "start" else cells.cut_end(text, width)]
    return [text]


def _chosen(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that are shown."""
    shown = list(range(len(columns)))

    def at_least() -> int:
        least = (min(widths[i], columns[i].least) if columns[i].cuts else widths[i] for i in shown)
        return sum(least) + len(_GAP) * (len(shown) - 1)

    while at_least() > room and (optional := [i for i in shown if columns[i].optional]):
        shown.remove(min(optional, key=lambda i: columns[i].optional))
    return shown


def _narrowed(columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], room: int) -> list[int]:
    """Return the widths with which the columns that are shown fit, the widest ones that can be cut narrowed."""
    narrowed = list(widths)
    room -= len(_GAP) * (len(shown) - 1)
    while sum(narrowed[i] for i in shown) > room:
        can_give = [i for i in shown if columns[i].cuts and narrowed[i] > _LEAST]
        # those that are wider than they should stay give first
        if not (givers := [i for i in can_give if narrowed[i] > columns[i].least] or can_give):
            break
        narrowed[max(givers, key=narrowed.__getitem__)] -= 1
    return narrowed
