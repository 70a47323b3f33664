"""Checks of the values in an index's JSON: whoever made the index may have written anything there.

Python's JSON reader takes NaN, infinities, keys that come twice, and `true` for a whole number. None of these is what
cbir writes.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Sequence
from typing import Any

from cbir.utils.paths import LONGEST_NAME as LONGEST_NAME
from cbir.utils.paths import LONGEST_PATH, is_encodable

#: The largest number that fits into 64 bits with a sign: sizes, times, numbers of rows.
LARGEST = 2**63 - 1

_SHA256 = re.compile("[0-9a-f]{64}")

# What a description of a network holds is not looked into here, but has to be small and flat.
_MOST_ITEMS, _DEEPEST = 300, 6


def read_json(text: str) -> Any:
    """Parse a text as JSON. Raises ValueError or RecursionError where it is none that cbir writes."""
    return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_not_finite)


def whole(value: object, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number within bounds; ValueError for anything else."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"not a whole number from {least} to {most}: {reprlib.repr(value)}")
    return value


def number(value: object, least: float, most: float) -> float:
    """Return a number within bounds; ValueError for anything else."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"not a number from {least} to {most}: {reprlib.repr(value)}")
    return float(value)


def flag(value: object) -> bool:
    """True or false; ValueError for anything else."""
    if not isinstance(value, bool):
        raise ValueError(f"neither true nor false: {reprlib.repr(value)}")
    return value


def text(value: object, most: int = LONGEST_PATH) -> str:
    """Up to so many characters that can stand in a name of a file; ValueError for anything else."""
    if not isinstance(value, str) or len(value) > most or "\0" in value or not is_encodable(value):
        raise ValueError(f"not a text of at most {most} characters: {reprlib.repr(value)}")
    return value


def sha256(value: object) -> str:
    """Return a SHA-256 in hexadecimal; ValueError for anything else."""
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"not a SHA-256: {reprlib.repr(value)}")
    return value


def ranges(value: object, rows: int) -> tuple[tuple[int, int], ...]:
    """Ranges [start, stop) of so many rows, in order and apart; ValueError for anything else."""
    found = []
    end = 0
    for start, stop in sequence(value, rows):
        if type(start) is not int or type(stop) is not int or not end <= start < stop <= rows:
            raise ValueError(f"no range of {rows} rows: {reprlib.repr([start, stop])}")
        found.append((start, stop))
        end = stop
    return tuple(found)


def sequence(value: object, most: int) -> Sequence[Any]:
    """Return a list of at most so many; ValueError for anything else."""
    if not isinstance(value, (list, tuple)) or len(value) > most:
        raise ValueError(f"not a list of at most {most}: {reprlib.repr(value)}")
    return value


def small_object(value: object) -> dict[str, Any]:
    """Return an object of few values, of any kinds, that are not deep in each other; ValueError for anything else."""
    if not isinstance(value, dict):
        raise ValueError(f"not an object: {reprlib.repr(value)}")
    left: list[tuple[object, int]] = [(value, 1)]
    count = 0
    while left:
        one, depth = left.pop()
        inside = [*one, *one.values()] if isinstance(one, dict) else one if isinstance(one, list) else ()
        if isinstance(one, str):
            text(one)
        count += 1
        if depth > _DEEPEST or count + len(inside) > _MOST_ITEMS:
            raise ValueError(f"an object of more than is said of a network: {reprlib.repr(value)}")
        left += [(each, depth + 1) for each in inside]
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _not_finite(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")
