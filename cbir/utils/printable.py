"""File names, and whatever else strangers may have written, as people read them."""

from __future__ import annotations

import re

# What has no shape of its own but is a part of words and emoji: of how characters join.
_JOINERS = "\u200c\u200d"

# Bytes that are no UTF-8 stand in names as these, one for each (`os.fsdecode`).
_BYTES = re.compile("[\udc80-\udcff]+")

# The same without those that a terminal of eight bits takes for control characters.
_HARMLESS_BYTES = "\udca0", "\udcff"


def printable(text: str, *, keep_bytes: bool = False) -> str:
    """`text` on one line, as it may be shown: what steers a terminal, or turns the order of letters, as an escape.

    Bytes that are no UTF-8 become a question mark in a box; with `keep_bytes` they stay in the text, but for those
    that some terminals obey, which are escaped.
    """
    if text.isprintable():
        return text
    if not keep_bytes:
        text = _BYTES.sub(_decoded, text)
    return "".join(char if _is_harmless(char, keep_bytes) else ascii(char)[1:-1] for char in text)


def shortened(text: str, most: int = 80) -> str:
    """`text` as it was typed, in quotes, its middle left out where it is longer than somebody would read."""
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[-(most // 4) :]}"
    return repr(text)


def _decoded(found: re.Match[str]) -> str:
    return bytes(ord(char) & 0xFF for char in found[0]).decode("utf-8", errors="replace")


def _is_harmless(char: str, keep_bytes: bool) -> bool:
    first, last = _HARMLESS_BYTES
    return char.isprintable() or char in _JOINERS or (keep_bytes and first <= char <= last)
