"""The page's files, read and compressed once."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "webmanifest": "application/manifest+json",
}


@cache
def page_files() -> dict[str, tuple[bytes, bytes, str, str]]:
    """Return the page's files by name: content, the same compressed by gzip, type, tag."""
    found = {}
    for file in files("cbir.serve").joinpath("page").iterdir():
        ending = file.name.rpartition(".")[2]
        if file.is_file() and ending in _TYPES:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
            found[file.name] = content, gzip.compress(content, mtime=0), _TYPES[ending], tag
    return found
