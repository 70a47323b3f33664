"""Label maps: runs, stretches of one label along the lines, which are far fewer than the pixels; and what touches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.intp]


class Runs(NamedTuple):
    """Runs in the order of the lines: each one's label, line, start on the line, and length. All have shape (n,)."""

    labels: Integers
    lines: Integers
    starts: Integers
    lengths: Integers


def row_runs(labels: npt.NDArray[np.uint8]) -> Runs:
    """Return the runs along the rows of `labels`, shape (height, width)."""
    width = labels.shape[1]
    begins = np.empty(labels.shape, dtype=np.bool_)
    begins[:, 0] = True
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    lengths = np.diff(first, append=labels.size)
    lines, starts = np.divmod(first, width)
    return Runs(labels[lines, starts].astype(np.intp), lines, starts, lengths)


def column_runs(labels: npt.NDArray[np.uint8]) -> Runs:
    """Return the runs down the columns of `labels`, from the first column on; a line is a column."""
    return row_runs(np.ascontiguousarray(labels.T))


def neighbours(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Return the mask of pairs of labels that touch along an edge of pixels, shape (labels, labels), symmetric."""
    count = int(labels.max()) + 1
    touch = np.zeros((count, count), dtype=np.bool_)
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        differ = one != other
        touch[one[differ], other[differ]] = True
    return touch | touch.T
