"""float16 to float32, several times as fast as NumPy's own conversion of rows in which many numbers are zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# float16 has 5 bits of exponent, biased by 15, float32 has 8, biased by 127: moved into place, the same bits stand
# for a number that is 2^112 times too small. Multiplying is exact, for denormal numbers too.
_FRACTION_SHIFT = 23 - 10
_WITHOUT_COPIES_OF_THE_SIGN = np.int32(-0x70000001)
_SCALE = np.float32(2.0 ** (127 - 15))

#: Numbers at a time, so that they stay in the processor's cache from one step to the next.
_PART = 1 << 16


def to_float32(rows: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """`rows`, shape (n, dimension), in float32. Not for infinities and NaN, of which it makes 65536 and more."""
    halves = np.ascontiguousarray(rows)
    result = np.empty(halves.shape, dtype=np.float32)
    source, bits = halves.reshape(-1).view(np.int16), result.reshape(-1).view(np.int32)
    for start in range(0, source.size, _PART):
        part = bits[start : start + _PART]
        part[...] = source[start : start + _PART]  # the sign is copied into the upper half
        np.left_shift(part, _FRACTION_SHIFT, out=part)
        np.bitwise_and(part, _WITHOUT_COPIES_OF_THE_SIGN, out=part)
        numbers = part.view(np.float32)
        np.multiply(numbers, _SCALE, out=numbers)
    return result
