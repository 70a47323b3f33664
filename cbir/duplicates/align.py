"""Laying one thumbnail over another: is it the same picture, mirrored, cropped or turned a little?

The transformation between the two is taken to be affine. It is found by Gauss-Newton steps that raise the
normalised correlation of the pixels which both have (Evangelidis and Psarakis 2008), from the best of a few starts,
first on blurred thumbnails and then on sharp ones. Many pairs are laid at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.images.fingerprint import SIDE
from cbir.utils.vectors import Floats

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]

#: Pairs that are laid at a time; more are no faster, and take memory.
TOGETHER = 512

#: Standard deviation, in grey levels, of what is noise in a thumbnail. Flat pictures correlate by it, and must not.
NOISE = 1.0

#: The least share of a thumbnail that the other must cover.
_LEAST_OVERLAP = 0.6

#: The correlations of blurred thumbnails below which nothing comes of a pair: at its best start, and laid.
PROMISING, STILL_PROMISING = 0.65, 0.85

_BLURRED_STEPS, _SHARP_STEPS = 5, 5
_LONGEST_STEP = 0.15  # in half sides
_ARRIVED = 1 / 24  # in pixels: after so short a step there is no other
_DAMPING = 1e-3

# how much is blurred, in pixels: for the coarse comparison and first steps, and to tell detail from the rest
_COARSE, _DETAIL = 1.5, 1.5


class _Grid:
    """The pixels of a square of `side`: where they are, and products of places that steps need."""

    def __init__(self, side: int) -> None:
        places = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
        down, across = (axis.ravel() for axis in np.meshgrid(places, places, indexing="ij"))
        ones = np.ones_like(across)
        self.side = side
        self.basis = np.stack([ones, across, down])  # of an affine map, shape (3, pixels)
        # products of two of it
        self.monomials = np.stack([ones, across, down, across * across, across * down, down * down], axis=1)


_SHARP, _BLURRED = _Grid(SIDE), _Grid(SIDE // 2)
_PRODUCTS = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])  # which of the monomials


def _start(zoom: float = 1.0, degrees: float = 0.0, mirrored: bool = False) -> Floats:
    """Return an affine map as (u0, ux, uy, v0, vx, vy): from (x, y) to (u0 + ux x + uy y, v0 + vx x + vy y)."""
    angle = np.deg2rad(degrees)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    side = -1.0 if mirrored else 1.0
    return np.array([0, side * cos, -side * sin, 0, sin, cos], dtype=np.float32)


_ZOOMS_AND_TURNS = ((1.0, 0.0), (0.88, 0.0), (1 / 0.88, 0.0), (1.0, 5.0), (1.0, -5.0))
_STARTS = np.stack([_start(zoom, turn, mirrored) for mirrored in (False, True) for zoom, turn in _ZOOMS_AND_TURNS])


class Aligned(NamedTuple):
    """The alignments of pairs of thumbnails, an item a pair: shapes (pairs,), that of `maps` (pairs, 6).

    `correlation` is that of the grey values which both have, `detail` that of the same less their blurred versions; -1
    for both where the two have so little in common that it was not sought. `maps` lead from places in the first, in
    half sides from its middle, to those in the second: (x, y) to (u0 + ux x + uy y, v0 + vx x + vy y).
    """

    correlation: Floats
    detail: Floats
    maps: Floats


class Prepared(NamedTuple):
    """Thumbnails, `grey` of shape (n, SIDE, SIDE), and the same blurred and halved, which is all that most need."""

    grey: Bytes
    coarse: Floats


def prepared(thumbnails: Bytes) -> Prepared:
    """Thumbnails of shape (n, SIDE, SIDE) for what follows."""
    return Prepared(thumbnails, _filtered(thumbnails.astype(np.float32), _HALVING))


def plain(thumbnails: Prepared) -> Floats:
    """Thumbnails for a first comparison: centred and of length 1 (0 where flat); shape (n, cells)."""
    return _normalised(thumbnails.coarse.reshape(len(thumbnails.coarse), -1))


def moved(thumbnails: Prepared, places: Places) -> Floats:
    """Return the same of those at `places` as they look from each start, shape (places, starts, cells)."""
    cells = thumbnails.coarse[places].reshape(len(places), -1)
    return _normalised((cells @ _MOVES).reshape(len(places), len(_STARTS), -1))


def starts(first: Floats, second: Floats) -> tuple[Places, Floats]:
    """Find each pair's best start and its correlation; `first` is the one's `plain`, `second` the other's `moved`."""
    found = np.matmul(second, first[:, :, np.newaxis])[..., 0]
    best = found.argmax(axis=1)
    return best, found[np.arange(len(first)), best]


def align(thumbnails: Prepared, first: Places, second: Places, start: Places) -> Aligned:
    """Lay thumbnails over each other: a pair's `second` over its `first`, both among `thumbnails`, from one start."""
    coarse = thumbnails.coarse
    correlations, details = np.full((2, len(first)), -1, dtype=np.float32)
    maps = _STARTS[start]
    for begin in range(0, len(first), TOGETHER):
        part = np.arange(begin, min(begin + TOGETHER, len(first)))
        maps[part], found = _improved(_BLURRED, coarse[first[part]], coarse[second[part]], maps[part], _BLURRED_STEPS)
        part = part[found >= STILL_PROMISING]
        if not len(part):
            continue
        these, pairs = np.unique(np.stack([first[part], second[part]]), return_inverse=True)
        one, other = pairs.reshape(2, -1)
        sharp = thumbnails.grey[these].astype(np.float32)
        maps[part], correlations[part] = _improved(_SHARP, sharp[one], sharp[other], maps[part], _SHARP_STEPS)
        detail = sharp - _filtered(sharp, _BLURRING)
        values, inside = _sampled(_SHARP, detail[other], maps[part])
        details[part] = _correlated(_SHARP, detail[one].reshape(len(part), -1), values, inside).correlation
    return Aligned(correlations, details, maps)


def _gaussian(sigma: float) -> Floats:
    """Return a matrix that blurs SIDE pixels in a row, shape (SIDE, SIDE); each row of it adds up to 1."""
    places = np.arange(SIDE)
    weights = np.exp(-((places[:, np.newaxis] - places) ** 2) / (2 * sigma**2)).astype(np.float32)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _filtered(pictures: Floats, weights: Floats) -> Floats:
    """Pictures, shape (n, SIDE, SIDE), filtered across and down by `weights`, shape (side, SIDE)."""
    count, side = len(pictures), len(weights)
    # one large product each way: as many small ones take ten times as long
    across = (pictures.reshape(-1, SIDE) @ weights.T).reshape(count, SIDE, side)
    down = np.swapaxes(across, 1, 2).reshape(-1, SIDE) @ weights.T
    return np.ascontiguousarray(np.swapaxes(down.reshape(count, side, side), 1, 2))


_BLURRING = _gaussian(_DETAIL)
_HALVING = _gaussian(_COARSE).reshape(SIDE // 2, 2, SIDE).mean(axis=1)


def _normalised(cells: Floats) -> Floats:
    cells = cells - cells.mean(axis=-1, keepdims=True)
    noise = NOISE**2 * cells.shape[-1]
    return np.asarray(cells / np.sqrt((cells * cells).sum(axis=-1, keepdims=True) + noise), dtype=np.float32)


def _improved(grid: _Grid, first: Floats, second: Floats, maps: Floats, steps: int) -> tuple[Floats, Floats]:
    """`maps` after some Gauss-Newton steps, the best on the way, and their correlations."""
    flat = first.reshape(len(first), -1)
    best, best_maps = np.full(len(first), -1, dtype=np.float32), maps.copy()
    # most are there after a step or two; only the others go on
    going = np.arange(len(first))
    for step in range(steps + 1):
        if step < steps:
            values, inside, across, down = _sloped(grid, second, maps)
        else:
            values, inside = _sampled(grid, second, maps)
        found = _correlated(grid, flat, values, inside)
        better = found.correlation > best[going]
        best[going[better]], best_maps[going[better]] = found.correlation[better], maps[better]
        if step < steps:
            moved_by = _step(grid, found, across * inside, down * inside)
            still = np.abs(moved_by).max(axis=1) > _ARRIVED * 2 / grid.side
            going, flat, second, maps = going[still], flat[still], second[still], (maps + moved_by)[still]
            if not len(going):
                break
    return best_maps, best


class _Correlated(NamedTuple):
    """`first` and `second` are centred and of length 1 over the pixels that both have, of which there are `pixels`."""

    correlation: Floats
    first: Floats
    second: Floats
    length: Floats
    pixels: Floats


def _correlated(grid: _Grid, first: Floats, second: Floats, inside: Floats) -> _Correlated:
    pixels = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    first = (first - (first * inside).sum(axis=1, keepdims=True) / pixels) * inside
    second = (second - (second * inside).sum(axis=1, keepdims=True) / pixels) * inside
    noise = NOISE**2 * pixels
    first /= np.sqrt((first * first).sum(axis=1, keepdims=True) + noise)
    length = np.sqrt((second * second).sum(axis=1, keepdims=True) + noise)
    second /= length
    correlation = (first * second).sum(axis=1)
    correlation[pixels[:, 0] < _LEAST_OVERLAP * grid.side**2] = -1
    return _Correlated(correlation, first, second, length, pixels)


def _step(grid: _Grid, found: _Correlated, across: Floats, down: Floats) -> Floats:
    """Return the Gauss-Newton step of affine maps, shape (pairs, 6), from gradients in units of a half side."""
    across, down = across / found.length, down / found.length
    rest = found.first - found.second
    basis = grid.basis.T
    gradient = np.concatenate([(across * rest) @ basis, (down * rest) @ basis], axis=1)
    hessian = np.empty((len(across), 6, 6), dtype=np.float32)
    for row, column, product in ((0, 0, across * across), (0, 3, across * down), (3, 3, down * down)):
        block = (product @ grid.monomials)[:, _PRODUCTS]
        hessian[:, row : row + 3, column : column + 3] = block
        hessian[:, column : column + 3, row : row + 3] = block
    means = np.concatenate([across @ basis, down @ basis], axis=1)
    hessian -= means[:, :, np.newaxis] * (means / found.pixels)[:, np.newaxis]
    damping = _DAMPING * np.trace(hessian, axis1=1, axis2=2) / 6 + 1e-6
    hessian += np.eye(6, dtype=np.float32) * damping[:, np.newaxis, np.newaxis]
    step = np.linalg.solve(hessian, gradient[..., np.newaxis])[..., 0]
    return np.asarray(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP), dtype=np.float32)


def _sampled(grid: _Grid, pictures: Floats, maps: Floats) -> tuple[Floats, Floats]:
    """Pictures of a grid's side at the places that maps lead each of its pixels to, bilinear, and whether the place is
    inside, 1 or 0. Shapes (pairs, pixels)."""
    (upper, _), (lower, _), y, inside = _between(grid, pictures, maps)
    return upper + (lower - upper) * y, inside


def _sloped(grid: _Grid, pictures: Floats, maps: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the result of `_sampled`, and the gradients across and down."""
    (upper, to_upper), (lower, to_lower), y, inside = _between(grid, pictures, maps)
    half, down = np.float32(grid.side / 2), lower - upper
    return upper + down * y, inside, (to_upper + (to_lower - to_upper) * y) * half, down * half


def _between(
    grid: _Grid, pictures: Floats, maps: Floats
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats], Floats, Floats]:
    """Sample the rows of pixels above and below each place: the value there, and how much it grows to the right.

    Returns also how far the place is below the upper row, and whether it is inside.
    """
    side = grid.side
    across, down = maps[:, :3] @ grid.basis, maps[:, 3:] @ grid.basis
    inside = ((np.abs(across) <= 1) & (np.abs(down) <= 1)).astype(np.float32)
    x: Floats = np.clip((across + 1) * (side / 2) - 0.5, 0, side - 1.001)
    y: Floats = np.clip((down + 1) * (side / 2) - 0.5, 0, side - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= column  # in place: a difference of the two would be of double precision, and take twice as long from here on
    y -= row
    place = (np.arange(len(pictures), dtype=np.int32) * side**2)[:, np.newaxis] + row * side + column
    flat = pictures.reshape(-1)
    upper: Floats = flat.take(place)
    lower: Floats = flat.take(place + side)
    to_upper, to_lower = flat.take(place + 1) - upper, flat.take(place + (side + 1)) - lower
    return (upper + to_upper * x, to_upper), (lower + to_lower * x, to_lower), y, inside


def _moves() -> Floats:
    """Return a matrix from halved thumbnails, shape (cells,), to those from all starts, shape (starts · cells,)."""
    half = SIDE // 2
    cells = half**2
    units = np.eye(cells, dtype=np.float32).reshape(cells, half, half)
    enlarged = units.repeat(2, axis=1).repeat(2, axis=2)
    moved: list[Floats] = []
    for start in _STARTS:
        whole, _ = _sampled(_SHARP, enlarged, np.broadcast_to(start, (cells, 6)))
        moved.append(whole.reshape(cells, half, 2, half, 2).mean(axis=(2, 4)).reshape(cells, cells))
    return np.concatenate(moved, axis=1)


_MOVES = _moves()
