"""Opening files that a stranger may have put there: regular ones of a sane size only, and without waiting.

A FIFO waits for its other end, a device or a link to one may never end, and a sparse file of terabytes costs its maker
nothing. Whoever reads a file of an index, of the cache, or one that a user names reads it through here.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

#: Flags of `os.open`, 0 on systems without such: follow no link; wait for no FIFO, and take no terminal; read and write
#: bytes as they are, in this program only.
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

# Bytes that are read at a time where the length is not known.
_PART = 1 << 16


class OddFileError(OSError):
    """A file is of a kind or a size that is not read. `strerror` is a phrase, as for any OSError."""

    def __init__(self, reason: str, path: Path | str) -> None:
        super().__init__(errno.EINVAL, reason, os.fspath(path))


def open_regular(path: Path | str, *, most: int | None = None, follow: bool = True) -> IO[bytes]:
    """Open a regular file of at most `most` bytes for reading; unless `follow`, its last part must be no link.

    Raises OSError as `open` does, and its subclass OddFileError for what is no regular file, a link, or too large.
    """
    flags = os.O_RDONLY | PLAIN | NO_WAITING
    try:
        descriptor = os.open(path, flags if follow else flags | NO_LINK)
    except OSError as error:
        if not follow and error.errno in (errno.ELOOP, errno.EMLINK):
            raise OddFileError("it is a link", path) from error
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device that nobody drives
            raise OddFileError("it is not a regular file", path) from error
        raise
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise OddFileError("it is a folder", path)
        if not stat.S_ISREG(status.st_mode):
            raise OddFileError("it is not a regular file", path)
        if most is not None and status.st_size > most:
            raise OddFileError(f"its {status.st_size:,} bytes are more than it may have ({most:,})", path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path | str, *, most: int, follow: bool = True) -> bytes:
    """Read the content of a regular file of at most `most` bytes, also where its length is not told beforehand.

    Raises what `open_regular` does.
    """
    with open_regular(path, most=most, follow=follow) as file:
        # not all that it may have at once: memory for that would be taken first
        content = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
        # files of /proc have a length of 0, and may have no end
        while len(content) <= most and (more := file.read(min(_PART, most + 1 - len(content)))):
            content += more
    if len(content) > most:
        raise OddFileError(f"it has more than {most:,} bytes", path)
    return content
