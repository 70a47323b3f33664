"""The formats that are read."""

from __future__ import annotations

#: The formats that are read, by Pillow's names, the likeliest first. All are decoded by Pillow's own code. Never may
#: EPS be among them, for which Pillow starts Ghostscript, nor a container that opens what it holds as anything (IPTC).
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000", "ICO"),
    *("CUR", "DCX", "DDS", "DIB", "MSP", "PCX", "PSD", "QOI", "SGI", "SUN", "XBM", "XPM"),
    *("TGA", "PCD"),  # these two have no mark at the start, and are tried on what nothing else recognises
)

#: File-name endings of what other names stand for in Pillow (.mpo) or an extra reads.
MORE_SUFFIXES = frozenset({".mpo", ".heic", ".heif", ".hif", ".avif"})
