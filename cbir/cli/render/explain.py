"""The output of `cbir explain`: tables, JSON, pictures, a page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.errors import ImageReadError, OutputRefusedError
from cbir.explain.record import record_of, record_of_word
from cbir.images.sources.address import Location, named_after
from cbir.utils.outputs import Derived, Piece

if TYPE_CHECKING:
    from PIL import Image

    from cbir.cli.render.explain_report import ExplainPage
    from cbir.explain.explainer import Explanation, Seen
    from cbir.explain.words import WordPlaces
    from cbir.index.store import Index
    from cbir.words.vocabulary import Word

FORMATS = ("table", "json", "jsonl")


class Explanations:
    """Writes explanations as they come: records, pictures in `out`, the page `html` at the end.

    `inputs` are the pictures that were named: none of them is written over.
    """

    def __init__(
        self,
        inputs: Sequence[Location],
        *,
        format_: str,
        out: Path | None,
        html: Path | None,
        force: bool,
        all_pairs: bool,
        index: Index | None,
    ) -> None:
        self.has_failed = False
        self._format = format_
        self._all_pairs = all_pairs
        self._index = index
        self._html, self._force, self._inputs = html, force, inputs
        self._pieces = [] if out is None else [Piece(out, ".explained.png", "explained", "--out")]
        self._derived = Derived(inputs=map(named_after, inputs), reserved=[html] if html else [], force=force)
        self._records: list[dict[str, Any]] = []
        self._page: ExplainPage | None = None
        if html is not None:
            from cbir.cli.render.explain_report import ExplainPage

            self._page = ExplainPage(index)

    @contextlib.contextmanager
    def noting(self, path: Location) -> Iterator[None]:
        """Say it where a picture cannot be read, or nothing can be written of it; the others go on."""
        try:
            if self._pieces:
                self._derived.stem(named_after(path), self._pieces)
            yield
        except (ImageReadError, OutputRefusedError) as error:
            output.tell(f"Error: {error}")
            self.has_failed = True

    def add(self, one: Explanation, rank: int | None) -> None:
        """Tell of a match, and its rank where it was looked for."""
        from cbir.explain.draw import drawn_pair

        record = record_of(one, self._index, rank=rank, all_pairs=self._all_pairs)
        if self._pieces or self._page is not None:
            drawn = drawn_pair(one)
            self._draw(one.match.path, drawn, record)
            if self._page is not None:
                self._page.add(one, rank, record, drawn)
        self._tell(record)

    def add_word(self, seen: Seen, word: Word, places: WordPlaces) -> None:
        """Tell of a picture that may show a word."""
        from cbir.explain.draw import heated

        record = record_of_word(seen, word, places)
        if self._pieces or self._page is not None:
            drawn = heated(seen, places.above(seen.look))
            self._draw(seen.path, drawn, record)
            if self._page is not None:
                self._page.add_word(seen, word, places, drawn)
        self._tell(record)

    def finish(self) -> None:
        """Write what is one document."""
        if self._format == "json":
            output.write_json(self._records)
        elif self._format == "table":
            _write_table(self._records)
        if self._page is not None and self._html is not None:
            self._page.write(self._html, map(named_after, self._inputs), force=self._force)

    def _draw(self, path: Location, drawn: Image.Image, record: dict[str, Any]) -> None:
        if self._pieces:
            from cbir.cli.render.segment import png_of

            (written,) = self._derived.write(named_after(path), [(self._pieces[0], png_of(drawn))])
            record["overlay"] = str(written)

    def _tell(self, record: dict[str, Any]) -> None:
        if self._format == "jsonl":
            output.write_json_line(record)
        else:
            self._records.append(record)


def _write_table(records: Sequence[dict[str, Any]]) -> None:
    columns = [
        table.Column("score", right=True),
        table.Column("likeness", right=True),
        table.Column("both show", cuts="end", optional=2),
        table.Column("directly", right=True, optional=3),
        table.Column("match", cuts="start", least=16),
        table.Column("overlay", cuts="start", optional=1),
    ]
    rows = [
        [
            f"{one['score']:.3f}",
            f"{one['likeness']:.3f}",
            ", ".join(f"{word['name']} {word['part']:.0%}" for word in one["words"][:2] if word["part"] >= 0.01),
            f"{one['way']['direct']:.0%}" if "way" in one else "",
            one["match"],
            one.get("overlay", ""),
        ]
        for one in records
        if "match" in one
    ]
    if records and "match" not in records[0]:
        columns = [
            table.Column("probability", right=True),
            table.Column("evidence", right=True),
            table.Column("image", cuts="start", least=16),
            table.Column("overlay", cuts="start", optional=1),
        ]
        rows = [
            [f"{one['probability']:.3f}", f"{one['evidence']:.2f}", one["image"], one.get("overlay", "")]
            for one in records
        ]
    used = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    if rows:
        table.write([columns[place] for place in used], [[row[place] for place in used] for row in rows])
