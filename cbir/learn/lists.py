"""Lists of labels and of pairs: CSV as people and spreadsheets write it, errors by their lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cbir.errors import CbirError
from cbir.images.regions import RegionOption
from cbir.utils.lists import read_text
from cbir.utils.text import delimiter_of

#: The words for the two kinds of pairs.
SAME, DIFFERENT = "same", "different"

# The words of a box above a list.
_BOX = ("x", "y", "width", "height")

# A million labels of pictures with long names.
_MOST_BYTES = 1 << 27


class GivenLabel(NamedTuple):
    """A picture and its class as somebody gave them; an empty class is none of the others.

    `region` is that of a part, such as "40,30,200,150", and empty where the whole picture has the label.
    """

    path: str
    class_name: str
    region: str = ""


class GivenPair(NamedTuple):
    """Two pictures, and whether they are the same to somebody."""

    is_same: bool
    first: str
    second: str


def read_labels(file: Path) -> list[GivenLabel]:
    """Read lines of `path,class`, or of `path,class,x,y,width,height` for parts of pictures. CbirError names the line.

    A first line with these very words is no label.
    """
    found: list[GivenLabel] = []
    for line, row in _rows(file, "list of labels"):
        match row:
            case [path, name] if path.strip():
                if not _is_header(row) or found:
                    found.append(GivenLabel(path, name.strip()))
            case [path, name, *box] if path.strip() and len(box) == len(_BOX):
                if _is_header(row) and not found:
                    continue
                found.append(GivenLabel(path, name.strip(), _region(box, line, file)))
            case _:
                raise CbirError(
                    f"Line {line} of {file} is not a picture and its class: `path,class`, or of a part of it "
                    "`path,class,x,y,width,height`."
                )
    if len({bool(one.region) for one in found}) > 1:
        raise CbirError(f"{file} has labels of pictures and of parts: make two lists of them, and two notions.")
    return found


def _is_header(row: list[str]) -> bool:
    words = [word.strip().lower() for word in row]
    return words[0] == "path" and words[1] in ("class", "label") and words[2:] in ([], list(_BOX))


def _region(box: list[str], line: int, file: Path) -> str:
    region = ",".join(box)
    try:
        RegionOption.parse(region)
    except ValueError as error:
        raise CbirError(f"Line {line} of {file} has no box: {error}") from error
    return region


def read_pairs(file: Path) -> list[GivenPair]:
    """Read lines of `same,path,path` or `different,path,path`, perhaps below a header. CbirError names the line."""
    found: list[GivenPair] = []
    for line, row in _rows(file, "list of pairs"):
        match row:
            case [judgement, first, second] if first.strip() and second.strip():
                said = judgement.strip().lower()
                if said in (SAME, DIFFERENT):
                    found.append(GivenPair(said == SAME, first, second))
                    continue
                if line == 1 and said in ("pair", "judgement"):
                    continue
        raise CbirError(f"Line {line} of {file} is no pair: `same,path,path` or `different,path,path`.")
    return found


def _rows(file: Path, what: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file that are not blank, with their numbers."""
    text = read_text(file, f"Cannot read the {what}", _MOST_BYTES)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    is_empty = True
    try:
        for row in reader:
            if any(field.strip() for field in row) and not (reader.line_num == 1 and row[0].startswith("sep=")):
                is_empty = False
                yield reader.line_num, row
    except csv.Error as error:
        raise CbirError(f"Line {reader.line_num} of {file} is no CSV ({error}).") from error
    if is_empty:
        raise CbirError(f"The {what} {file} is empty.")
