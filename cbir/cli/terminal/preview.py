"""`--preview`: thumbnails of the matches in the terminal.

Where the extra `cbir[preview]` is installed and the terminal answers that it draws pixels (kitty's protocol, sixels),
it does; else each character cell shows two pixels, one above the other, in 24-bit colour.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from cbir.cli.terminal import cells
from cbir.cli.terminal.output import printable
from cbir.cli.terminal.table import terminal_width
from cbir.images.sources.address import is_there

if TYPE_CHECKING:
    from PIL.Image import Image

    from cbir.search.results import Match

_GAP = 2  # between thumbnails, in character cells

Draw = Callable[["Image", int, int], None]


class Way(NamedTuple):
    """A way to draw a picture in so many columns and rows of cells, and how large it is worth drawing a thumbnail."""

    draw: Draw
    cell: tuple[int, int]  # the pixels of a cell, across and down
    columns: int
    rows: int


preview_option = click.option(
    "--preview", is_flag=True, help="Show thumbnails in the terminal below the table (sharper with cbir[preview])."
)


class Preview:
    """Draws thumbnails of matches with their ranks, as many beside each other as the terminal has room for."""

    def __init__(self) -> None:
        self._way = _way_to_draw()

    @classmethod
    def checked(cls, format_: str) -> Preview:
        """Make one for tables on a terminal; a usage error elsewhere."""
        if format_ != "table" or not sys.stdout.isatty():
            raise click.UsageError("--preview is for tables on a terminal, and this is none.")
        return cls()

    def write(self, matches: Sequence[Match]) -> None:
        """Draw the thumbnails of `matches`; of one that cannot be read only its name."""
        width = terminal_width() or 80
        one = min(self._way.columns, width)
        beside = (width + _GAP) // (one + _GAP)
        for start in range(0, len(matches), beside):
            some = matches[start : start + beside]
            click.echo()
            columns = len(some) * (one + _GAP) - _GAP
            self._way.draw(self._strip(some, one, columns), columns, self._way.rows)
            captions = [cells.cut_end(_caption(match), one) for match in some]
            click.echo((" " * _GAP).join(cells.pad(caption, one) for caption in captions).rstrip())

    def _strip(self, matches: Sequence[Match], one: int, columns: int) -> Image:
        """Thumbnails side by side, `one` is the columns of each, `columns` those of all; transparent between them."""
        from PIL import Image

        from cbir.errors import ImageReadError
        from cbir.images.contents import read_bytes
        from cbir.images.safely import decode_reduced

        across, down = self._way.cell
        box = (one * across, self._way.rows * down)
        strip = Image.new("RGBA", (columns * across, box[1]))
        for place, match in enumerate(matches):
            try:
                thumbnail, _ = decode_reduced(read_bytes(match.path), name=str(match.path), at_least=2 * min(box))
            except ImageReadError:
                continue
            thumbnail.thumbnail(box)
            strip.paste(thumbnail, (place * (one + _GAP) * across, box[1] - thumbnail.height))
        return strip


def _caption(match: Match) -> str:
    name = printable(match.path.name)
    return f"{match.rank}  {name}" if is_there(match.path) else f"{match.rank}  {name} (not there)"


def _way_to_draw() -> Way:
    """Choose pixels where the terminal can draw them, else half blocks."""
    if _can_ask():
        # it tells of a terminal that does not answer with a traceback
        logging.getLogger("textual_image").setLevel(logging.CRITICAL)
        try:
            # asks the terminal what it can do, and does not wait for longer than 0.3 seconds
            from textual_image._terminal import get_cell_size
            from textual_image.renderable import Image as Drawn
            from textual_image.renderable import SixelImage, TGPImage

            if Drawn in (SixelImage, TGPImage):
                return Way(_draw_pixels, tuple(get_cell_size()), 24, 9)
        except Exception:  # it is not installed; or somebody typed into the answer, which has errors of all kinds
            pass
    return Way(_draw_half_blocks, (1, 2), 38, 14)


def _can_ask() -> bool:
    """Tell whether a terminal would answer: its answer comes on stdin, which must not be a list of names.

    A process in the background that asks would be stopped.
    """
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except AttributeError:  # Windows knows no such groups
        return True
    except (OSError, ValueError):
        return False


def _draw_pixels(picture: Image, columns: int, rows: int) -> None:
    from rich.console import Console
    from textual_image.renderable import Image as Drawn

    # not without colour: kitty's protocol tells by colours which picture it is
    console = Console(force_terminal=True, color_system="truecolor", no_color=False, width=columns)
    console.print(Drawn(picture, columns, rows), end="")


def _draw_half_blocks(picture: Image, columns: int, rows: int) -> None:
    pixels = picture.load()
    assert pixels is not None
    for row in range(rows):
        line = []
        for column in range(columns):
            above, below = pixels[column, 2 * row], pixels[column, 2 * row + 1]
            assert isinstance(above, tuple)
            assert isinstance(below, tuple)
            line.append(_half_block(above, below))
        click.echo("".join(line) + "\x1b[0m", color=True)


def _half_block(above: tuple[int, ...], below: tuple[int, ...]) -> str:
    """One cell that shows two pixels, red, green, blue and alpha; the terminal's background where they are none."""
    if not above[3] and not below[3]:
        return "\x1b[0m "
    if not above[3]:
        return "\x1b[0;38;2;{};{};{}m▄".format(*below)
    if not below[3]:
        return "\x1b[0;38;2;{};{};{}m▀".format(*above)
    return "\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*above[:3], *below[:3])
