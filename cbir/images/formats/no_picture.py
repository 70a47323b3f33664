"""Recognising files that are no pictures, or not whole ones, as downloads, copies and recovery leave them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from PIL import Image

_MARKS = {
    b"%!PS": "it is a PostScript document, no picture",
    b"\xc5\xd0\xd3\xc6": "it is a PostScript document, no picture",
    b"%PDF": "it is a PDF document, no picture",
    b"PK\3\4": "it is a ZIP archive or a document packed like one, no picture",
    b"\x1f\x8b": "it is packed by gzip, no picture",
    b"7z\xbc\xaf\x27\x1c": "it is a 7-Zip archive, no picture",
    b"Rar!\x1a": "it is a RAR archive, no picture",
    b"\x1aE\xdf\xa3": "it is a film, no picture",
    b"version https://git-lfs": "it is a pointer of Git LFS, no picture: `git lfs pull` fetches what it points to",
}
_FILM_BRANDS = (b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ", b"3gp4", b"3gp5")

_TEXT = re.compile(rb"[\t\n\r\x0c\x20-\x7e\x80-\xff]+")

# Of fewer bytes nothing can be said.
_LEAST = 20

# Shorter runs of one byte occur in what encoders write.
_RUN = 512
_SHARE = 0.05

# Pixels that a byte of a QOI may stand for.
_LONGEST_RUN = 62

_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xaeB\x60\x82"


def what_instead(data: bytes) -> str | None:
    """Say why a file is no picture; None where nothing speaks against its being one."""
    for mark, reason in _MARKS.items():
        if data.startswith(mark):
            return reason
    if data[4:8] == b"ftyp" and data[8:12] in _FILM_BRANDS:
        return "it is a film, no picture"
    if len(data) < _LEAST:
        return None
    head = data[:4096]
    if not head.strip(b"\0"):
        return "it holds nothing but zeros, no picture" if not data.strip(b"\0") else "it begins with zeros, no picture"
    return _text(head[:1024].removeprefix(b"\xef\xbb\xbf"))


def _text(head: bytes) -> str | None:
    if not _TEXT.fullmatch(head):
        return None
    words = head.lstrip().lower()
    if words.startswith((b"<!doctype html", b"<html")) or (words.startswith(b"<") and b"<html" in words):
        return "it is an HTML page, no picture: what a server answers where there is none"
    if words.startswith(b"<") and b"<svg" in words:
        return "it is an SVG drawing, which cbir cannot read"
    if words.startswith(b"<?xml"):
        return "it is XML, no picture"
    if words.startswith((b"{", b"[")):
        return "it is JSON, no picture"
    try:
        head[: len(head) - 3].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "it is text, no picture in a known format"


def jpeg_within(data: bytes) -> int:
    """Find the start of a JPEG behind a few foreign bytes, such as empty lines of a web server; else return 0."""
    return max(0, data.find(b"\xff\xd8\xff", 1, 256))


def promises_more(image: Image.Image, data: bytes) -> bool:
    """Tell whether an opened picture has more pixels than its file has room for; slow decoders would notice late."""
    codec, needed = next(((tile.codec_name, tile.args) for tile in getattr(image, "tile", ())), ("", None))
    pixels = image.width * image.height
    if codec == "ppm_plain":  # a digit and a blank each, but for those that are black or white
        return len(data) < pixels * (1 if image.mode == "1" else 2 * len(image.getbands()) - 1)
    if codec == "dds_rgb":
        bits = needed[0] if isinstance(needed, tuple) else 8
        return len(data) < pixels * bits // 8
    return codec == "qoi" and len(data) * _LONGEST_RUN < pixels


def missing_end(data: bytes, format_: str | None) -> str | None:
    """Say that a picture's end never arrived, though decoders find some colour for it; None where it did arrive.

    Formats without compression can end in zeros: they are black there.
    """
    tail = data[-_RUN:]
    if len(data) < 2 * _RUN or (tail.strip(b"\0") and tail.strip(b"\xff")):
        return None
    rest = len(data.rstrip(tail[-1:]))
    if format_ in ("JPEG", "MPO"):
        is_missing = data.rfind(_JPEG_END, _first_scan(data), rest + 2) < 0
    elif format_ == "PNG":
        is_missing = data.rfind(_PNG_END, 0, rest) < 0
    elif format_ in ("WEBP", "AVIF", "HEIF"):
        held = next((end for begin, end in _bodies(data, format_) if begin < rest < end), rest)
        is_missing = held - rest >= max(_RUN, _SHARE * len(data))
    else:
        return None
    if not is_missing:
        return None
    what = "zeros" if tail[-1] == 0 else "one byte, again and again"
    share = 100 * (len(data) - rest) / len(data)
    return (
        f"its end is missing: the last {share:.0f} % of the file are {what}, as after a copy or download that broke off"
    )


def _first_scan(data: bytes) -> int:
    """Find where a JPEG's pixels begin, behind all headers; one of these may hold a thumbnail with its own end."""
    at = max(0, data.find(b"\xff\xd8"))
    at += 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, length = struct.unpack_from(">xBH", data, at)
        if kind == 0xFF:  # filling
            at += 1
            continue
        if kind == 0xDA:
            break
        at += 2 + length
    return at


def _bodies(data: bytes, format_: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each part of a WebP, AVIF or HEIC that holds pixels."""
    at = 12 if format_ == "WEBP" else 0
    while at + 8 <= len(data):
        if format_ == "WEBP":
            kind, length = struct.unpack_from("<4sI", data, at)
            end = at + 8 + length + length % 2
        else:
            length, kind = struct.unpack_from(">I4s", data, at)
            if length == 1 and at + 16 <= len(data):
                length = struct.unpack_from(">Q", data, at + 8)[0]
            end = at + length if length >= 8 else len(data)
        if kind in (b"VP8 ", b"VP8L", b"ANMF", b"ALPH", b"mdat"):
            yield at, min(end, len(data))
        at = end
