"""The output of `cbir faces`: records of faces on stdout, and pictures with their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cbir.cli.render.boxes import FORMATS as FORMATS
from cbir.cli.render.boxes import BoxOutputs, Record, crop_pieces, write_boxes
from cbir.cli.render.pictures import file_name_of, image_of
from cbir.cli.render.segment import png_of
from cbir.cli.terminal.table import Column
from cbir.errors import ImageReadError, OutputRefusedError
from cbir.utils.outputs import MarkedFill, Piece

if TYPE_CHECKING:
    from PIL import Image

    from cbir.faces.face import Face
    from cbir.search.queries import ImageQuery


class FaceOutputs(BoxOutputs):
    """The outputs of a run (see `BoxOutputs`).

    Pictures with boxes go to the folder `out`, each face cut out to `crops`, where these are named. With `vectors`,
    JSON has those of faces, too.
    """

    boxes, label = "faces", "number"

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
        super().__init__(pictures, format_, reserved=reserved, force=force)
        self._out, self._crops, self._vectors = out, crops, vectors

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

    def _described(self, number: int, face: Face) -> Record:
        record = {"number": number, **face.to_dict()}
        if self._vectors:
            record["vector"] = [round(one, 6) for one in face.vector.tolist()]
        return record

    def _pieces(self, count: int) -> list[Piece]:
        made = [] if self._out is None else [Piece(self._out, ".faces.png", "faces", "--out")]
        return made + crop_pieces(self._crops, "face", count)

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

    def _write_table(self, record: Record) -> None:
        found = record["faces"]
        rows = [
            [str(one["number"]), f"{one['score']:.2f}", ",".join(map(str, one["box"])), one.get("crop", "")]
            for one in found
        ]
        written = [record[name] for name in ("overlay",) if name in record]
        write_boxes(record, how_many(len(found)), Column("face", right=True), rows, written)


def how_many(count: int) -> str:
    """Return a number of faces in words."""
    return {0: "no face found", 1: "1 face"}.get(count, f"{count:,} faces")
