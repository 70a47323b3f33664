"""Weights: how much a picture, a word or a text counts beside others, as people type it: `2:golden retriever`."""

from __future__ import annotations

import math
import re

from cbir.utils.numbers import finite
from cbir.utils.printable import shortened

#: The largest weight; the smallest is 1 by it.
MOST = 1_000_000

# A weight and what it is of; a text has no number after it, as "10:15 at the station" is a time.
_OF_TEXT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+):(?!\s*[0-9])(.*)", re.DOTALL)
_OF_FILE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+):(.+)", re.DOTALL)


def check_weight(weight: float, of: str) -> None:
    """Raise ValueError where a weight is no positive number of a size that can be reckoned with."""
    if not (math.isfinite(weight) and 1 / MOST <= weight <= MOST):
        raise ValueError(f"the weight of {shortened(of)} is no number from {1 / MOST:f} to {MOST:,}")


def weighted(typed: str) -> tuple[float, str]:
    """Return the weight of a word or text as people type it, 1 where there is none, and the word. ValueError."""
    return _split(_OF_TEXT.fullmatch(typed), typed.strip())


def weighted_name(typed: str) -> tuple[float, str]:
    """Return the weight of a picture as people type it, 1 where there is none, and its name. ValueError.

    A number and a colon can also begin a file's name: whoever calls this looks whether there is such a file.
    """
    return _split(_OF_FILE.fullmatch(typed), typed)


def typed_with(weight: float, text: str) -> str:
    """Return a text as it is typed with its weight."""
    return text if weight == 1 else f"{weight:g}:{text}"


def _split(match: re.Match[str] | None, whole: str) -> tuple[float, str]:
    if match is None:
        return 1.0, whole
    weight, text = finite(match[1]), match[2].strip() if match[2].strip() else match[2]
    check_weight(weight, text)
    return weight, text
