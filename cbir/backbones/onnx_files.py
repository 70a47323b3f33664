"""The files of an ONNX network: its own, and those beside it that hold its numbers."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from pathlib import Path

from cbir.utils.hashing import file_sha256
from cbir.utils.opening import OddFileError, open_regular

#: The ending of the names of such files.
ENDING = ".onnx"

# Protocol buffers write a pair of texts so: field 1, length, "location"; field 2, length, where numbers are.
_LOCATION = re.compile(rb"\x0a\x08location\x12(?:([\x01-\x7f])|([\x80-\xff])([\x01-\x7f]))")

# The largest file that protocol buffers write.
_MOST_BYTES = 2 << 30


def content_identity(path: Path) -> str:
    """Return the SHA-256, in hexadecimal, of a file, or of its and those of the files of its numbers.

    OSError where one of them cannot be read, or lies outside of its folder.
    """
    own = file_sha256(path)
    names = files_of_numbers(path)
    if not names:
        return own
    digests = [own, *(file_sha256(path.parent / name) for name in names)]
    return hashlib.sha256(" ".join(digests).encode("ascii")).hexdigest()


def files_of_numbers(path: Path) -> list[str]:
    """List the files beside an ONNX file, by name, that hold numbers of its network. OSError as of `content_identity`.

    What only looks like the name of one and is none in its folder does not count.
    """
    found = set()
    with open_regular(path, most=_MOST_BYTES) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for match in _LOCATION.finditer(content):
                short, low, high = match.groups()
                length = short[0] if short else (low[0] & 0x7F) + (high[0] << 7)
                found.add(content[match.end() : match.end() + length])
    names = []
    for name in sorted(os.fsdecode(one) for one in found if b"\0" not in one):
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise OddFileError(f"its numbers are in {name!r}, outside of its folder", path)
        if os.path.exists(path.parent / name):
            names.append(name)
    return names
