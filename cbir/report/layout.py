"""The layout of a contact sheet: the sizes of pictures, and their places in columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cbir.errors import CbirError
from cbir.report.card import Group

#: Pixels of a picture's longer side on the sheet: the largest that leaves the sheet at a size to look at.
SIDES = (256, 208, 168, 136, 112, 96)

#: Pixels of a sheet: as many as it should have, and as many as it may have with the smallest pictures.
COMFORTABLE, MOST = 24_000_000, 80_000_000

#: The width in heights that a sheet had best have, and what it is worth not to leave places empty.
_SHAPE, _EMPTY = 1.6, 3.0

_COLUMNS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64)
_BESIDE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)

#: Of several queries, each with up to so many matches has a row of its own; up to so many are all one below the other.
_IN_A_ROW, _BELOW = 12, 20


@dataclass(frozen=True)
class Layout:
    """A grid of square tiles with captions. Blocks, one a group, lie one below the other, in one or more columns.

    All numbers are pixels but `columns`, the tiles of a block beside each other, `lead`, how many tiles a query's
    picture is wide and high, and `beside`, the columns of blocks.
    """

    side: int
    columns: int
    lead: int
    beside: int

    @property
    def gap(self) -> int:
        """The gap between tiles, in pixels."""
        return max(8, self.side // 14)

    @property
    def large(self) -> int:
        """The size of ranks and scores."""
        return max(13, self.side // 14)

    @property
    def small(self) -> int:
        """The size of names."""
        return max(12, self.side // 18)

    @property
    def caption(self) -> int:
        """The height of what stands below a tile."""
        return round(1.5 * self.large + 1.55 * self.small)

    @property
    def across(self) -> int:
        """The step from one tile to the next, in pixels."""
        return self.side + self.gap

    @property
    def down(self) -> int:
        """The step from one row of tiles to the next, in pixels."""
        return self.side + self.caption + self.gap

    @property
    def heading(self) -> int:
        """The height of the title of a block that has no query's picture."""
        return 2 * self.large + self.gap

    @property
    def margin(self) -> int:
        """Around everything, and between blocks."""
        return 2 * self.gap

    @property
    def aside(self) -> int:
        """The gap between columns of blocks, in pixels."""
        return 4 * self.gap

    @property
    def frame(self) -> int:
        """The width of the frame of a query's picture."""
        return max(2, self.side // 64)

    @property
    def block_width(self) -> int:
        """The width of one column of blocks, in pixels."""
        return self.columns * self.across - self.gap

    def places(self, count: int, *, led: bool) -> Iterator[tuple[int, int]]:
        """Yield column and row of each of `count` tiles, around the lead in the upper left corner if there is one."""
        column = row = 0
        for _ in range(count):
            while True:
                first = self.lead if led and row < self.lead else 0
                if column < first:
                    column = first
                if column < self.columns:
                    break
                column, row = 0, row + 1
            yield column, row
            column += 1

    def rows(self, count: int, *, led: bool) -> int:
        """Count the rows of tiles in a block of `count` tiles, as `places` puts them."""
        beside = self.lead * (self.columns - self.lead) if led else 0
        if led and count <= beside:
            return self.lead
        return (self.lead if led else 0) + math.ceil((count - beside) / self.columns)

    def height(self, group: Group) -> int:
        """Return the height of a group's block, in pixels."""
        led = bool(group.leads)
        rows = max(1, self.rows(len(group.cards), led=led))
        return (0 if led else self.heading) + rows * self.down - self.gap

    def columns_of_blocks(self, groups: Sequence[Group]) -> list[list[Group]]:
        """Return the groups of each column of blocks, filled one after the other to about the same height."""
        heights = [self.height(group) + self.margin for group in groups]
        share = sum(heights) / self.beside
        filled: list[list[Group]] = [[]]
        done = 0.0
        for group, height in zip(groups, heights, strict=True):
            # into the next column if its middle lies there
            if filled[-1] and done + height / 2 > share * len(filled):
                filled.append([])
            filled[-1].append(group)
            done += height
        return filled

    def size(self, groups: Sequence[Group]) -> tuple[int, int]:
        """Width and height of the whole sheet."""
        filled = self.columns_of_blocks(groups)
        height = max(sum(self.height(group) + self.margin for group in column) for column in filled)
        width = len(filled) * (self.block_width + self.aside) - self.aside + 2 * self.margin
        return width, height + self.margin


def choose_layout(groups: Sequence[Group], most_side: int, *, advice: str) -> Layout:
    """Return the layout with the largest pictures that is no larger than one can look at, of a good shape.

    `most_side` is the most pixels that a side of the sheet may have. CbirError, with `advice`, where there are too many
    pictures.
    """
    count = sum(len(group.all_cards) for group in groups)
    for side in SIDES:
        best: tuple[float, Layout] | None = None
        most = COMFORTABLE if side != SIDES[-1] else MOST
        if count * side**2 > most:
            continue
        for layout in _candidates(groups, side):
            width, height = layout.size(groups)
            area = width * height
            if max(width, height) > most_side or area > most:
                continue
            tiles = sum(len(group.cards) + (layout.lead**2 if group.leads else 0) for group in groups)
            empty = 1 - tiles * layout.across * layout.down / area
            cost = abs(math.log(width / height / _SHAPE)) + _EMPTY * empty
            if best is None or cost < best[0]:
                best = cost, layout
        if best is not None:
            return best[1]
    raise CbirError(f"{count:,} pictures are too many for one sheet. {advice}")


def _candidates(groups: Sequence[Group], side: int) -> Iterator[Layout]:
    most = max((len(group.cards) for group in groups), default=0)
    led = any(group.leads for group in groups)
    # something has to be said where nothing was found
    least = 4 if any(not group.cards for group in groups) else 1
    several_queries = len(groups) > 1 and all(group.role == "query" for group in groups)
    if several_queries and most <= _IN_A_ROW:
        for beside in _BESIDE if len(groups) > _BELOW else (1,):
            if beside <= len(groups):
                yield Layout(side, max(most, least) + 1, 1, beside)
        return
    for lead in (1, 2) if led else (1,):
        widest = max(most + lead if led else most, least)
        columns = sorted({min(max(one, least), widest) for one in _COLUMNS})
        for count in columns:
            if not led or count > lead:
                for beside in _BESIDE:
                    if beside <= len(groups):
                        yield Layout(side, count, lead, beside)
