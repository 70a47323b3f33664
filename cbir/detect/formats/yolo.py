"""Boxes as YOLO has them: a text a picture, a line a box, and the classes' names in classes.txt.

A line is the class's number from 0, the centre's x and y, and width and height, all in shares of the picture's; then
the score, if there is one. Darknet's and Ultralytics' programs read and write it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from cbir.detect.formats.annotations import Annotated, Annotation, Annotations, class_name, read_text, unusable
from cbir.errors import OutputRefusedError
from cbir.index.values import read_json
from cbir.utils.marks import Mark
from cbir.utils.numbers import finite, whole
from cbir.utils.opening import read_regular
from cbir.utils.outputs import real_name, write_output

CLASSES = "classes.txt"

#: Texts of this format can have no mark: the hashes of those that cbir wrote to a folder are in a file beside them.
WRITTEN = "cbir-yolo.json"

ENDING = ".txt"

#: Bytes of a text, and of the list of hashes.
_MOST_BYTES, _MOST_WRITTEN = 1 << 24, 1 << 27

# Numbers are shares: what is far outside of the picture is in pixels, or damaged.
_FAR = 10.0


class YoloFolder:
    """Writes the boxes of pictures, as they come, to a folder; `option` is what named it.

    A text is replaced only where it is as cbir wrote it: who corrects boxes by hand does not lose that.
    OutputRefusedError where another is there, unless `force`.
    """

    def __init__(self, folder: Path, classes: Sequence[str], option: str = "--yolo", *, force: bool = False) -> None:
        self._folder = folder
        self._option = option
        self._force = force
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._written = _written(folder)
        self._pictures: dict[str, Path] = {}
        content = "".join(f"{name}\n" for name in classes).encode("utf-8")
        there = _content(folder / CLASSES)
        if there is not None and there != content and not force:
            raise OutputRefusedError(
                f"{folder / CLASSES} has other classes, which boxes beside it may be of: name another folder with "
                f"{option}, or write over it with --force."
            )
        self._put(CLASSES, content)

    def add(self, picture: Path, annotated: Annotated) -> Path:
        """Write the boxes of a picture, which has a size; where they are."""
        name = f"{picture.stem}{ENDING}"
        path = self._folder / name
        other = self._pictures.setdefault(name, picture)
        if name == CLASSES or real_name(other) != real_name(picture):
            raise OutputRefusedError(
                f"The boxes of {picture} would be written to {path}, where "
                f"{'the classes are' if name == CLASSES else f'those of {other} are'}: "
                f"name another folder with {self._option} for them."
            )
        assert annotated.size is not None
        lines = (self._line(one, annotated.size.width, annotated.size.height) for one in annotated.annotations)
        self._put(name, "".join(lines).encode("ascii"))
        return path

    def finish(self) -> None:
        """Note what was written."""
        record = {"info": {"made_by": str(Mark("yolo"))}, "files": self._written}
        text = json.dumps(record, indent=0) + "\n"
        path = self._folder / WRITTEN
        write_output(path, lambda file: file.write(text.encode("ascii")), self._option, "yolo", force=self._force)

    def _line(self, one: Annotation, width: int, height: int) -> str:
        x, y, its_width, its_height = one.box
        shares = ((x + its_width / 2) / width, (y + its_height / 2) / height, its_width / width, its_height / height)
        score = "" if one.score is None else f" {one.score:.5f}"
        return f"{self._numbers[one.name]} {' '.join(f'{share:.6f}' for share in shares)}{score}\n"

    def _put(self, name: str, content: bytes) -> None:
        path = self._folder / name
        there = _content(path)
        is_own = there is not None and (there == content or self._written.get(name) == _hash(there))
        force = self._force or is_own
        write_output(path, lambda file: file.write(content), self._option, "yolo", force=force)
        self._written[name] = _hash(content)


def read(folder: Path) -> Annotations:
    """Read a folder of texts, those of folders below it included; classes.txt is there or in the folder around it.

    A picture's name is that of its text without ending; its size is not known. Lines of polygons have their boxes.
    CbirError where that cannot be.
    """
    places = [place for place in (folder / CLASSES, folder.parent / CLASSES) if place.is_file()]
    if not places:
        raise unusable(folder, f"there is no {CLASSES} in it")
    try:
        lines = [line for line in read_text(places[0], _MOST_BYTES).splitlines() if line.strip()]
        classes = tuple(class_name(line) for line in lines)
    except ValueError as error:
        raise unusable(places[0], error) from error
    if len(set(classes)) < len(classes):
        raise unusable(places[0], "two classes have one name")
    texts = sorted(path for path in folder.rglob(f"*{ENDING}") if path.name != CLASSES)
    return Annotations(tuple(_picture(path, folder, classes) for path in texts), classes)


def _picture(path: Path, folder: Path, classes: Sequence[str]) -> Annotated:
    annotations = []
    for place, line in enumerate(read_text(path, _MOST_BYTES).splitlines(), start=1):
        if line.strip():
            try:
                annotations.append(_annotation(line.split(), classes))
            except ValueError as error:
                raise unusable(path, f"line {place}: {error}") from error
    return Annotated(os.fspath(path.relative_to(folder).with_suffix("")), None, tuple(annotations))


def _annotation(words: Sequence[str], classes: Sequence[str]) -> Annotation:
    """Return the box of a line: five numbers, six with a score; more are a polygon's corners, and may have one, too."""
    number = whole(words[0])
    if not 0 <= number < len(classes):
        raise ValueError(f"there is no class {number} in {CLASSES}")
    values = [finite(word) for word in words[1:]]
    if len(values) < 4:
        raise ValueError("it is no class, x, y, width and height")
    score = values.pop() if len(values) % 2 else None
    if any(abs(value) > _FAR for value in values):
        raise ValueError("numbers are to be shares of the picture's width and height")
    if len(values) == 4:
        x, y, width, height = values
        box = x - width / 2, y - height / 2, width, height
    else:
        across, down = values[::2], values[1::2]
        box = min(across), min(down), max(across) - min(across), max(down) - min(down)
    if min(box[2:]) < 0:
        raise ValueError("a width or height is below 0")
    return Annotation(box, classes[number], score)


def _written(folder: Path) -> dict[str, str]:
    """Return the hashes of the files that cbir wrote, by their names; none where that cannot be told."""
    content = _content(folder / WRITTEN, _MOST_WRITTEN)
    try:
        files = read_json((content or b"").decode("ascii"))["files"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return {}
    return {name: value for name, value in files.items() if isinstance(value, str)} if isinstance(files, dict) else {}


def _content(path: Path, most: int = _MOST_BYTES) -> bytes | None:
    try:
        return read_regular(path, most=most, follow=False)
    except OSError:
        return None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
