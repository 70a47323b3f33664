"""Marks by which cbir knows its own files again: a text in a picture, a line of HTML or XML, a key of JSON or Parquet.

A mark names the version of cbir, the kind of file, and, where the file's name comes from a picture's, that picture:
`cbir 1.2 (overlay of 0123456789abcdef)`. It is no proof of anything: whoever wants to can write one.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cbir._version import __version__
from cbir.utils.opening import open_regular

#: The reason for which a picture that cbir made is not indexed.
MADE_BY_CBIR = "cbir made it"

_MARK = re.compile(rb"cbir [0-9][0-9A-Za-z.+-]{0,40} \(([a-z]{1,20})(?: of ([0-9a-f]{16}))?\)")
_HTML = re.compile(rb'<meta name="generator" content="(' + _MARK.pattern + rb')">')
_XML = re.compile(rb"\s*<annotation>\s*<!-- (" + _MARK.pattern + rb") -->")
_PARQUET = re.compile(rb'"made_by": "(' + _MARK.pattern + rb')"')
_JSON = re.compile(rb'\s*\{\s*"info":\s*\{[^{}]*"made_by":\s*"(' + _MARK.pattern + rb')"')

# Where a mark stands in a document, or from the end of a Parquet file, and pieces of a picture that are looked through
# for one.
_HEAD = 2048
_TAIL = 1 << 16
_MOST_PIECES = 64
_LONGEST = 1000

_SOFTWARE = 0x0131  # of EXIF

# markers of JPEG: a comment; and those behind which no comment of ours comes
_COMMENT, _END_OF_HEAD = 0xFE, frozenset({0xD9, 0xDA})


@dataclass(frozen=True)
class Mark:
    """A mark's content: the kind of file, and the `source_of` what it was made of, empty where that does not matter."""

    kind: str
    source: str = ""

    def __str__(self) -> str:
        of = f" of {self.source}" if self.source else ""
        return f"cbir {__version__} ({self.kind}{of})"


def source_of(source: Path, folder: Path) -> str:
    """Return a hash of the way from a file in `folder` to the `source` that it is made of, to be kept in its mark.

    So it stays when both are moved together; it also stays when the picture is changed, since a file made of it before
    is then out of date.
    """
    import hashlib

    own = os.path.join(os.path.realpath(source.parent), source.name)
    with contextlib.suppress(ValueError):  # on another drive of Windows
        own = os.path.relpath(own, os.path.realpath(folder))
    return hashlib.sha256(os.fsencode(own)).hexdigest()[:16]


def picture_settings(format_: str, mark: Mark) -> dict[str, Any]:
    """Return the arguments by which Pillow's `save` puts a mark into a PNG, JPEG or WEBP."""
    if format_ == "JPEG":
        return {"comment": str(mark).encode("ascii")}
    if format_ == "WEBP":
        from PIL import Image

        exif = Image.Exif()
        exif[_SOFTWARE] = str(mark)
        return {"exif": exif}
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Software", str(mark))
    return {"pnginfo": texts}


def is_made_by_cbir(picture: Path | bytes) -> bool:
    """Tell whether a picture, a file or its content, has a mark of cbir's. False for what cannot be opened."""
    if isinstance(picture, bytes):
        return find_mark(io.BytesIO(picture)) is not None
    try:
        with open_regular(picture) as file:
            return find_mark(file) is not None
    except OSError:
        return False


def find_mark(file: IO[bytes]) -> Mark | None:
    """Read the mark at the beginning of a file, None where it has none; of pictures the pixels are not read."""
    head = file.read(16)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        found = _in_png(file)
    elif head.startswith(b"\xff\xd8\xff"):
        found = _in_jpeg(file)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found = _in_webp(file)
    elif head.startswith(b"PAR1"):
        found = _in_parquet(file)
    elif head.lstrip()[:1] in (b"<", b"{"):
        head += file.read(_HEAD)
        is_tagged = head.lstrip().startswith(b"<")
        document = (_XML.match(head) or _HTML.search(head)) if is_tagged else _JSON.match(head)
        found = None if document is None else _MARK.fullmatch(document[1])
    else:
        return None
    return None if found is None else Mark(found[1].decode("ascii"), (found[2] or b"").decode("ascii"))


def _in_parquet(file: IO[bytes]) -> re.Match[bytes] | None:
    """Find the mark among what a Parquet file says of itself, which is at its end."""
    file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
    document = _PARQUET.search(file.read(_TAIL))
    return None if document is None else _MARK.fullmatch(document[1])


def _in_png(file: IO[bytes]) -> re.Match[bytes] | None:
    place = 8
    for _ in range(_MOST_PIECES):
        file.seek(place)
        head = file.read(8)
        kind, length = head[4:], int.from_bytes(head[:4], "big")
        if len(head) < 8 or kind in (b"IDAT", b"IEND"):
            return None
        if kind == b"tEXt" and length < _LONGEST:
            key, _, text = file.read(length).partition(b"\0")
            if key == b"Software" and (found := _MARK.fullmatch(text)):
                return found
        place += 12 + length
    return None


def _in_jpeg(file: IO[bytes]) -> re.Match[bytes] | None:
    place = 2
    for _ in range(_MOST_PIECES):
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in _END_OF_HEAD:
            return None
        length = int.from_bytes(head[2:], "big")
        if head[1] == _COMMENT and length < _LONGEST and (found := _MARK.fullmatch(file.read(length - 2))):
            return found
        place += 2 + length
    return None


def _in_webp(file: IO[bytes]) -> re.Match[bytes] | None:
    place = 12
    for _ in range(_MOST_PIECES):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return None
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF" and length < _LONGEST:
            return _MARK.search(file.read(length))
        place += 8 + length + length % 2
    return None
