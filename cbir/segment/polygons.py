"""Segments as polygons along the edges of their pixels: filled again, they give exactly those pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.segment.describe import Labels

Integers = npt.NDArray[np.intp]

#: A ring of corners, (x, y) alternating: [x1, y1, x2, y2, …]. The last is joined to the first.
Ring = list[int]

# Which of the four pixels around a corner are in the segment, as bits: 1 and 2 above, 4 and 8 below it, 2 and 8 right.
_STRAIGHT = (0, 3, 5, 10, 12, 15)
_FALLING, _RISING = 9, 6  # two pixels that touch at a corner only
_AROUND_A_HOLE = 7  # the upper left corner of a hole


class Outline(NamedTuple):
    """The polygons of one segment, and the holes in them."""

    polygons: list[Ring]
    holes: list[Ring]


def outlines(labels: Labels) -> list[Outline]:
    """Return the outline of each segment, in the labels' order.

    A corner (x, y) lies between pixels: (0, 0) is the picture's upper left corner, (width, height) its lower right one.
    There are corners only where an edge turns. A polygon is one connected piece of a segment (through edges, not
    corners), clockwise on the screen, with its upper left corner first; holes likewise.

    On each line of the grid a segment's edges begin and end at its corners alternately, so that sorting the corners
    links them, for all segments at once: by rows along the horizontal edges, by columns along the vertical ones.
    """
    corners = _corners(labels)
    # of two corners at one place, `second` comes later along a row; along a column in the same order where the two
    # pixels are the upper left and lower right, and in the other where they are the lower left and upper right
    along_row = np.lexsort((corners.second, corners.x, corners.y, corners.label))
    later = corners.second ^ (corners.codes == _RISING)
    down_column = np.lexsort((later, corners.y, corners.x, corners.label))
    across, down = _partners(along_row), _partners(down_column)
    found = [Outline([], []) for _ in range(int(labels.max()) + 1)]
    xs, ys, codes, owners = (column.tolist() for column in (corners.x, corners.y, corners.codes, corners.label))
    beside, below = across.tolist(), down.tolist()
    is_done = bytearray(len(xs))
    for first in along_row.tolist():  # the upper left corner of a ring comes before its others
        if is_done[first]:
            continue
        ring: Ring = []
        corner = first
        while True:
            for next_one in (beside, below):
                ring += (xs[corner], ys[corner])
                is_done[corner] = 1
                corner = next_one[corner]
            if corner == first:
                break
        outline = found[owners[first]]
        (outline.holes if codes[first] == _AROUND_A_HOLE else outline.polygons).append(ring)
    return found


class _Corners(NamedTuple):
    label: Integers
    x: Integers
    y: Integers
    codes: Integers
    second: npt.NDArray[np.bool_]


def _corners(labels: Labels) -> _Corners:
    """All corners of all segments; where two pixels of a segment touch at a corner only, there are two at one place."""
    padded = np.pad(labels.astype(np.int16), 1, constant_values=-1)
    turns_across = padded[:, 1:] != padded[:, :-1]
    turns_down = padded[1:] != padded[:-1]
    # an edge goes on straight where only the cracks above and below a place, or only those beside it, are edges
    places = (turns_across[:-1] | turns_across[1:]) & (turns_down[:, :-1] | turns_down[:, 1:])
    y, x = np.nonzero(places)
    around = np.stack([padded[y + down, x + right] for down in (0, 1) for right in (0, 1)])
    pieces = []
    for place in range(4):
        label = around[place]
        codes = sum((around[other] == label).astype(np.intp) << other for other in range(4))
        is_new = (label >= 0) & (around[:place] != label).all(axis=0) & ~np.isin(codes, _STRAIGHT)
        pieces.append([values[is_new].astype(np.intp) for values in (label, x, y, codes)])
    label, x, y, codes = (np.concatenate(column) for column in zip(*pieces, strict=True))
    is_double = (codes == _FALLING) | (codes == _RISING)
    second = np.repeat([False, True], [len(label), int(is_double.sum())])
    label, x, y, codes = (np.concatenate([values, values[is_double]]) for values in (label, x, y, codes))
    return _Corners(label, x, y, codes, second)


def _partners(order: Integers) -> Integers:
    """Return each corner's partner at the other end of its edge; `order` lists both ends of an edge side by side."""
    partners = np.empty_like(order)
    partners[order[0::2]] = order[1::2]
    partners[order[1::2]] = order[0::2]
    return partners
