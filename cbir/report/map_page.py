"""The map of a collection as an HTML page that needs no other file, no network and, to be read, no script."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from PIL import Image

from cbir.images.sources.address import below
from cbir.map.collection import CollectionMap, MapCell
from cbir.map.labels import MapLabel
from cbir.report.page import data_uri, environment
from cbir.utils.marks import Mark

#: Pixels of a picture's side: sharp when a few dozen of them fill a screen.
SIDE = 128

#: Of WebP, which takes three quarters of a JPEG's bytes: there are thousands of pictures on a page.
_QUALITY = 70


class MapPage:
    """The page, to which the cells are given one by one."""

    def __init__(self, whole: CollectionMap) -> None:
        self._whole = whole
        self._cells: list[dict[str, Any]] = []

    def add(self, cell: MapCell, square: Image.Image | None, words: Sequence[str], problem: str) -> None:
        """Show a picture, a square of SIDE pixels, in its cell, and the `words` for it; the `problem` without one."""
        facts = list(words)
        if cell.pictures > 1:
            facts.append(f"stands for {cell.pictures} pictures")
        self._cells.append(
            {
                "column": cell.column + 1,  # as CSS counts them
                "line": cell.line + 1,
                "name": str(below(cell.path, self._whole.index.root)),
                "alt": ", ".join([cell.path.name, *words]),
                "facts": facts,
                "path": cell.path,
                "image": None if square is None else _webp_uri(square),
                "problem": problem,
            }
        )

    def finish(self, labels: Sequence[MapLabel], mark: Mark) -> str:
        """Return the page's HTML."""
        templates = environment()
        script = Markup(templates.get_template("map.js").render())
        return templates.get_template("map.html").render(
            title=self._whole.index.directory.name,
            pictures=self._whole.pictures,
            grid=self._whole.grid,
            cells=self._cells,
            labels=labels,
            mark=str(mark),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )


def _webp_uri(image: Image.Image) -> Markup:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return data_uri(buffer.getvalue(), "image/webp")
