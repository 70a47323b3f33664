"""The output of `cbir detect`: records of boxes on stdout, and files of pictures and boxes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cbir.cli.render.boxes import FORMATS as FORMATS
from cbir.cli.render.boxes import BoxOutputs, Record, crop_pieces, write_boxes
from cbir.cli.render.pictures import file_name_of, image_of
from cbir.cli.render.segment import png_of
from cbir.cli.terminal.table import Column
from cbir.errors import ImageReadError, OutputRefusedError
from cbir.utils.marks import Mark
from cbir.utils.outputs import MarkedFill, Piece, write_output

if TYPE_CHECKING:
    from PIL import Image

    from cbir.cli.render.detect_report import DetectPage
    from cbir.detect.detection import Detection, Detections, Detector
    from cbir.detect.formats.annotations import Annotated
    from cbir.detect.formats.yolo import YoloFolder
    from cbir.engines.lazy import LazyEngine
    from cbir.evaluation.box_sources import DrawnBoxes
    from cbir.search.queries import ImageQuery

logger = logging.getLogger("cbir")


class Wanted:
    """The files that are wanted, as options name them; `numbers` are of the dataset that COCO's results are of."""

    def __init__(
        self,
        out: Path | None,
        crops: Path | None,
        coco: Path | None,
        results: Path | None,
        yolo: Path | None,
        voc: Path | None,
        html: Path | None,
        *,
        numbers: DrawnBoxes | None,
        force: bool,
    ) -> None:
        self.out, self.crops, self.coco, self.results = out, crops, coco, results
        self.yolo, self.voc, self.html = yolo, voc, html
        self.numbers = numbers
        self.force = force

    @property
    def pictures(self) -> bool:
        """True if something shows the pictures themselves, which have to be read again for that."""
        return any((self.out, self.crops, self.html))

    def pieces(self, crops: int = 1) -> list[Piece]:
        """List the files to make of a picture with so many boxes."""
        made = []
        if self.out is not None:
            made.append(Piece(self.out, ".objects.png", "objects", "--out"))
        if self.voc is not None:
            made.append(Piece(self.voc, ".xml", "voc", "--voc"))
        return made + crop_pieces(self.crops, "object", crops)


class DetectOutputs(BoxOutputs):
    """The outputs of a run (see `BoxOutputs`). With `masks`, boxes get approximate ones, by regions that this engine
    tells.
    """

    boxes, label = "objects", "class"

    def __init__(
        self,
        detector: Detector,
        pictures: Sequence[ImageQuery],
        wanted: Wanted,
        format_: str,
        *,
        reserved: Sequence[Path] = (),
        masks: LazyEngine | None = None,
    ) -> None:
        super().__init__(pictures, format_, reserved=reserved, force=wanted.force)
        self._masks = masks
        self._detector = detector
        self._wanted = wanted
        self._annotated: list[Annotated] = []
        self._yolo: YoloFolder | None = None
        self._page: DetectPage | None = None
        if wanted.yolo is not None:
            from cbir.detect.formats.yolo import YoloFolder

            self._yolo = YoloFolder(wanted.yolo, list(dict.fromkeys(detector.classes)), force=wanted.force)
        if wanted.html is not None:
            from cbir.cli.render.detect_report import DetectPage

            self._page = DetectPage(len(pictures), detector)

    def add(self, picture: ImageQuery, size: tuple[int, int], detections: Detections) -> None:
        """Tell of one picture, and write all that is made of it; what goes wrong with it ends nothing."""
        try:
            # a picture is read again where it is shown
            image = (
                image_of(picture, apart=not self._is_one) if self._masks is not None or self._wanted.pictures else None
            )
            if self._masks is not None and image is not None:
                from cbir.detect.spreading import with_masks

                detections = with_masks(detections, image, self._masks)
            found = list(detections.each(self._detector.classes))
            record: Record = {
                "image": picture.name,
                "width": size[0],
                "height": size[1],
                "detector": self._detector.name,
                "objects": [self._described(one, size) for one in found],
            }
            self._write(picture, image, size, found, record)
        except (ImageReadError, OutputRefusedError) as error:
            self.fail(picture, error)
            return
        self._tell(record)

    def fail(self, picture: ImageQuery, error: Exception) -> None:
        """Tell that nothing was made of a picture, and why, on the page too."""
        if self._page is not None:
            self._page.fail(str(error))
        super().fail(picture, error)

    def finish(self) -> None:
        """Write what is made of all pictures together."""
        if self._wanted.coco is not None:
            self._write_coco(self._wanted.coco)
        if self._wanted.results is not None:
            self._write_results(self._wanted.results)
        if self._yolo is not None:
            self._yolo.finish()
        if self._page is not None and self._wanted.html is not None:
            self._page.write(self._wanted.html, others=self._inputs, force=self._wanted.force)
        super().finish()

    def _pieces(self, count: int) -> list[Piece]:
        return self._wanted.pieces(count)

    def _described(self, one: Detection, size: tuple[int, int]) -> Record:
        record = one.to_dict()
        if one.mask is not None and self._format in ("json", "jsonl"):
            from cbir.detect.formats.annotations import Size
            from cbir.detect.formats.masks import packed_runs
            from cbir.detect.geometry import whole_pixels

            record["mask"] = packed_runs(one.mask, whole_pixels(one.box, size), Size(*size))
            if one.is_approximate:
                record["approximate"] = True
        return record

    def _write(
        self,
        picture: ImageQuery,
        image: Image.Image | None,
        size: tuple[int, int],
        found: list[Detection],
        record: Record,
    ) -> None:
        """Write the files of one picture, and note them in its record."""
        from cbir.detect.formats.annotations import Annotated, Annotation, PackedMask, Size

        is_kept = self._wanted.coco is not None or self._wanted.results is not None
        masks = [PackedMask.of(one.mask) if is_kept and one.mask is not None else None for one in found]
        annotations = tuple(
            Annotation(one.box, one.name, one.score, mask, is_approximate=one.is_approximate)
            for one, mask in zip(found, masks, strict=True)
        )
        annotated = Annotated(picture.name, Size(*size), annotations)
        path = Path(file_name_of(picture))
        pieces = self._wanted.pieces(len(found))
        if pieces:
            fills = self._fills(path, image, found, annotated)
            written = self._derived.write(path, zip(pieces, fills, strict=True))
            for piece, at in zip(pieces, map(str, written), strict=True):
                if piece.kind == "object":
                    next(one for one in record["objects"] if "crop" not in one)["crop"] = at
                else:
                    record["overlay" if piece.kind == "objects" else piece.kind] = at
        if self._yolo is not None:
            record["yolo"] = str(self._yolo.add(path, annotated))
        if is_kept:
            self._annotated.append(annotated)
        if self._page is not None and image is not None:
            self._page.add(picture, image, found)

    def _fills(
        self, path: Path, image: Image.Image | None, found: list[Detection], annotated: Annotated
    ) -> Iterator[MarkedFill]:
        """Yield a writer of each of a picture's files, in the order of `Wanted.pieces`, made one by one."""
        from cbir.detect.overlay import cut_outs, overlay

        if self._wanted.out is not None and image is not None:
            yield png_of(overlay(image, found, self._detector.classes))
        if self._wanted.voc is not None:
            yield partial(_write_voc, path, annotated)
        if self._wanted.crops is not None and image is not None:
            yield from map(png_of, cut_outs(image, found))

    def _write_coco(self, path: Path) -> None:
        import json

        from cbir.detect.formats.coco import dataset

        self._write_text(path, json.dumps(dataset(self._annotated)), "--coco", "coco")

    def _write_results(self, path: Path) -> None:
        import json

        from cbir.detect.formats.annotations import Annotations, Names
        from cbir.detect.formats.coco import dataset_numbers, results

        found = Annotations(tuple(self._annotated), tuple(dict.fromkeys(self._detector.classes)))
        if (of := self._wanted.numbers) is None:
            told = results(found.pictures, dataset_numbers(found.pictures))
        else:
            told = results([its for _, its in of.matched(found)], of.boxes)
            known = Names([one.name for one in of.boxes.pictures])
            if unknown := [one.name for one in found.pictures if known.find(one.name) is None]:
                logger.warning(
                    "%s of %s pictures are not in %s, or several there have their names: %s has no boxes of them.",
                    *(f"{len(unknown):,}", f"{len(found.pictures):,}", of.file, path),
                )
        self._write_text(path, json.dumps(told), "--coco-results", "results")

    def _write_text(self, path: Path, text: str, option: str, kind: str) -> None:
        content = f"{text}\n".encode("ascii")
        force = self._wanted.force
        write_output(path, lambda file: file.write(content), option, kind, force=force, shown=self._inputs)

    def _write_table(self, record: Record) -> None:
        found = record["objects"]
        how_many = {0: "nothing found", 1: "1 object"}.get(len(found), f"{len(found):,} objects")
        rows = [
            [one["class"], f"{one['score']:.2f}", ",".join(f"{side:.0f}" for side in one["box"]), one.get("crop", "")]
            for one in found
        ]
        written = [record[name] for name in ("overlay", "voc", "yolo") if name in record]
        write_boxes(record, how_many, Column("class", cuts="end", least=16, style={"bold": True}), rows, written)


def _write_voc(path: Path, annotated: Annotated, file: IO[bytes], mark: Mark) -> None:
    from cbir.detect.formats.voc import document

    file.write(document(path, annotated, mark))
