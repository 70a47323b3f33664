"""Tensors in a file that dlib has serialised, which is read without dlib.

A tensor is a version, its number of samples, channels, rows and columns as integers, and then float32, all little
endian. An integer is a byte with how many bytes follow, and those.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cbir.utils.vectors import Floats

# The version of tensors that networks of today have: 2, as an integer of one byte.
_BEGINNING = b"\x01\x02"

# Numbers of a tensor at least and at most. What has fewer stands for no layer of those that are read here.
_LEAST, _MOST = 64, 1 << 24

# Weights are less than this by far; other bytes, taken for numbers, hardly ever.
_LARGEST = 1e3


def tensors(content: bytes) -> Iterator[Floats]:
    """Yield all tensors of a file in their order, each of shape (samples, channels, rows, columns)."""
    place = 0
    while (place := content.find(_BEGINNING, place)) >= 0:
        found = _tensor(content, place + len(_BEGINNING))
        if found is None:
            place += 1
        else:
            tensor, place = found
            yield tensor


def _tensor(content: bytes, place: int) -> tuple[Floats, int] | None:
    """Read what follows a tensor's version, with where it ends; None where this is none."""
    shape = []
    for _ in range(4):
        length = content[place] if place < len(content) else 0
        if not 1 <= length <= 8:  # negative numbers have the highest bit set
            return None
        shape.append(int.from_bytes(content[place + 1 : place + 1 + length], "little"))
        place += 1 + length
    count = math.prod(shape)
    end = place + 4 * count
    if not _LEAST <= count <= _MOST or end > len(content):
        return None
    numbers = np.frombuffer(content, "<f4", count, place)
    if not bool((np.abs(numbers) < _LARGEST).all()):  # nor is it true of what is no number
        return None
    return np.asarray(numbers.reshape(shape), np.float32), end
