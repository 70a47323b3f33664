"""PPMs without comments, which Pillow reads a byte at a time, however many millions there are."""

from __future__ import annotations

import re

_BETWEEN = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+")
_NUMBER = re.compile(rb"[0-9]{1,10}")

# Shorter headers are left as they are.
_LONG = 1 << 10


def without_comments(data: bytes) -> bytes:
    """Return a PPM, PGM or PBM whose header is short; what is not understood is returned as it is."""
    numbers, at = [], 2
    if b"#" not in data[:_LONG]:
        return data
    for _ in range(2 if data[1:2] in (b"1", b"4") else 3):
        between = _BETWEEN.match(data, at)
        number = _NUMBER.match(data, between.end()) if between else None
        if number is None:
            return data
        numbers.append(number.group())
        at = number.end()
    return data if at < _LONG else b" ".join((data[:2], *numbers)) + data[at:]
