"""Paths that others wrote, of an index or a listing: whether they can be those of files below a root."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import PureWindowsPath

#: Characters of a path, and of each of its parts, at most: what the systems allow that allow most.
LONGEST_PATH, LONGEST_NAME = 32_767, 255


def is_encodable(value: str) -> bool:
    """Tell whether it can be a file's name: lone surrogates stand for bytes that are no UTF-8, and for nothing else."""
    try:
        value.encode("utf-8", sys.getfilesystemencodeerrors())
    except UnicodeEncodeError:
        return False
    return True


def are_inside(paths: Sequence[str]) -> bool:
    """Tell whether relative paths can be those of files below the root: a forged index must not name others."""
    # all at once, which is many times as fast
    if not paths:
        return True
    joined = "/" + "/\0/".join(paths) + "/"
    if joined.count("\0") != len(paths) - 1 or any(part in joined for part in ("//", "/./", "/../")):
        return False
    if os.sep != "/" and ("\\" in joined or ":" in joined) and any(map(_leads_out_on_windows, paths)):
        return False
    longest = max(map(len, paths))
    if longest > LONGEST_NAME and any(len(path) > LONGEST_PATH or _longest_part(path) > LONGEST_NAME for path in paths):
        return False
    return joined.isascii() or is_encodable(joined)


def _longest_part(path: str) -> int:
    return max(map(len, path.split("/")))


def _leads_out_on_windows(path: str) -> bool:
    there = PureWindowsPath(path)
    return bool(there.anchor) or ".." in there.parts
