"""Numbers as people and programs type them."""

from __future__ import annotations

import math
import re

# Python reads more: underscores, digits of all scripts, spaces, "nan" and "infinity".
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")

#: Digits of a whole number at most: more is no count of anything, and Python reads no more than 4,300.
_DIGITS = 100


def finite(text: str) -> float:
    """Parse a finite number in digits with a point and an exponent or without; ValueError for anything else."""
    if _NUMBER.fullmatch(text) is None or not math.isfinite(number := float(text)):
        raise ValueError(f"no finite number: {text[:_DIGITS]}")
    return number


def whole(text: str) -> int:
    """Return a whole number in digits; ValueError for anything else."""
    if _WHOLE.fullmatch(text) is None or len(text) > _DIGITS:
        raise ValueError(f"no whole number: {text[:_DIGITS]}")
    return int(text)
