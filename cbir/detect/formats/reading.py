"""Reading boxes whichever of the formats they are in."""

from __future__ import annotations

from pathlib import Path

from cbir.detect.formats import coco, voc, yolo
from cbir.detect.formats.annotations import Annotations


def read_boxes(path: Path, of: Annotations | None = None) -> Annotations:
    """Read a COCO document, a folder of YOLO's texts with classes.txt, or of VOC's XML; CbirError where that cannot be.

    COCO's results need the dataset that they are `of`.
    """
    if not path.is_dir():
        return coco.read(path, of)
    is_yolo = any((place / yolo.CLASSES).is_file() for place in (path, path.parent))
    return yolo.read(path) if is_yolo and not any(path.glob(f"*{voc.ENDING}")) else voc.read(path)
