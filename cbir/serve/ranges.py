"""Ranges of a file's bytes, as HTTP asks for them."""

from __future__ import annotations

import re

from cbir.serve.problems import ProblemError

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def asked_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one behind the last that a Range asks for; None where it is none, or several.

    ProblemError, with 416, where the file has no such bytes.
    """
    found = _ONE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, stop = max(0, size - int(found[2])), size
    else:
        first = int(found[1])
        stop = min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < first:
            return None
    if first >= stop:
        headers = {"Content-Range": f"bytes */{size}"}
        raise ProblemError(416, "no-such-range", f"The file has {size:,} bytes.", headers=headers)
    return first, stop
