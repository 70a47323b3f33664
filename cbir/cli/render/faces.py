"""The output of `cbir faces`: records of faces on stdout, and pictures with their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.render.pictures import file_name_of, image_of, path_of
from cbir.cli.render.segment import png_of
from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.errors import ImageReadError, OutputRefusedError
from cbir.utils.outputs import Derived, MarkedFill, Piece

if TYPE_CHECKING:
    from PIL import Image

    from cbir.faces.face import Face
    from cbir.search.queries import ImageQuery

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

Record = dict[str, Any]

HEADER = ["image", "number", "score", "x", "y", "width", "height", "error"]


class FaceOutputs:
    """All that a run tells and writes of its pictures, as they come. `format_` is one of FORMATS.

    Pictures with boxes go to the folder `out`, each face cut out to `crops`, where these are named. Of `pictures`,
    those that were named, none is written over; nor are `reserved` files, which other options name. With `vectors`,
    JSON has those of faces, too.
    """

    def __init__(
        self,
        pictures: Sequence[ImageQuery],
        format_: str,
        *,
        out: Path | None,
        crops: Path | None,
        vectors: bool,
        force: bool,
        reserved: Sequence[Path] = (),
    ) -> None:
        self.failed = False
        self._format = format_
        self._out, self._crops, self._vectors = out, crops, vectors
        self._is_one = len(pictures) == 1
        inputs = [path for one in pictures if (path := path_of(one)) is not None]
        self._derived = Derived(inputs=inputs, reserved=reserved, force=force)
        self._document = output.JsonDocument(several=not self._is_one)
        self._is_first = True

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

    def add(self, picture: ImageQuery, size: tuple[int, int], faces: Sequence[Face]) -> None:
        """Tell of one picture, and write what is made of it; what goes wrong with it ends nothing."""
        record: Record = {
            "image": picture.name,
            "width": size[0],
            "height": size[1],
            "faces": [self._described(number, face) for number, face in enumerate(faces, start=1)],
        }
        try:
            self._write(picture, faces, record)
        except (ImageReadError, OutputRefusedError) as error:
            self.fail(picture, error)
            return
        self._tell(record)

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

    def _described(self, number: int, face: Face) -> Record:
        record = {"number": number, **face.to_dict()}
        if self._vectors:
            record["vector"] = [round(one, 6) for one in face.vector.tolist()]
        return record

    def _pieces(self, faces: int) -> list[Piece]:
        """List the files to make of a picture with so many faces."""
        made = [] if self._out is None else [Piece(self._out, ".faces.png", "faces", "--out")]
        if self._crops is not None:
            digits = max(2, len(str(faces)))
            endings = [f".face-{number:0{digits}}.png" for number in range(1, faces + 1)]
            made += [Piece(self._crops, ending, "face", "--crops") for ending in endings]
        return made

    def _write(self, picture: ImageQuery, faces: Sequence[Face], record: Record) -> None:
        pieces = self._pieces(len(faces))
        if not pieces:
            return
        image = image_of(picture, apart=not self._is_one)  # read again: only where it is shown
        fills = zip(pieces, self._fills(image, faces), strict=True)
        written = self._derived.write(Path(file_name_of(picture)), fills)
        crops = iter(record["faces"])
        for piece, at in zip(pieces, map(str, written), strict=True):
            if piece.kind == "face":
                next(crops)["crop"] = at
            else:
                record["overlay"] = at

    def _fills(self, image: Image.Image, faces: Sequence[Face]) -> Iterator[MarkedFill]:
        """Yield a writer of each of `_pieces`, made one by one."""
        from cbir.detect.detection import Detection
        from cbir.detect.overlay import cut_outs, overlay

        names = [f"face {number}" for number in range(1, len(faces) + 1)]
        drawn = [Detection(face.box, face.score, name) for name, face in zip(names, faces, strict=True)]
        if self._out is not None:
            yield png_of(overlay(image, drawn, names))
        if self._crops is not None:
            yield from map(png_of, cut_outs(image, drawn))

    def _tell(self, record: Record) -> None:
        if self._format == "jsonl":
            output.write_json_line(record)
        elif self._format == "json":
            self._document.add(record)
        elif self._format == "table":
            _write_table(record)
        else:
            header = [HEADER] if self._is_first else []
            output.write_separated([*header, *_separated(record)], tabs=self._format == "tsv")
        self._is_first = False


def how_many(count: int) -> str:
    """Return a number of faces in words."""
    return {0: "no face found", 1: "1 face"}.get(count, f"{count:,} faces")


def _separated(record: Record) -> list[list[Any]]:
    """Return a row for each face of a picture, or one with the reason why it could not be read."""
    if "error" in record:
        return [[record["image"], *[""] * (len(HEADER) - 2), record["error"]]]
    return [[record["image"], one["number"], one["score"], *one["box"], ""] for one in record["faces"]]


def _write_table(record: Record) -> None:
    """One picture and its faces, for people."""
    found = record["faces"]
    output.say(f"{record['image']} ({record['width']} x {record['height']}): {how_many(len(found))}")
    if found:
        rows = [
            [str(one["number"]), f"{one['score']:.2f}", ",".join(map(str, one["box"])), one.get("crop", "")]
            for one in found
        ]
        columns = [
            Column("face", right=True),
            Column("score", right=True),
            Column("box"),
            Column("cut out", cuts="start", optional=1),
        ]
        if not any(row[-1] for row in rows):
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        table.write(columns, rows)
    if "overlay" in record:
        output.say(f"wrote {record['overlay']}")
    output.say()
