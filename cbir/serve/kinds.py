"""The type of a picture file by its first bytes: what its name ends in proves nothing."""

from __future__ import annotations

_BY_START = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"\xff\x0a": "image/jxl",
    b"\0\0\0\x0cJXL ": "image/jxl",
    b"\0\0\0\x0cjP  ": "image/jp2",
}
_BY_BRAND = {b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic"}
_BY_BRAND |= {b"mif1": "image/heif", b"msf1": "image/heif"}


def media_type(head: bytes) -> str:
    """Return the type of a picture that begins with `head`; one that only saves it where nobody knows."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _BY_BRAND.get(head[8:12], "application/octet-stream")
    return next((kind for start, kind in _BY_START.items() if head.startswith(start)), "application/octet-stream")
