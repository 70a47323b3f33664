"""What `cbir segment` writes: files beside the pictures, and records of them on stdout."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.errors import CbirError
from cbir.utils.marks import Mark, picture_settings
from cbir.utils.outputs import Derived, MarkedFill, Piece, real_name, write_output

if TYPE_CHECKING:
    from PIL import Image

    from cbir.segment.classify import Classified
    from cbir.segment.segmenter import Segmentation

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

Record = dict[str, Any]

# How files are called after the picture's name, by their kinds.
_NAMES = {"overlay": "parts", "labels": "labels", "layers": "layers"}


class Files:
    """The files of one run: of each picture those whose `kinds` are wanted, of overlay, labels, layers and crops.

    They go to `folder`, crops to a folder of their own. `inputs` are the pictures that were named: none of them is ever
    written over. `reserved` are files that other options name.
    """

    def __init__(
        self,
        folder: Path,
        inputs: Sequence[Path],
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
        for picture in inputs if names else ():
            for piece in self._pieces():
                path = piece.folder / f"{picture.stem}{piece.ending}"
                if (option := names.get(real_name(path))) is not None:
                    raise CbirError(
                        f"{path}, which {option} names, would also be made of {picture}: "
                        f"name another file with {option}."
                    )
        self._derived = Derived(inputs=inputs, reserved=reserved, force=force)

    def check(self, picture: Path) -> None:
        """OutputRefusedError where a file of a picture would be written over one that cbir did not make."""
        self._derived.stem(picture, self._pieces())

    def write(self, segmentation: Segmentation, picture: Path, layers: Image.Image | None) -> Record:
        """Write what was asked for of one picture; the files' names, as a record has them."""
        pieces = self._pieces(len(segmentation.parts))
        paths = self._derived.write(picture, zip(pieces, self._images(segmentation, layers), strict=True))
        written: Record = {}
        for piece, path in zip(pieces, map(str, paths), strict=True):
            if piece.kind == "crop":
                written.setdefault("crops", []).append(path)
            else:
                written[piece.kind] = path
        return written

    def _images(self, segmentation: Segmentation, layers: Image.Image | None) -> Iterator[MarkedFill]:
        """What writes each of `_pieces`, made one by one: the cut-outs of a large picture fill much memory."""
        from cbir.segment import overlay

        if "overlay" in self._kinds:
            yield png_of(overlay.overlay(segmentation))
        if "labels" in self._kinds:
            yield png_of(overlay.label_map(segmentation))
        if layers is not None:
            yield png_of(layers)
        if "crops" in self._kinds:
            for _, cut in overlay.cut_outs(segmentation):
                yield png_of(cut)

    def _pieces(self, parts: int = 1) -> list[Piece]:
        """What is made of a picture that has so many parts."""
        made = [Piece(self._folder, f".{_NAMES[kind]}.png", kind, "--out") for kind in _NAMES if kind in self._kinds]
        if "crops" in self._kinds:
            digits = max(2, len(str(parts - 1)))
            endings = [f".segment-{number:0{digits}}.png" for number in range(parts)]
            made += [Piece(self._crops, ending, "crop", "--crops") for ending in endings]
        return made


def png_of(image: Image.Image) -> MarkedFill:
    """What writes an image as a PNG."""

    def fill(file: IO[bytes], mark: Mark) -> None:
        # of 12 megapixels, level 1 is twice as quick as the default, and the file hardly larger
        image.save(file, "PNG", compress_level=1, **picture_settings("PNG", mark))

    return fill


def write_coco(records: Iterable[Record], path: Path, pictures: Sequence[Path], *, force: bool = False) -> None:
    """Write the parts of all pictures that could be read as one COCO document; CbirError where that cannot be."""
    import json

    from cbir.segment.coco import document

    text = json.dumps(document(record for record in records if "error" not in record)) + "\n"
    write_output(path, lambda file: file.write(text.encode("ascii")), "--coco", "coco", force=force, shown=pictures)


def describe(
    segmentation: Segmentation, image: Path, model: str, written: Record, classified: Classified | None, *, shapes: bool
) -> Record:
    """What is told of one picture; with `shapes`, where its parts are in COCO's format."""
    parts = [part.to_json() for part in segmentation.parts]
    crops = written.pop("crops", None)
    if crops is not None:
        for part, crop in zip(parts, crops, strict=True):
            part["crop"] = crop
    record = {
        "image": str(image),
        "width": segmentation.image.width,
        "height": segmentation.image.height,
        "model": model,
        **written,
    }
    if classified is not None:
        record["classes"] = [likely.to_json() for likely in classified.whole]
        for part, likeliest in zip(parts, classified.parts, strict=True):
            part["classes"] = [likely.to_json() for likely in likeliest]
    if shapes:
        from cbir.segment.coco import segmentations

        for part, shape in zip(parts, segmentations(segmentation.labels), strict=True):
            part.update(shape)
    return {**record, "parts": parts}


def write_table(record: Record) -> None:
    """One picture and its parts, for people."""
    title = f"{record['image']} ({record['width']} x {record['height']})"
    is_classified = "classes" in record
    if is_classified:
        title += ": " + ", ".join(map(_in_words, record["classes"]))
    output.say(title)
    rows = []
    for part in record["parts"]:
        centre = ",".join(f"{value:.0f}" for value in part["centroid"])
        row = [str(part["label"]), f"{part['share']:.1%}", ",".join(map(str, part["box"])), centre, part["colour"]]
        rows.append([*row, _in_words(part["classes"][0])] if is_classified else row)
    columns = [
        Column("part", right=True, style={"bold": True}),
        Column("share", right=True),
        *(Column(name) for name in ("box", "centre", "colour")),
    ]
    table.write([*columns, Column("class", cuts="end")] if is_classified else columns, rows)
    written = [record[name] for name in ("overlay", "labels", "layers") if name in record]
    if record["parts"] and "crop" in record["parts"][0]:
        crops = [part["crop"] for part in record["parts"]]
        written += crops if len(crops) == 1 else [f"{crops[0]} to {Path(crops[-1]).name}"]
    if written:
        output.say(f"wrote {', '.join(written)}")
    output.say()


def write_separated(records: list[Record], *, classified: bool, tabs: bool) -> None:
    """One line a part, and one with the reason of a picture that could not be read."""
    header = ["image", "part", "share", "area", "x", "y", "width", "height", "centre_x", "centre_y", "colour"]
    header = [*header, *(["class", "probability"] if classified else []), "error"]
    rows: list[list[Any]] = [header]
    for record in records:
        if "error" in record:
            rows.append([record["image"], *[""] * (len(header) - 2), record["error"]])
            continue
        for part in record["parts"]:
            row = [record["image"], part["label"], part["share"], part["area"], *part["box"], *part["centroid"]]
            best = part["classes"][0] if classified else None
            rows.append([*row, part["colour"], *([best["name"], best["probability"]] if best else []), ""])
    output.write_separated(rows, tabs=tabs)


def _in_words(likely: Record) -> str:
    return f"{likely['name']} {likely['probability']:.0%}"
