"""Boxes as PASCAL VOC has them: an XML file a picture.

Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge" (IJCV 2010). Pixels are counted from 1, and xmax
and ymax are the last ones of a box. A found box has its `score`, which VOC has no place for and other programs skip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from cbir.detect.formats.annotations import (
    LARGEST,
    Annotated,
    Annotation,
    Annotations,
    Size,
    class_name,
    numbered,
    read_text,
    unusable,
)
from cbir.utils.marks import Mark
from cbir.utils.numbers import finite, whole
from cbir.utils.printable import printable

ENDING = ".xml"

#: Bytes of a file: a picture has no 50,000 boxes.
_MOST_BYTES = 1 << 24

#: Names under which programs write how sure a detector was.
_SCORES = ("score", "confidence")


def document(picture: Path, annotated: Annotated, mark: Mark) -> bytes:
    """Return the file of a picture, which has a size."""
    assert annotated.size is not None
    width, height = annotated.size
    root = ElementTree.Element("annotation")
    root.append(ElementTree.Comment(f" {mark} "))
    _add(root, "folder", picture.absolute().parent.name)
    _add(root, "filename", picture.name)
    _add(ElementTree.SubElement(root, "source"), "database", "Unknown")
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", width), ("height", height), ("depth", 3)):
        _add(size, name, str(value))
    _add(root, "segmented", "0")
    for one in annotated.annotations:
        _add_object(root, one, annotated.size)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode").encode("utf-8") + b"\n"


def read(folder: Path) -> Annotations:
    """Read a folder of files, or its folder Annotations; CbirError where that cannot be."""
    inner = folder / "Annotations"
    files = sorted((inner if inner.is_dir() else folder).glob(f"*{ENDING}"))
    if not files:
        raise unusable(folder, f"there is no {ENDING} file in it")
    pictures = tuple(map(_read_file, files))
    classes = sorted({one.name for picture in pictures for one in picture.annotations})
    return Annotations(pictures, numbered(classes))


def parse(text: str) -> ElementTree.Element:
    """Parse XML that has no document type, and so no entities of its own; ValueError where it is none.

    An entity may stand for others, those for others again, or for a file.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type, which may hide anything")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeError) as error:
        raise ValueError(f"it is no XML: {error}") from error
    return builder.close()


def _read_file(path: Path) -> Annotated:
    try:
        root = parse(read_text(path, _MOST_BYTES))
        if root.tag != "annotation":
            raise ValueError(f"it is no annotation of VOC but {printable(root.tag)[:40]}")
        size = root.find("size")
        if size is None:
            raise ValueError("the picture's size is not in it")
        width, height = (int(_number(size, side, 1)) for side in ("width", "height"))
        name = (root.findtext("filename") or "").strip() or path.stem
        found = tuple(_annotation(one) for one in root.iterfind("object"))
        return Annotated(name, Size(width, height), found)
    except ValueError as error:
        raise unusable(path, error) from error


def _annotation(one: ElementTree.Element) -> Annotation:
    place = one.find("bndbox")
    if place is None:
        raise ValueError("an object has no bndbox")
    x, y, right, bottom = (_number(place, side, -LARGEST) for side in ("xmin", "ymin", "xmax", "ymax"))
    if right < x or bottom < y:
        raise ValueError(f"a box ends before it begins: {x:g}, {y:g} to {right:g}, {bottom:g}")
    score = next((text for name in _SCORES if (text := one.findtext(name))), None)
    return Annotation(
        (x - 1, y - 1, right - x + 1, bottom - y + 1),
        class_name(one.findtext("name")),
        None if score is None else finite(score.strip()),
        difficult=whole((one.findtext("difficult") or "0").strip() or "0") != 0,
    )


def _number(parent: ElementTree.Element, name: str, least: float) -> float:
    value = finite((parent.findtext(name) or "").strip())
    if not least <= value <= LARGEST:
        raise ValueError(f"{name} is not from {least:,} to {LARGEST:,}")
    return value


def _add_object(root: ElementTree.Element, one: Annotation, size: Size) -> None:
    made = ElementTree.SubElement(root, "object")
    first, last = _pixels(one.box[:2], one.box[2:], size)
    for name, text in (("name", one.name), ("pose", "Unspecified"), ("truncated", "0")):
        _add(made, name, text)
    _add(made, "difficult", str(int(one.difficult)))
    if one.score is not None:
        _add(made, _SCORES[0], f"{one.score:.5f}")
    place = ElementTree.SubElement(made, "bndbox")
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), (*first, *last), strict=True):
        _add(place, name, str(value))


def _pixels(start: Sequence[float], sides: Sequence[float], size: Size) -> tuple[list[int], list[int]]:
    """Return the first and the last pixel of a box within its picture, x and y, counted from 1."""
    first = [min(max(round(one), 0), side - 1) + 1 for one, side in zip(start, size, strict=True)]
    ends = (round(one + length) for one, length in zip(start, sides, strict=True))
    return first, [min(max(end, least), side) for end, least, side in zip(ends, first, size, strict=True)]


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = printable(text)
