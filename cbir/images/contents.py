"""The content of a picture file: looked at before it is read, so that what is no picture costs nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cbir.errors import ImageReadError, reason_of
from cbir.images.formats.first_bytes import HEAD_BYTES, is_pictures
from cbir.images.formats.suffixes import RAW_SUFFIXES
from cbir.images.sources.address import Address, Location
from cbir.images.sources.opened import opened
from cbir.utils.opening import open_regular

if TYPE_CHECKING:
    from cbir.images.budget import Share

#: A picture file of more bytes is not read: 250 megapixels, the most that are decoded, have 750 MB uncompressed.
MAX_BYTES = 1_000_000_000

#: Of larger files the first bytes must be a picture's, or they are not read. Smaller ones are looked at whole, which
#: also tells why one is no picture.
_LARGE = 16_000_000

#: The endings of formats without a mark at their start, or with one that `first_bytes` does not know.
_UNMARKED = (
    RAW_SUFFIXES
    | {".tga", ".icb", ".vda", ".vst", ".pcd", ".sun", ".ras", ".sgi", ".rgb", ".rgba", ".bw", ".pcx", ".dcx"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".xbm", ".xpm", ".ico", ".cur", ".msp", ".dib"}
)


def may_be_picture(head: bytes, path: Location) -> bool:
    """Tell whether a file may be a picture's, by its first HEAD_BYTES or by an ending of formats without a mark."""
    return is_pictures(head) or path.suffix.lower() in _UNMARKED


def read_bytes(path: Location, share: Share | None = None) -> bytes:
    """Return the content of a regular file; ImageReadError where it cannot be had, or is no picture's.

    Devices and pipes are refused before they are opened, since opening a pipe waits for its other end. Of a `share` of
    the memory for contents, what a large file takes is taken first; whoever has it gives it back.
    """
    if isinstance(path, Address):
        return _fetched(path, share)
    try:
        if not path.is_file():
            if path.is_dir():
                raise ImageReadError(str(path), "it is a folder")
            reason = "it is not a regular file" if path.exists() else "there is no such file"
            raise ImageReadError(str(path), reason, transient=not path.exists())
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:  # as those of /proc say, some of which never end
                return b""
            if size > MAX_BYTES:
                raise _too_long(path, size)
            if size <= _LARGE:
                return file.read(size)
            head = file.read(HEAD_BYTES)
            if not may_be_picture(head, path):
                raise ImageReadError(str(path), "it is no picture in a known format")
            if share is not None:
                share.take(size, str(path))
            file.seek(0)
            return file.read(size)
    except MemoryError as error:
        raise ImageReadError(str(path), "it does not fit into memory", transient=True) from error
    except OSError as error:
        raise ImageReadError(str(path), reason_of(error), transient=True) from error


def _fetched(address: Address, share: Share | None) -> bytes:
    """Return the content of a picture elsewhere, as `read_bytes` does that of a file here."""
    name = str(address)
    try:
        source = opened(address)
        size = source.length(address.path) if address.size is None else address.size
        if size is not None and size > MAX_BYTES:
            raise _too_long(address, size)
        if size is not None and size > _LARGE:
            if not may_be_picture(source.head(address.path), address):
                raise ImageReadError(name, "it is no picture in a known format")
            if share is not None:
                share.take(size, name)
        return source.read(address.path, size, MAX_BYTES)
    except MemoryError as error:
        raise ImageReadError(name, "it does not fit into memory", transient=True) from error
    except OSError as error:
        raise ImageReadError(name, reason_of(error), transient=True) from error


def _too_long(path: Location, size: int) -> ImageReadError:
    return ImageReadError(str(path), f"its {size / 1e9:,.1f} GB are more than a picture file may have (1 GB)")
