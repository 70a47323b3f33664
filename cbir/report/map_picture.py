"""The map of a collection as one picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from PIL import Image, ImageDraw

from cbir.map.collection import MapCell
from cbir.map.grid import Grid
from cbir.map.labels import MapLabel
from cbir.report.fonts import Lettering

#: Pixels of the picture's longer side, about, and of a cell at least and at most.
_SIDE = 3600
_LEAST_CELL, _LARGEST_CELL = 24, 192

_GROUND = (24, 24, 24)
_GONE = (90, 90, 90)

_LEAST_WORD = 10  # pixels; lower ones cannot be read


class MapPicture:
    """The picture, to which the cells are given one by one."""

    def __init__(self, grid: Grid) -> None:
        self.cell = max(_LEAST_CELL, min(_LARGEST_CELL, _SIDE // max(grid)))
        self._image = Image.new("RGB", (grid.columns * self.cell, grid.rows * self.cell), _GROUND)

    def add(self, cell: MapCell, square: Image.Image | None) -> None:
        """Show a picture, which is a square, in its cell; a cross where there is none."""
        left, top = cell.column * self.cell, cell.line * self.cell
        if square is not None:
            self._image.paste(square.resize((self.cell, self.cell), Image.Resampling.LANCZOS), (left, top))
            return
        near, far = self.cell // 3, self.cell - 1 - self.cell // 3
        draw = ImageDraw.Draw(self._image)
        for first, last in ((near, far), (far, near)):
            draw.line([(left + near, top + first), (left + far, top + last)], _GONE, max(1, self.cell // 24))

    def finish(self, labels: Sequence[MapLabel]) -> Image.Image:
        """Return the picture with its words."""
        lettering = Lettering()
        draw = ImageDraw.Draw(self._image)
        for label in labels:
            size = round(self.cell * label.height)
            if size < _LEAST_WORD:
                continue
            text = lettering.readable(label.word)
            left = label.column * self.cell - lettering.length(text, size) / 2
            base = label.line * self.cell + 0.35 * size
            # light and dark pictures lie under it
            edge = max(1, round(size / 14))
            for x, y in itertools.product((-edge, 0, edge), repeat=2):
                lettering.draw(draw, (left + x, base + y), text, size, (0, 0, 0))
            lettering.draw(draw, (left, base), text, size, (255, 255, 255))
        return self._image
