"""Lists that people and spreadsheets write: text files, read whole."""

from __future__ import annotations

from pathlib import Path

from cbir.errors import CbirError, reason_of
from cbir.utils.opening import read_regular
from cbir.utils.text import decode


def read_text(file: Path, cannot: str, most: int) -> str:
    """Read the text of a file of at most so many bytes, as `decode` does.

    CbirError where that fails, a sentence that begins with `cannot`: "Cannot read the list of words", say.
    """
    try:
        return decode(read_regular(file, most=most))
    except OSError as error:
        raise CbirError(f"{cannot} {file}: {reason_of(error)}.") from error
    except UnicodeDecodeError as error:
        raise CbirError(f"{cannot} {file}: it begins as UTF-16 and does not go on so.") from error
