"""SHA-256 of files and bytes: how contents are recognised and damage is noticed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from cbir.utils.opening import OddFileError, open_regular

_CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    """SHA-256 of a regular file's content in hexadecimal; OSError where it cannot be read, or is no such file."""
    with open_regular(path) as file:
        return content_sha256(file)


def content_sha256(file: IO[bytes]) -> str:
    """SHA-256 of an open file's content from its beginning, read a megabyte at a time; OSError as it is read."""
    file.seek(0)
    digest = hashlib.sha256()
    length = read = 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        read += len(chunk)
        if read > length:
            length = os.fstat(file.fileno()).st_size
            if read > length:  # one of those that have no length and never end
                raise OddFileError("it is longer than it says", str(file.name))
    return digest.hexdigest()
