"""Vectors as rows of arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Numbers of rows, of an index say.
Rows = npt.NDArray[np.int64]


def l2_normalize(vectors: Floats, floor: float = float(np.finfo(np.float32).tiny)) -> Floats:
    """Bring `vectors`, whose last axis is the dimension, to length 1; zeros stay zeros.

    Those shorter than `floor` stay shorter than 1: what little they have is noise.
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(floor)), dtype=np.float32)
