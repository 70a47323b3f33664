"""What `cbir segment` writes: files beside the pictures, and records of them on stdout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli import output, table
from cbir.cli.table import Column
from cbir.errors import CbirError, reason_of

if TYPE_CHECKING:
    from PIL import Image

    from cbir.segment.classify import Classified
    from cbir.segment.parts import Segmentation

FORMATS = ("table", "json", "jsonl", "csv", "tsv")

Record = dict[str, Any]


@dataclass
class Files:
    """The files of one run. `inputs` are the pictures that were named: none of them is ever written over."""

    folder: Path
    inputs: Sequence[Path]
    has_overlay: bool = True
    has_labels: bool = True
    crops: Path | None = None
    _taken: set[str] = field(default_factory=set)

    def write(self, segmentation: Segmentation, image: Path, layers: Image.Image | None) -> Record:
        """Write what was asked for of one picture; the files' names, as a record has them."""
        from cbir.segment import overlay

        stem = self.free_stem(image)
        written: Record = {}
        if self.has_overlay:
            written["overlay"] = self._save(overlay.overlay(segmentation), self.folder / f"{stem}.parts.png", "--out")
        if self.has_labels:
            written["labels"] = self._save(overlay.label_map(segmentation), self.folder / f"{stem}.labels.png", "--out")
        if layers is not None:
            written["layers"] = self._save(layers, self.folder / f"{stem}.layers.png", "--out")
        if self.crops is not None:
            digits = max(2, len(str(len(segmentation.parts) - 1)))
            written["crops"] = [
                self._save(cut, self.crops / f"{stem}.segment-{part.label:0{digits}}.png", "--crops")
                for part, cut in overlay.cut_outs(segmentation)
            ]
        return written

    def save(self, image: Image.Image, name: str) -> str:
        """Write a picture of that name to the folder; its path."""
        return self._save(image, self.folder / name, "--out")

    def write_text(self, text: str, path: Path, option: str) -> None:
        """Write a document that `option` names."""
        self._check(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
        except OSError as error:
            raise CbirError(f"Cannot write {path}: {reason_of(error)}. Name another file with {option}.") from error

    def _save(self, image: Image.Image, path: Path, option: str) -> str:
        self._check(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, compress_level=1)  # of 12 megapixels, twice as quick as the default, and hardly larger
        except OSError as error:
            raise CbirError(f"Cannot write {path}: {reason_of(error)}. Choose another folder with {option}.") from error
        return str(path)

    def _check(self, path: Path) -> None:
        """CbirError where `path` is one of the pictures that were named."""
        for name in self.inputs:
            try:
                is_input = os.path.samefile(name, path)
            except OSError:  # one of them is not there
                continue
            if is_input:
                raise CbirError(
                    f"{path} would be written over, and it is one of the pictures that were named: "
                    "choose another folder with --out, or leave it out."
                )

    def free_stem(self, image: Path) -> str:
        """The start of the files' names; pictures of one name from several folders get numbers."""
        stem, number = image.stem, 1
        while stem in self._taken:
            number += 1
            stem = f"{image.stem}-{number}"
        self._taken.add(stem)
        return stem


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
