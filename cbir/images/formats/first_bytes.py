"""Recognising pictures by the first bytes of a file, where its name does not tell."""

from __future__ import annotations

import os
from pathlib import Path

from cbir.utils.opening import open_regular

#: So many bytes are looked at.
HEAD_BYTES = 32

_STARTS = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, and most raw photos
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"8BPS",
    b"qoif",
    b"DDS ",
)

#: JPEG XL, as it is and in its container.
JXL_STARTS = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")

#: Raw photos that do not begin as a TIFF does.
RAW_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")

_BRANDS = frozenset(b"avif avis heic heix heim heis hevc hevx hevm hevs mif1 msf1".split()) | {b"crx "}

_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})


def looks_like_picture(path: Path) -> bool:
    """Tell whether a file begins like a picture in one of the formats read here. Raises OSError."""
    with open_regular(path) as file:
        return is_pictures(file.read(HEAD_BYTES))


def is_picture_file(path: Path) -> bool:
    """Tell whether a regular file, whatever names it, is a picture: by its first bytes, or else by its name and these.

    Raises OSError.
    """
    with open_regular(path) as file:
        head = file.read(HEAD_BYTES)
    return is_pictures(head) or _is_what_it_is_called(path, head)


def is_picture_below(root: str, path: Path) -> bool:
    """Tell whether a file is a picture, and its folder really below `root`: a scan follows no links to folders."""
    folder = os.path.realpath(path.parent)
    try:
        return os.path.commonpath([root, folder]) == root and is_picture_file(path)
    except (OSError, ValueError):  # ValueError: another drive
        return False


def _is_what_it_is_called(path: Path, head: bytes) -> bool:
    """Tell whether a file begins as formats of its suffix do; some have no mark, and then the name has to do."""
    from PIL import Image

    from cbir.images.formats.known import FORMATS

    Image.init()
    format_ = Image.EXTENSION.get(path.suffix.lower())
    if format_ not in FORMATS or format_ not in Image.OPEN:
        return False
    accept = Image.OPEN[format_][1]
    return accept is None or accept(head[:16]) is True


def is_pictures(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is a picture, by marks that hardly any other file begins with."""
    if head.startswith((*_STARTS, *JXL_STARTS, *RAW_STARTS)):
        return True
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] in _BRANDS
    if head[:1] == b"P" and head[1:2] in (b"4", b"5", b"6") and head[2:3].isspace():
        return head[3:4].isdigit() or head[3:4] == b"#"
    return head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
