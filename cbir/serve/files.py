"""Files of an index's pictures: opened only within the index's root, also through links."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cbir.errors import ImageReadError, reason_of
from cbir.images.contents import MAX_BYTES, may_be_picture, read_bytes
from cbir.images.formats.first_bytes import HEAD_BYTES
from cbir.images.sources.address import Address, Location
from cbir.serve.problems import ProblemError
from cbir.utils.opening import open_regular


@dataclass
class OpenFile:
    """A picture's file that is open, with its size in bytes and a tag of this content of it."""

    file: IO[bytes]
    size: int
    etag: str


def check_inside(root: Location, path: str) -> Location:
    """Return where a file of an index is, links resolved. ProblemError where that is not within the root."""
    if isinstance(root, Address):
        return root / path
    real = Path(os.path.realpath(root / path))
    if not real.is_relative_to(os.path.realpath(root)):
        raise ProblemError(403, "outside", f"{path} is a link that leads out of the index's folder.")
    return real


def open_picture(root: Location, path: str) -> OpenFile:
    """Open the file of a picture below `root`. ProblemError where it is gone, outside, or no picture's.

    An index is not trusted: one that a stranger made may name any file of its user's as a picture.
    """
    real = check_inside(root, path)
    if isinstance(real, Address):
        return _fetched(real)
    try:
        file = open_regular(real, most=MAX_BYTES, follow=False)
    except (OSError, ValueError) as error:
        raise ProblemError(404, "picture-gone", f"{path} cannot be read: {reason_of(error)}.") from error
    try:
        # a folder above it may have become a link since
        descriptor = f"/proc/self/fd/{file.fileno()}"
        if os.path.exists(descriptor) and os.path.realpath(descriptor) != str(real):
            raise ProblemError(403, "outside", f"{path} is a link that leads out of the index's folder.")
        status = os.fstat(file.fileno())
        if not may_be_picture(file.read(HEAD_BYTES), real):
            raise ProblemError(404, "picture-gone", f"{path} is no picture in a known format.")
        file.seek(0)
    except OSError as error:
        file.close()
        raise ProblemError(404, "picture-gone", f"{path} cannot be read: {reason_of(error)}.") from error
    except BaseException:
        file.close()
        raise
    tag = hashlib.sha256(f"{status.st_ino} {status.st_mtime_ns} {status.st_size}".encode()).hexdigest()[:24]
    return OpenFile(file, status.st_size, f'"{tag}"')


def read_picture(root: Location, path: str) -> bytes:
    """Read the file of a picture below `root`, of at most 1 GB. Raises what `open_picture` does."""
    opened = open_picture(root, path)
    with opened.file as file:
        try:
            return file.read(opened.size)
        except (OSError, MemoryError) as error:
            raise ProblemError(404, "picture-gone", f"{path} cannot be read: {reason_of(error)}.") from error


def _fetched(address: Address) -> OpenFile:
    """Fetch a picture from another source. ProblemError as of `open_picture`."""
    try:
        content = read_bytes(address)
    except ImageReadError as error:
        raise ProblemError(404, "picture-gone", str(error)) from error
    if not may_be_picture(content[:HEAD_BYTES], address):
        raise ProblemError(404, "picture-gone", f"{address.path} is no picture in a known format.")
    return OpenFile(io.BytesIO(content), len(content), f'"{hashlib.sha256(content).hexdigest()[:24]}"')
