"""The contact sheet: queries and their matches, or other groups of pictures, as one picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from cbir.images.previews import Preview, Source, thumbnails
from cbir.report.card import Card, Group
from cbir.report.files import SHEET_ENDINGS, check_sheet_ending
from cbir.report.fonts import Lettering
from cbir.report.layout import Layout, choose_layout
from cbir.utils.marks import Mark, picture_settings
from cbir.utils.outputs import check_not_shown, write_output


class _Format(NamedTuple):
    name: str
    most_side: int  # of a picture, in pixels
    settings: dict[str, int | bool]


_JPEG = _Format("JPEG", 65_535, {"quality": 88, "optimize": True})

# by SHEET_ENDINGS; a PNG could be larger, but no viewer would show it
_FORMATS = dict(
    zip(
        SHEET_ENDINGS,
        (
            _Format("PNG", 65_535, {"compress_level": 3}),
            _JPEG,
            _JPEG,
            _Format("WEBP", 16_383, {"quality": 86, "method": 2}),
        ),
        strict=True,
    )
)

_ADVICE = "Ask for fewer (-k), or make several sheets; an HTML page (--html) holds more."

_PAPER, _TILE, _LINE = (250, 250, 248), (238, 238, 235), (222, 222, 218)
_INK, _GREY = (28, 28, 30), (96, 96, 100)
_ACCENT, _AWAY, _RIGHT, _WRONG = (24, 90, 188), (176, 32, 48), (18, 122, 62), (190, 40, 40)

# How much a query's picture may be enlarged.
_ENLARGED = 2.0


def write_sheet(
    groups: Sequence[Group], path: Path, *, option: str = "--sheet", advice: str = _ADVICE, force: bool = False
) -> None:
    """Draw the groups and write them to `path`, in the format of its ending.

    CbirError where there are too many pictures (its `advice` says what to do), where `path` has another ending, is one
    of the pictures or, without `force`, any file that cbir did not make, or cannot be written. `option` named it.
    """
    check_sheet_ending(path, option)
    shown = [card.path for group in groups for card in group.all_cards]
    check_not_shown(path, shown, option)
    format_ = _FORMATS[path.suffix.lower()]
    image = draw_sheet(groups, most_side=format_.most_side, advice=advice)
    settings = {**format_.settings, **picture_settings(format_.name, Mark("sheet"))}
    write_output(
        path,
        lambda file: image.save(file, format_.name, **settings),
        option,
        "sheet",
        force=force,
        shown=shown,
    )


def draw_sheet(groups: Sequence[Group], *, most_side: int = 65_535, advice: str = _ADVICE) -> Image.Image:
    """All groups, of which there is at least one, as one RGB picture with no side above `most_side` pixels."""
    layout = choose_layout(groups, most_side, advice=advice)
    return _Sheet(groups, layout).draw()


class _Place(NamedTuple):
    """The place of a picture: a rectangle of pixels whose upper left corner is at `x`, `y`."""

    card: Card
    x: int
    y: int
    width: int
    height: int
    is_lead: bool = False


class _Sheet:
    def __init__(self, groups: Sequence[Group], layout: Layout) -> None:
        self._groups = groups
        self._layout = layout
        self._letters = Lettering()
        self._image = Image.new("RGB", layout.size(groups), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._places: defaultdict[Source, list[_Place]] = defaultdict(list)

    def draw(self) -> Image.Image:
        """Everything but pictures first; then each file is decoded once, for all of its places."""
        layout = self._layout
        x = layout.margin
        for column in layout.columns_of_blocks(self._groups):
            y = layout.margin
            if x > layout.margin:
                line = x - layout.aside // 2
                self._draw.line((line, y, line, self._image.height - y), fill=_LINE)
            for number, group in enumerate(column):
                if number:
                    line = y - layout.margin // 2
                    self._draw.line((x, line, x + layout.block_width, line), fill=_LINE)
                self._draw_group(group, x, y)
                y += layout.height(group) + layout.margin
            x += layout.block_width + layout.aside
        side = max((max(place.width, place.height) for places in self._places.values() for place in places), default=1)
        for source, thumbnail in thumbnails(self._places, side):
            for place in self._places[source]:
                self._draw_picture(place, thumbnail)
        return self._image

    def _draw_group(self, group: Group, x: int, y: int) -> None:
        layout = self._layout
        if group.leads:
            self._draw_leads(group, x, y)
        else:
            title = self._letters.shorten(group.title, layout.large, layout.block_width)
            self._text(x, y + layout.large, title, layout.large, _INK)
            y += layout.heading
        for card, (column, row) in zip(
            group.cards, layout.places(len(group.cards), led=bool(group.leads)), strict=True
        ):
            left, top = x + column * layout.across, y + row * layout.down
            self._draw.rectangle((left, top, left + layout.side - 1, top + layout.side - 1), fill=_TILE)
            if card.source is not None:
                self._places[card.source].append(_Place(card, left, top, layout.side, layout.side))
            self._draw_caption(card, left, top + layout.side)
        if not group.cards:
            left = x + (layout.lead * layout.across if group.leads else 0)
            text, colour = (group.problem, _AWAY) if group.problem else ("Nothing was found.", _GREY)
            self._draw_lines(text, left, y, layout.block_width - (left - x), layout.side, layout.large, colour)

    def _draw_leads(self, group: Group, x: int, y: int) -> None:
        """The query: its picture, or all of them as a mosaic, or its words; and what it is called."""
        layout = self._layout
        side = layout.lead * layout.across - layout.gap
        below = y + (layout.lead - 1) * layout.down + layout.side
        height = below - y  # a lead of two tiles is a little higher than wide
        pictures = [(card, card.source) for card in group.leads if card.source is not None]
        if pictures:
            self._draw.rectangle((x, y, x + side - 1, below - 1), fill=_TILE, outline=_ACCENT, width=layout.frame)
            inset, between = 2 * layout.frame, layout.frame
            beside = next(count for count in range(1, len(pictures) + 1) if count * count >= len(pictures))
            rows = -(-len(pictures) // beside)
            wide = (side - 2 * inset - (beside - 1) * between) // beside
            high = (height - 2 * inset - (rows - 1) * between) // rows
            for number, (card, source) in enumerate(pictures):
                left = x + inset + number % beside * (wide + between)
                top = y + inset + number // beside * (high + between)
                self._places[source].append(_Place(card, left, top, wide, high, is_lead=True))
        else:
            self._draw.rectangle((x, y, x + side - 1, below - 1), fill=_TILE, outline=_ACCENT, width=layout.frame)
            inner = side - 2 * layout.gap
            size = max(layout.large, side // 9)
            words = self._letters.readable(group.title).split(" ")
            while size > layout.small and max(self._letters.length(word, size) for word in words) > inner:
                size -= 1
            area = x + layout.gap, y + layout.gap, inner, height - 2 * layout.gap
            self._draw_lines(group.title, *area, size, _ACCENT, centred=True)
        base = below + round(1.3 * layout.large)
        self._text(x, base, group.role, layout.large, _ACCENT)
        beside_role = x + self._letters.length(group.role + "  ", layout.large)
        notes = ([f"{len(group.leads)} pictures"] if len(group.leads) > 1 else []) + list(group.notes)
        for line in self._letters.wrap("; ".join(notes), layout.small, x + side - beside_role, 1):
            self._text(beside_role, base, line, layout.small, _GREY)
        if pictures:
            name = self._letters.shorten(group.title, layout.small, side)
            self._text(x, base + round(1.4 * layout.small), name, layout.small, _INK)

    def _draw_caption(self, card: Card, x: int, y: int) -> None:
        """Rank and score on one line, the end of the name on the next."""
        layout, letters = self._layout, self._letters
        base = y + round(1.3 * layout.large)
        left = float(x)
        if card.rank is not None:
            self._text(left, base, str(card.rank), layout.large, _INK)
            left += letters.length(f"{card.rank}", layout.large) + layout.large * 0.7
        for label, value in card.figures[:1]:
            with_label = f"{label} {value}"
            fits = left + letters.length(with_label, layout.large) <= x + layout.side
            self._text(left, base, with_label if fits else value, layout.large, _GREY)
        name = letters.shorten(card.name, layout.small, layout.side)
        self._text(x, base + round(1.4 * layout.small), name, layout.small, _GREY)

    def _draw_lines(
        self,
        text: str,
        x: int,
        y: int,
        width: int,
        height: int,
        size: int,
        colour: tuple[int, int, int],
        *,
        centred: bool = False,
    ) -> None:
        """Text on as many lines as a rectangle has room for, from its top, or in its middle."""
        step = round(1.35 * size)
        lines = self._letters.wrap(text, size, width, max(1, height // step))
        top = y + (height - len(lines) * step) // 2 if centred else y
        for number, line in enumerate(lines):
            left = x + (width - self._letters.length(line, size)) / 2 if centred else x
            self._text(left, top + size + number * step, line, size, colour)

    def _text(self, x: float, y: float, text: str, size: int, colour: tuple[int, int, int]) -> None:
        self._letters.draw(self._draw, (x, y), text, size, colour)

    def _draw_picture(self, place: _Place, thumbnail: Preview) -> None:
        card, x, y, width, height, is_lead = place
        right, bottom = x + width - 1, y + height - 1
        if thumbnail.image is None:
            size = max(12, min(self._layout.large, width // 8))
            gap = min(self._layout.gap, width // 10)
            self._draw.line((x, y, right, bottom), fill=_LINE, width=2)
            self._draw.line((x, bottom, right, y), fill=_LINE, width=2)
            self._draw_lines(
                thumbnail.problem, x + gap, y + gap, width - 2 * gap, height - 2 * gap, size, _AWAY, centred=True
            )
        else:
            image = thumbnail.with_boxes(card.boxes)
            # a small query is enlarged a little, so that it is no smaller than what it found
            most = min(width / image.width, height / image.height, _ENLARGED if is_lead else 1.0)
            fitted = max(1, round(image.width * most)), max(1, round(image.height * most))
            if fitted != image.size:
                image = image.resize(fitted, Image.Resampling.LANCZOS)
            self._image.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
        colour = {"unlike": _AWAY, "right": _RIGHT, "wrong": _WRONG}.get(card.mark)
        if colour is not None:
            self._draw.rectangle((x, y, right, bottom), outline=colour, width=self._layout.frame)
