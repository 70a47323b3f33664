"""The output of `cbir segment`: files beside the pictures, and records of them on stdout."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.errors import CbirError
from cbir.images.sources.address import Location, named_after
from cbir.utils.marks import Mark, picture_settings
from cbir.utils.outputs import Derived, MarkedFill, Piece, real_name, write_output

if TYPE_CHECKING:
    from PIL import Image

    from cbir.cli.render.segment_report import SegmentPage
    from cbir.segment.classify import Classified
    from cbir.segment.segmentation import Segmentation

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

Record = dict[str, Any]

# How files are called after the picture's name, by their kinds.
_NAMES = {"overlay": "segments", "labels": "labels", "layers": "layers"}


class Files:
    """The files of one run: of each picture those whose `kinds` are wanted, of overlay, labels, layers and crops.

    They go to `folder`, crops to a folder of their own. `inputs` are the pictures that were named: none of them is ever
    written over. `reserved` are files that other options name.
    """

    def __init__(
        self,
        folder: Path,
        inputs: Sequence[Location],
        kinds: Collection[str] = ("overlay", "labels"),
        crops: Path | None = None,
        *,
        reserved: Mapping[Path, str] | None = None,
        force: bool = False,
    ) -> None:
        self._kinds = kinds
        self._folder = folder
        self._crops = crops or folder
        reserved = reserved or {}
        names = {real_name(path): option for path, option in reserved.items()}
        files = list(map(named_after, inputs))
        for picture in files if names else ():
            for piece in self._pieces():
                path = piece.folder / f"{picture.stem}{piece.ending}"
                if (option := names.get(real_name(path))) is not None:
                    raise CbirError(
                        f"{path}, which {option} names, would also be made of {picture}: "
                        f"name another file with {option}."
                    )
        self._derived = Derived(inputs=files, reserved=reserved, force=force)

    def check(self, picture: Location) -> None:
        """OutputRefusedError where a file of a picture would be written over one that cbir did not make."""
        self._derived.stem(named_after(picture), self._pieces())

    def write(self, segmentation: Segmentation, picture: Location, layers: Image.Image | None) -> Record:
        """Write what was asked for of one picture; the files' names, as a record has them."""
        pieces = self._pieces(len(segmentation.segments))
        paths = self._derived.write(named_after(picture), zip(pieces, self._images(segmentation, layers), strict=True))
        written: Record = {}
        for piece, path in zip(pieces, map(str, paths), strict=True):
            if piece.kind == "crop":
                written.setdefault("crops", []).append(path)
            else:
                written[piece.kind] = path
        return written

    def _images(self, segmentation: Segmentation, layers: Image.Image | None) -> Iterator[MarkedFill]:
        """Yield a writer of each of `_pieces`, made one by one: the cut-outs of a large picture fill much memory."""
        if "overlay" in self._kinds:
            yield png_of(segmentation.overlay())
        if "labels" in self._kinds:
            yield png_of(segmentation.label_map())
        if layers is not None:
            yield png_of(layers)
        if "crops" in self._kinds:
            for _, cut in segmentation.cut_outs():
                yield png_of(cut)

    def _pieces(self, segments: int = 1) -> list[Piece]:
        """List the files to make of a picture that has so many segments."""
        made = [Piece(self._folder, f".{_NAMES[kind]}.png", kind, "--out") for kind in _NAMES if kind in self._kinds]
        if "crops" in self._kinds:
            digits = max(2, len(str(segments - 1)))
            endings = [f".segment-{number:0{digits}}.png" for number in range(segments)]
            made += [Piece(self._crops, ending, "crop", "--crops") for ending in endings]
        return made


class SegmentOutputs:
    """All that a run tells and writes of its pictures, as they come: files, a page, a COCO document, records on stdout.

    `images` are those that were named, `format_` is one of FORMATS.
    """

    def __init__(
        self,
        files: Files,
        images: Sequence[Location],
        model: str,
        format_: str,
        *,
        coco: Path | None = None,
        html: Path | None = None,
        classified: bool = False,
        force: bool = False,
    ) -> None:
        self.files = files
        self.failed = False
        self._images = images
        self._model = model
        self._format = format_
        self._coco = coco
        self._html = html
        self._classified = classified
        self._force = force
        self._records: list[Record] = []
        self._page: SegmentPage | None = None
        if html is not None:
            from cbir.cli.render.segment_report import SegmentPage

            self._page = SegmentPage(images, model)

    def add(
        self, segmentation: Segmentation, image: Location, written: Record, classified: Classified | None = None
    ) -> None:
        """Tell of one picture, of which the files `written` were made."""
        shapes = self._format in ("json", "jsonl") or self._coco is not None
        record = describe(segmentation, image, self._model, written, classified, shapes=shapes)
        self._records.append(record)
        if self._page is not None:
            self._page.add(segmentation, image, record)
        if self._format == "jsonl":
            output.write_json_line(record)
        elif self._format == "table":
            write_table(record)

    def fail(self, image: Location, error: Exception) -> None:
        """Tell that nothing was made of a picture, and why."""
        output.tell(f"Error: {error}")
        self.failed = True
        if self._page is not None:
            self._page.fail(str(error))
        self._records.append({"image": str(image), "error": str(error)})
        if self._format == "jsonl":
            output.write_json_line(self._records[-1])

    def finish(self) -> None:
        """Write what is made of all pictures together."""
        if self._coco is not None:
            write_coco(self._records, self._coco, self._images, force=self._force)
        if self._page is not None and self._html is not None:
            self._page.write(self._html, force=self._force)
        if self._format == "json":
            output.write_json(self._records[0] if len(self._images) == 1 else self._records)
        elif self._format in ("csv", "tsv"):
            write_separated(self._records, classified=self._classified, tabs=self._format == "tsv")


def png_of(image: Image.Image) -> MarkedFill:
    """Return a function that writes an image as a PNG."""

    def fill(file: IO[bytes], mark: Mark) -> None:
        # of 12 megapixels, level 1 is twice as quick as the default, and the file hardly larger
        image.save(file, "PNG", compress_level=1, **picture_settings("PNG", mark))

    return fill


def write_coco(records: Iterable[Record], path: Path, pictures: Sequence[Location], *, force: bool = False) -> None:
    """Write the segments of all pictures that could be read as one COCO document; CbirError where that cannot be."""
    import json

    from cbir.segment.coco import document

    text = json.dumps(document(record for record in records if "error" not in record)) + "\n"
    shown = list(map(named_after, pictures))
    write_output(path, lambda file: file.write(text.encode("ascii")), "--coco", "coco", force=force, shown=shown)


def describe(
    segmentation: Segmentation,
    image: Location,
    model: str,
    written: Record,
    classified: Classified | None,
    *,
    shapes: bool,
) -> Record:
    """Return the JSON record of one picture; with `shapes`, with its segments' places in COCO's format."""
    segments = [segment.to_json() for segment in segmentation.segments]
    crops = written.pop("crops", None)
    if crops is not None:
        for segment, crop in zip(segments, crops, strict=True):
            segment["crop"] = crop
    record = {
        "image": str(image),
        "width": segmentation.image.width,
        "height": segmentation.image.height,
        "model": model,
        **written,
    }
    if classified is not None:
        record["classes"] = [likely.to_json() for likely in classified.whole]
        for segment, likeliest in zip(segments, classified.segments, strict=True):
            segment["classes"] = [likely.to_json() for likely in likeliest]
    if shapes:
        from cbir.segment.coco import segmentations

        for segment, shape in zip(segments, segmentations(segmentation.labels), strict=True):
            segment.update(shape)
    return {**record, "segments": segments}


def write_table(record: Record) -> None:
    """One picture and its segments, for people."""
    title = f"{record['image']} ({record['width']} x {record['height']})"
    is_classified = "classes" in record
    if is_classified:
        title += ": " + ", ".join(map(_in_words, record["classes"]))
    output.say(title)
    rows = []
    for segment in record["segments"]:
        centre = ",".join(f"{value:.0f}" for value in segment["centroid"])
        box = ",".join(map(str, segment["box"]))
        row = [str(segment["label"]), f"{segment['share']:.1%}", box, centre, segment["colour"]]
        rows.append([*row, _in_words(segment["classes"][0])] if is_classified else row)
    columns = [
        Column("segment", right=True, style={"bold": True}),
        Column("share", right=True),
        *(Column(name) for name in ("box", "centre", "colour")),
    ]
    table.write([*columns, Column("class", cuts="end")] if is_classified else columns, rows)
    written = [record[name] for name in ("overlay", "labels", "layers") if name in record]
    if record["segments"] and "crop" in record["segments"][0]:
        crops = [segment["crop"] for segment in record["segments"]]
        written += crops if len(crops) == 1 else [f"{crops[0]} to {Path(crops[-1]).name}"]
    if written:
        output.say(f"wrote {', '.join(written)}")
    output.say()


def write_separated(records: list[Record], *, classified: bool, tabs: bool) -> None:
    """One line a segment, and one with the reason of a picture that could not be read."""
    header = ["image", "segment", "share", "area", "x", "y", "width", "height", "centre_x", "centre_y", "colour"]
    header = [*header, *(["class", "probability"] if classified else []), "error"]
    rows: list[list[Any]] = [header]
    for record in records:
        if "error" in record:
            rows.append([record["image"], *[""] * (len(header) - 2), record["error"]])
            continue
        for segment in record["segments"]:
            figures = (segment[name] for name in ("label", "share", "area"))
            row = [record["image"], *figures, *segment["box"], *segment["centroid"]]
            best = segment["classes"][0] if classified else None
            rows.append([*row, segment["colour"], *([best["name"], best["probability"]] if best else []), ""])
    output.write_separated(rows, tabs=tabs)


def _in_words(likely: Record) -> str:
    return f"{likely['name']} {likely['probability']:.0%}"
