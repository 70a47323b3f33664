"""Records of pictures with boxes, told as they come; what `cbir detect` and `cbir faces` have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.render.pictures import file_name_of, path_of
from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.errors import OutputRefusedError
from cbir.utils.outputs import Derived, Piece

if TYPE_CHECKING:
    from cbir.search.queries import ImageQuery

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

Record = dict[str, Any]


class BoxOutputs(ABC):
    """All that a run tells and writes of its pictures, as they come. `format_` is one of FORMATS.

    Of `pictures`, those that were named, none is written over; nor are `reserved` files, which other options name. A
    record has its boxes under `boxes`, and CSV tells `label` of each in its second column.
    """

    boxes: str
    label: str

    def __init__(
        self, pictures: Sequence[ImageQuery], format_: str, *, reserved: Sequence[Path] = (), force: bool
    ) -> None:
        self.failed = False
        self._format = format_
        self._is_one = len(pictures) == 1
        self._inputs = [path for one in pictures if (path := path_of(one)) is not None]
        self._derived = Derived(inputs=self._inputs, reserved=reserved, force=force)
        self._document = output.JsonDocument(several=not self._is_one)
        self._is_first = True

    @abstractmethod
    def _pieces(self, count: int) -> list[Piece]:
        """List the files to make of a picture with so many boxes."""

    @abstractmethod
    def _write_table(self, record: Record) -> None:
        """Tell of one picture for people."""

    @property
    def grows(self) -> bool:
        """True if what is told on a terminal shows how far the run is."""
        return self._format != "json" and table.terminal_width() is not None

    def wanted(self, pictures: Sequence[ImageQuery]) -> Iterator[ImageQuery]:
        """Yield the pictures; one of whose files must not be written is told as failed, before any work."""
        for one in pictures:
            if pieces := self._pieces(1):
                try:
                    self._derived.stem(Path(file_name_of(one)), pieces)
                except OutputRefusedError as error:
                    self.fail(one, error)
                    continue
            yield one

    def fail(self, picture: ImageQuery, error: Exception) -> None:
        """Tell that nothing was made of a picture, and why."""
        output.tell(f"Error: {error}")
        self.failed = True
        if self._format != "table":
            self._tell({"image": picture.name, "error": str(error)})

    def finish(self) -> None:
        """End a document of all pictures."""
        if self._format == "json":
            self._document.close()

    def _tell(self, record: Record) -> None:
        if self._format == "jsonl":
            output.write_json_line(record)
        elif self._format == "json":
            self._document.add(record)
        elif self._format == "table":
            self._write_table(record)
        else:
            header = [self._header] if self._is_first else []
            output.write_separated([*header, *self._separated(record)], tabs=self._format == "tsv")
        self._is_first = False

    @property
    def _header(self) -> list[str]:
        return ["image", self.label, "score", "x", "y", "width", "height", "error"]

    def _separated(self, record: Record) -> list[list[Any]]:
        """Return a row for each box of a picture, or one with the reason why it could not be read."""
        if "error" in record:
            return [[record["image"], *[""] * (len(self._header) - 2), record["error"]]]
        return [[record["image"], one[self.label], one["score"], *one["box"], ""] for one in record[self.boxes]]


def crop_pieces(folder: Path | None, ending: str, count: int) -> list[Piece]:
    """List the files of a picture's boxes, cut out to a folder: `.ENDING-01.png`. None without a folder."""
    digits = max(2, len(str(count)))
    numbers = range(1, count + 1) if folder is not None else ()
    return [Piece(folder or Path(), f".{ending}-{number:0{digits}}.png", ending, "--crops") for number in numbers]


def write_boxes(record: Record, how_many: str, first: Column, rows: list[list[str]], written: Sequence[str]) -> None:
    """One picture and its boxes, for people: a row has what `first` is the column of, score, box and cut-out."""
    output.say(f"{record['image']} ({record['width']} x {record['height']}): {how_many}")
    if rows:
        columns = [
            first,
            Column("score", right=True),
            Column("box"),
            Column("cut out", cuts="start", optional=1),
        ]
        if not any(row[-1] for row in rows):
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        table.write(columns, rows)
    if written:
        output.say(f"wrote {', '.join(written)}")
    output.say()
