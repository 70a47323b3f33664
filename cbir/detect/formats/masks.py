"""Masks as COCO has them: polygons along the edges of pixels, and run lengths, as numbers or packed in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.draw import polygon

from cbir.detect.formats.annotations import LARGEST, Size
from cbir.images.regions import Box, Mask
from cbir.index.values import number, whole
from cbir.segment.coco import run_lengths
from cbir.segment.polygons import Ring, outlines

#: Pixels of a picture whose masks are read: a run length of a few bytes may claim any number.
MOST_PIXELS = 1 << 28

# A packed number is in digits of 5 bits, each a character from "0" on: 32 tells that more follow, 16 that the number
# is negative. From the third on they are differences to the number before the last.
_FIRST, _DIGIT, _MORE, _SIGN = 48, 5, 0x20, 0x10


def segmentation(mask: Mask, place: Box, size: Size) -> Any:
    """Return the `segmentation` of a mask at a place in a picture: polygons, or run lengths where it has holes."""
    found = outlines(mask.astype(np.uint8))
    if len(found) < 2:  # it is empty
        return runs(mask, place, size)
    outline = found[1]
    return runs(mask, place, size) if outline.holes else [_moved(ring, place) for ring in outline.polygons]


def runs(mask: Mask, place: Box, size: Size) -> dict[str, Any]:
    """Return a mask's run lengths in the whole picture, as numbers."""
    return {"size": [size.height, size.width], "counts": _counts(mask, place, size)}


def packed_runs(mask: Mask, place: Box, size: Size) -> dict[str, Any]:
    """Return a mask's run lengths in the whole picture, packed, as COCO's results have them."""
    return {"size": [size.height, size.width], "counts": pack(_counts(mask, place, size))}


def area(mask: Mask) -> int:
    """Count a mask's pixels."""
    return int(np.count_nonzero(mask))


def read_mask(value: object, place: Box, size: Size) -> Mask:
    """Return the part of a `segmentation` that lies within a box of whole pixels, shape (height, width).

    ValueError where it is none, or of a picture of another size.
    """
    if isinstance(value, list):
        return _filled([_ring(ring) for ring in value], place)
    if not isinstance(value, dict):
        raise ValueError("a segmentation is neither polygons nor run lengths")
    if value.get("size") != [size.height, size.width]:
        raise ValueError(f"run lengths are of {str(value.get('size'))[:40]}, and not of height and width")
    pixels = size.height * size.width
    if pixels > MOST_PIXELS:
        raise ValueError(f"run lengths are of more than {MOST_PIXELS:,} pixels")
    counts = value.get("counts")
    lengths = unpack(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list):
        raise ValueError("run lengths have no counts")
    lengths = [whole(length, 0, pixels) for length in lengths]
    if sum(lengths) != pixels:
        raise ValueError(f"run lengths are of {sum(lengths):,} pixels, and the picture has {pixels:,}")
    values = np.arange(len(lengths)) % 2 == 1
    columns = np.repeat(values, lengths).reshape(size.width, size.height)
    return np.ascontiguousarray(columns.T[place.y : place.y + place.height, place.x : place.x + place.width])


def pack(counts: Sequence[int]) -> str:
    """Pack run lengths into a text."""
    characters = []
    for place, count in enumerate(counts):
        left = count - counts[place - 2] if place > 2 else count
        while True:
            digit, left = left & (_MORE - 1), left >> _DIGIT
            more = left != (-1 if digit & _SIGN else 0)
            characters.append(chr(_FIRST + digit + (_MORE if more else 0)))
            if not more:
                break
    return "".join(characters)


def unpack(text: str) -> list[int]:
    """Return the run lengths that were packed into a text; ValueError where it is none."""
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        digit = ord(character) - _FIRST
        if not 0 <= digit < 2 * _MORE or shift > 60:
            raise ValueError("packed run lengths are damaged")
        value |= (digit & (_MORE - 1)) << shift
        shift += _DIGIT
        if not digit & _MORE:
            if digit & _SIGN:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value, shift = 0, 0
    if shift:
        raise ValueError("packed run lengths are cut off")
    return counts


def _counts(mask: Mask, place: Box, size: Size) -> list[int]:
    """Down one column of the picture after another, the pixels outside, inside, outside …"""
    labels = np.zeros((size.height, size.width), dtype=np.uint8)
    labels[place.y : place.y + place.height, place.x : place.x + place.width] = mask
    found = run_lengths(labels)
    return found[1] if len(found) > 1 else [labels.size]


def _moved(ring: Ring, place: Box) -> Ring:
    return [value + (place.y if odd else place.x) for value, odd in zip(ring, [False, True] * len(ring), strict=False)]


def _ring(value: object) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Check the corners of a polygon: (n, 2)."""
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        raise ValueError("a polygon has three corners at least, each x and y")
    return np.array([number(one, -LARGEST, LARGEST) for one in value]).reshape(-1, 2)


def _filled(rings: Sequence[np.ndarray[Any, np.dtype[np.float64]]], place: Box) -> Mask:
    mask = np.zeros((place.height, place.width), dtype=np.bool_)
    for ring in rings:
        x, y = ring.T - np.array([[place.x], [place.y]]) - 0.5  # the middles of pixels are whole numbers
        mask[polygon(y, x, mask.shape)] = True  # type: ignore[no-untyped-call]
    return mask
