"""Codes of windows: 8-bit numbers for the score, and their signs for candidates.

Whitened numbers are alike in size and as often positive as negative, so that signs alone tell much: rows whose signs
agree with a query's most are candidates (880 bits a row are read), and of the best of these the numbers decide
(`sieve.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats

Quantised = npt.NDArray[np.int8]
Signs = npt.NDArray[np.uint64]

#: The factor of a row's numbers, of length 1, before they are rounded. In 880 numbers few are above 0.2.
SCALE = 635

#: Rows whose numbers are compared.
CANDIDATES = 4000

# Rows that are chosen by the bits that differ, at least, and as a part of all.
_COARSE, _SHARE = 16_000, 1 / 100

#: Rows whose signs are compared at a time, so that what is computed of them stays in the processor's cache.
_CHUNK = 1 << 13


def quantised(rows: Floats) -> Quantised:
    """Rows of length 1 in 8 bits a number, to be divided by SCALE."""
    return np.asarray(np.clip(np.round(rows * SCALE), -127, 127), dtype=np.int8)


def signs(rows: npt.NDArray[np.floating] | Quantised) -> Signs:
    """Pack the signs of numbers, 1 where above 0, 64 a word, the last filled up with zeros: shape (n, words)."""
    bits = np.packbits(rows > 0, axis=1)
    padded = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)


def candidate_count(rows: int) -> int:
    """Return how many of so many rows are candidates by the bits that differ."""
    return max(_COARSE, int(rows * _SHARE))


def differing(query: Signs, row_signs: Signs) -> npt.NDArray[np.uint16]:
    """Count the bits in which rows differ from `query`, shape (words,): of `row_signs` (…, words) the shape (…)."""
    found = np.empty(row_signs.shape[:-1], dtype=np.uint16)
    step = max(1, _CHUNK * len(row_signs) // max(found.size, 1))
    for start in range(0, len(row_signs), step):
        differ = np.bitwise_xor(row_signs[start : start + step], query)
        np.sum(_bit_counts(differ), axis=-1, dtype=np.uint16, out=found[start : start + len(differ)])
    return found


def differing_in_tiles(query: Signs, tiles: Signs) -> npt.NDArray[np.uint16]:
    """Do the same of rows that lie in tiles, shape (n, words, rows of a tile): the shape (n, rows of a tile).

    The same word of many rows is side by side, so that all is summed without a step across: half the time.
    """
    if not hasattr(np, "bitwise_count"):
        return differing(query, np.ascontiguousarray(tiles.transpose(0, 2, 1)))  # NumPy 1
    found = np.zeros((len(tiles), tiles.shape[2]), dtype=np.uint16)
    for word, its in enumerate(query):
        found += np.bitwise_count(tiles[:, word] ^ its)
    return found


def _bit_counts(words: Signs) -> npt.NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):
        counts: npt.NDArray[np.uint8] = np.bitwise_count(words)
        return counts
    return np.asarray(_OF_BYTE[np.ascontiguousarray(words).view(np.uint8)])  # NumPy 1


_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(axis=1, dtype=np.uint8)
