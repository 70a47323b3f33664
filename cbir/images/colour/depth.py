"""Numbers of more than 8 bits, of unknown range, as the 8 bits that a viewer would show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

#: Candidates for a picture's white, by how many bits were used of those that it has.
_LADDER = (255.0, 1023.0, 4095.0, 16383.0, 65535.0, 4294967295.0)

# Cameras of 13 and 14 bits leave up to three quarters of a 16-bit picture's range empty, and so do dark photos. Only a
# highlight in the last tenth of such a range tells them apart.
_FULL = 0.9

# Beyond the ends of a range there may be this share of the numbers: ringing of a filter below 0, the sun above 1.
_STRAY = 0.01
_MOSTLY = 0.5

_COUNTED = 1 << 18  # numbers that are looked at, evenly spread, to know the shares


class Survey(NamedTuple):
    """The range of a picture's finite numbers, and a sample of them."""

    low: float
    high: float
    is_whole: bool  # no fractions
    is_byte_twice: bool  # each is a byte times 257: 8 bits made 16
    sample: npt.NDArray[np.float64]  # some of them, evenly spread


def survey(bands: Iterable[Numbers], total: int) -> Survey:
    """Look at all numbers of a picture once; `total` is how many there are."""
    low, high, is_whole, is_byte_twice = np.inf, -np.inf, True, True
    step = max(1, total // _COUNTED)
    samples = []
    for band in bands:
        flat = band.reshape(-1)
        if flat.dtype.kind == "f":
            finite = np.isfinite(flat)
            flat = flat if finite.all() else flat[finite]
            is_byte_twice = False
            is_whole = is_whole and bool((flat == np.rint(flat)).all())
        elif is_byte_twice:
            is_byte_twice = flat.dtype.kind == "u" and not (flat % 257).any()
        if flat.size:
            low, high = min(low, float(flat.min())), max(high, float(flat.max()))
            samples.append(flat[::step].astype(np.float64))
    sample = np.concatenate(samples) if samples else np.zeros(1)
    return Survey(low, high, is_whole, is_byte_twice, sample) if samples else Survey(0, 0, True, False, sample)


def to_bytes(seen: Survey, dtype: np.dtype[Any], declared: float | None = None) -> Callable[[Numbers], Bytes]:
    """Choose the conversion of numbers of this type to bytes, by a survey of them or by the largest that the file
    declares.

    Whole numbers use all of their type's range, or the lower 8, 10, 12 or 14 bits of it: the largest number tells
    which, since no picture, not even a dark photo, leaves 15/16 of its range empty. Fractions reach from 0 to 1, with
    stray highlights, or are taken like whole numbers. Numbers without such a range are stretched between their
    extremes, the outermost 0.1 % left out. Those that are not finite count as 0.
    """
    low, high = _range(seen, dtype, declared)
    if (low, high) == (0, 65535) and dtype == np.uint16:
        return lambda band: (band >> 8).astype(np.uint8)
    if (low, high) == (0, 255) and dtype == np.uint8:
        return lambda band: band.astype(np.uint8, copy=False)
    spread = (high - low) or 1.0  # a picture of one grey

    if dtype.itemsize <= 2 and dtype.kind in "iu":
        # by a table, in the order of the numbers' bytes
        unsigned = np.dtype(f"u{dtype.itemsize}")
        table = _scaled(np.arange(256**dtype.itemsize, dtype=unsigned).view(dtype), low, spread)
        return lambda band: table[band.view(unsigned)]
    return lambda band: _scaled(band, low, spread)


def _scaled(numbers: Numbers, low: float, spread: float) -> Bytes:
    exact = np.float32 if numbers.dtype in (np.float16, np.float32) else np.float64
    values = np.nan_to_num(numbers.astype(exact), copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    values -= low
    values *= 255.0 / spread
    scaled: Bytes = np.clip(np.round(values, out=values), 0, 255, out=values).astype(np.uint8)
    return scaled


def _range(seen: Survey, dtype: np.dtype[Any], declared: float | None) -> tuple[float, float]:
    """Return the numbers that stand for black and white."""
    low, high, sample = seen.low, seen.high, seen.sample
    if dtype == np.uint8:
        return 0.0, 255.0
    if declared is not None and low >= 0 and high <= declared:
        return 0.0, declared
    if dtype.kind == "i" and low < 0 and dtype.itemsize <= 2:
        whole = np.iinfo(dtype)
        if high - low > (whole.max - whole.min) / 2:
            return float(whole.min), float(whole.max)
    if low < 0 and (sample < 0).mean() > _STRAY:
        return _extremes(seen)
    if dtype.kind == "f" and not seen.is_whole and (high <= 1 or (sample <= 1).mean() > _MOSTLY):
        return 0.0, 1.0
    if seen.is_byte_twice and dtype == np.uint16:
        return 0.0, 65535.0
    if dtype == np.uint16:
        bits = int(high).bit_length()
        if bits in (13, 14) and high < _FULL * (2**bits - 1):
            return 0.0, 65535.0
        if bits == 13:
            return 0.0, 8191.0
    for top in _LADDER[:-1] if dtype.itemsize < 4 or dtype.kind == "f" else _LADDER:
        if high <= top:
            return 0.0, top
    return _extremes(seen)


def _extremes(seen: Survey) -> tuple[float, float]:
    if seen.sample.size < 1000:
        return seen.low, seen.high
    low, high = np.percentile(seen.sample, (0.1, 99.9))
    return (float(low), float(high)) if high > low else (seen.low, seen.high)
