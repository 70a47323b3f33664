"""File names as people read them."""

from __future__ import annotations

import os

# What has no shape of its own but is a part of words and emoji: of how characters join.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    """`text` on one line: control characters as escapes, bytes that are no UTF-8 as a question mark in a box."""
    if text.isprintable():
        return text
    text = os.fsencode(text).decode("utf-8", errors="replace")
    return "".join(
        char if char.isprintable() or char in _JOINERS or char == "\ufffd" else ascii(char)[1:-1] for char in text
    )
