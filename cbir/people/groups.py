"""Groups of faces: average linkage at a threshold, within what hangs together by distances below it.

That is exact: a mean distance below the threshold needs one pair below it. Where more faces hang together than memory
has room for, what hangs together by smaller distances is taken instead: people are then in several groups rather than
several people in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbir.people.linkage import Linkage, distances_between
from cbir.utils.vectors import Floats, Rows

#: Faces that are linked at a time: half a matrix of their distances takes 200 MB.
_LINKED = 10_000

#: By so much the distance is smaller by which faces hang together, where they are more.
_STEP = 0.02

#: Cosines that are computed at a time: 16 MB; and a square of them that stays in the processor's cache.
_COSINES, _TILE = 4_000_000, 512

#: The group of a face that is in none.
ALONE = -1


@dataclass(frozen=True)
class Told:
    """Facts about faces beside their vectors, arrays of shape (n,): numbers which say what is equal.

    No two faces of one of `pictures` get into one group. Those of one of `units` are together from the start, and those
    of different `owners` never are; 0 is no owner. `apart` are pairs of faces that never are either, shape (m, 2).
    """

    pictures: Rows
    owners: Rows
    units: Rows
    apart: Rows


def nothing_told(count: int) -> Told:
    """Return what is known of so many faces where nothing is: each could be in a group with each."""
    own = np.arange(count, dtype=np.int64)
    return Told(own, np.zeros(count, np.int64), own, np.zeros((0, 2), np.int64))


def group(vectors: Floats, may_found: npt.NDArray[np.bool_], *, threshold: float, told: Told | None = None) -> Rows:
    """Group faces by their vectors of length 1, shape (n, dimension). Return the group of each, shape (n,), or ALONE.

    Groups have two faces that `may_found` them, shape (n,), or one that has an owner; others join the group that they
    are nearest to in the mean, if that is below `threshold`.
    """
    told = told or nothing_told(len(vectors))
    founders = np.flatnonzero(may_found)
    groups = np.full(len(vectors), ALONE, dtype=np.int64)
    for faces in _pieces(vectors, founders, threshold, told):
        groups[faces] = faces[_linked(vectors[faces], faces, threshold, told)]
    sizes = np.bincount(groups[founders], minlength=len(vectors))
    sizes[groups[founders[told.owners[founders] > 0]]] += 1
    groups[founders] = np.where(sizes[groups[founders]] > 1, groups[founders], ALONE)
    _join(vectors, np.flatnonzero(~may_found), groups, threshold, told)
    return _numbered(groups)


def _pieces(vectors: Floats, faces: Rows, threshold: float, told: Told, *, tight: float = 0) -> Iterator[Rows]:
    """Yield what is linked by itself: faces that hang together by distances below a threshold, and by units."""
    tight = tight or threshold
    for piece in _components(vectors, faces, tight, told):
        if len(piece) <= _LINKED:
            yield piece
        elif tight > _STEP:
            yield from _pieces(vectors, piece, threshold, told, tight=tight - _STEP)
        else:  # thousands of the same picture, or nearly so
            yield from np.array_split(piece, -(-len(piece) // _LINKED))


def _components(vectors: Floats, faces: Rows, threshold: float, told: Told) -> list[Rows]:
    """Return faces that hang together, of those given, as arrays in the order of their first."""
    parents = np.arange(len(faces), dtype=np.int64)
    order = np.argsort(told.units[faces], kind="stable")
    same = told.units[faces[order[1:]]] == told.units[faces[order[:-1]]]
    _unite(parents, order[1:][same], order[:-1][same])
    own = vectors[faces]
    cosine = np.float32(1 - threshold**2 / 2)
    for start in range(0, len(faces), _TILE):
        for other in range(start, len(faces), _TILE):
            cosines = own[start : start + _TILE] @ own[other : other + _TILE].T
            # in one dimension, in which it is found much sooner what is true
            ones, others = np.divmod(np.flatnonzero(cosines.ravel() > cosine), cosines.shape[1])
            _unite(parents, ones + start, others + other)
    return [faces[places] for _, places in by_value(parents)]


def _unite(parents: Rows, ones: Rows, others: Rows) -> None:
    """Have pairs, of shape (m,) each, hang together: `parents` leads each face to the first of those that do."""
    while True:
        firsts, seconds = parents[ones], parents[others]
        differ = firsts != seconds
        if not differ.any():
            return
        ones, others = ones[differ], others[differ]
        firsts, seconds = firsts[differ], seconds[differ]
        np.minimum.at(parents, np.maximum(firsts, seconds), np.minimum(firsts, seconds))
        while not np.array_equal(parents, above := parents[parents]):
            parents[:] = above


def _linked(vectors: Floats, faces: Rows, threshold: float, told: Told) -> Rows:
    """Link some faces, in the order of their numbers. Return which of them each is in a cluster with, shape (n,)."""
    if len(faces) == 1:
        return np.zeros(1, dtype=np.int64)
    linkage = Linkage(vectors)
    linkage.forbid(*_pairs_of_equal(told.pictures[faces]))
    apart = told.apart[np.isin(told.apart, faces).all(axis=1)] if len(told.apart) else told.apart
    linkage.forbid(*np.searchsorted(faces, apart).T)
    units, firsts, numbers = np.unique(told.units[faces], return_index=True, return_inverse=True)
    owners = told.owners[faces[firsts]]
    for number in np.flatnonzero(owners).tolist():
        others = firsts[(owners != owners[number]) & (owners > 0)]
        linkage.forbid(np.full(len(others), firsts[number]), others)
    if len(units) < len(faces):
        for place, number in enumerate(numbers.tolist()):
            if place != firsts[number]:
                linkage.join(int(firsts[number]), place)
    return linkage.run(threshold)


def _pairs_of_equal(values: Rows) -> tuple[Rows, Rows]:
    """Return all pairs of places whose values are equal, each pair once."""
    order = np.argsort(values, kind="stable")
    ones, others = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for distance in range(1, len(values)):
        same = values[order[distance:]] == values[order[:-distance]]
        if not same.any():
            break
        ones.append(order[:-distance][same])
        others.append(order[distance:][same])
    return np.concatenate(ones), np.concatenate(others)


def _join(vectors: Floats, joiners: Rows, groups: Rows, threshold: float, told: Told) -> None:
    """Put each of `joiners` into the group that it is nearest to, nearest ones first, where nothing forbids that."""
    members = np.flatnonzero(groups != ALONE)
    if not len(members) or not len(joiners):
        return
    members = members[np.argsort(groups[members], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[members], prepend=-2))
    numbers = groups[members[starts]]
    sizes = np.diff(np.append(starts, len(members))).astype(np.float32)
    found: list[tuple[float, int, int]] = []
    step = max(1, _COSINES // len(members))
    own = vectors[members]
    for first in range(0, len(joiners), step):
        chunk = joiners[first : first + step]
        means = np.add.reduceat(distances_between(vectors[chunk], own), starts, axis=1) / sizes
        for place, number in np.argwhere(means < threshold).tolist():
            found.append((float(means[place, number]), int(chunk[place]), int(numbers[number])))
    taken = set(zip(groups[members].tolist(), told.pictures[members].tolist(), strict=True))
    barred = {(int(one), int(groups[other])) for pair in told.apart for one, other in (pair, pair[::-1])}
    for _, face, number in sorted(found):
        seat = (number, int(told.pictures[face]))
        if groups[face] == ALONE and seat not in taken and (face, number) not in barred:
            groups[face] = number
            taken.add(seat)


def by_value(values: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield each value of an array and its places in order."""
    order = np.argsort(values, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(values[order])) + 1):
        if len(places):
            yield int(values[places[0]]), places


def _numbered(groups: Rows) -> Rows:
    """Number the groups from 0 on, in the order of their first faces."""
    found = np.full(len(groups), ALONE, dtype=np.int64)
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    ranks = np.cumsum(np.bincount(firsts[groups[firsts] != ALONE], minlength=len(groups))) - 1
    is_in = groups != ALONE
    found[is_in] = ranks[firsts[inverse[is_in]]]
    return found
