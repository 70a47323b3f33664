"""Text files as other programs write them: in UTF-8 or UTF-16, with a byte-order mark or without."""

from __future__ import annotations

import codecs
import re

#: The first bytes that tell what a text is in; fewer are enough where it has no more.
ENOUGH = 8

# What `os.fsdecode` makes of bytes that are no UTF-8.
_BYTES = re.compile("[\udc80-\udcff]")


def utf16_of(start: bytes, *, may_have_nul: bool = False) -> str | None:
    """Return the UTF-16, as a name of Python's, that a text beginning with `start` is in; None where it is in none.

    Without a byte-order mark it is told by every other byte, which is 0 in most scripts' punctuation and all ASCII. Not
    where the text itself `may_have_nul`.
    """
    if start.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if start.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    if may_have_nul or len(start) < ENOUGH:
        return None
    first, second = start[:ENOUGH:2], start[1:ENOUGH:2]
    if not any(second) and all(first):
        return "utf-16-le"
    return "utf-16-be" if not any(first) and all(second) else None


def decode(content: bytes) -> str:
    """Read the text of a file without its byte-order mark; bytes of names that are no UTF-8 as `os.fsdecode` has them.

    UnicodeDecodeError where it begins as UTF-16 and goes on as something else.
    """
    encoding = utf16_of(content[:ENOUGH])
    text = content.decode("utf-8", "surrogateescape") if encoding is None else content.decode(encoding)
    return text.removeprefix("\ufeff")


def as_western(text: str) -> str:
    """Return a text that turned out to be no UTF-8 as it is in Windows-1252; the same where it is UTF-8."""
    if not _BYTES.search(text):
        return text
    return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def delimiter_of(text: str) -> str:
    """Return the delimiter of fields: in some countries spreadsheets write semicolons, and may say so (`sep=;`)."""
    first = text.lstrip().replace("\r", "\n").partition("\n")[0]
    return next((one for one in ";\t" if one in first), ",")


def spellings(name: str) -> list[str]:
    """Return the ways in which a program may have meant a file's name: as it is, with backslashes, in Windows-1252."""
    stripped = name.strip()
    forms = (name, stripped, stripped.replace("\\", "/"), as_western(stripped).replace("\\", "/"))
    return [one for one in dict.fromkeys(forms) if one]
