"""Laying one thumbnail over another: is it the same picture, mirrored, cropped or turned a little?

The transformation between the two is taken to be affine. It is found by Gauss-Newton steps that raise the
normalised correlation of the pixels which both have (Evangelidis and Psarakis 2008), from the best of a few starts,
first on blurred thumbnails and then on sharp ones. Many pairs are laid at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.images.thumbnail import SIDE

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

#: Pairs that are laid at a time; more are no faster, and take memory.
TOGETHER = 512

#: Standard deviation, in grey levels, of what is noise in a thumbnail. Flat pictures correlate by it, and must not.
NOISE = 1.0

#: The least share of a thumbnail that the other must cover.
_LEAST_OVERLAP = 0.6

#: The correlations of blurred thumbnails below which nothing comes of a pair: at its best start, and laid.
PROMISING, STILL_PROMISING = 0.65, 0.88

_BLURRED_STEPS, _SHARP_STEPS = 5, 5
_LONGEST_STEP = 0.15  # in half sides
_DAMPING = 1e-3

# how much is blurred, in pixels: for the coarse comparison and first steps, and to tell detail from the rest
_COARSE, _DETAIL = 1.5, 1.5


def _axes() -> tuple[Floats, Floats]:
    places = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1
    down, across = np.meshgrid(places, places, indexing="ij")
    return across.ravel().astype(np.float32), down.ravel().astype(np.float32)


_X, _Y = _axes()
_ONES = np.ones_like(_X)
_BASIS = np.stack([_ONES, _X, _Y])  # of an affine map, shape (3, pixels)
_MONOMIALS = np.stack([_ONES, _X, _Y, _X * _X, _X * _Y, _Y * _Y], axis=1)  # products of two of it
_PRODUCTS = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])  # which ones


def _start(zoom: float = 1.0, degrees: float = 0.0, mirrored: bool = False) -> Floats:
    """An affine map as (u0, ux, uy, v0, vx, vy): from (x, y) to (u0 + ux x + uy y, v0 + vx x + vy y)."""
    angle = np.deg2rad(degrees)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    side = -1.0 if mirrored else 1.0
    return np.array([0, side * cos, -side * sin, 0, sin, cos], dtype=np.float32)


_ZOOMS_AND_TURNS = ((1.0, 0.0), (0.88, 0.0), (1 / 0.88, 0.0), (1.0, 5.0), (1.0, -5.0))
_STARTS = np.stack([_start(zoom, turn, mirrored) for mirrored in (False, True) for zoom, turn in _ZOOMS_AND_TURNS])


class Aligned(NamedTuple):
    """How well thumbnails lie over each other, an item a pair: shapes (pairs,).

    `correlation` is that of the grey values which both have, `detail` that of what is left of them when they are
    blurred and the blurred ones taken off; -1 for both where the two have so little in common that it was not sought.
    """

    correlation: Floats
    detail: Floats


def plain(thumbnails: Bytes) -> Floats:
    """Thumbnails, shape (n, SIDE, SIDE), for a first comparison: blurred, halved, centred and of length 1 (0 where
    flat); shape (n, cells)."""
    return _normalised(_small(thumbnails))


def moved(thumbnails: Bytes) -> Floats:
    """The same as they look from each start, shape (n, starts, cells)."""
    return _normalised((_small(thumbnails) @ _MOVES).reshape(len(thumbnails), len(_STARTS), -1))


def _small(thumbnails: Bytes) -> Floats:
    return _halved(blurred(thumbnails.astype(np.float32), _COARSE)).reshape(len(thumbnails), -1)


def starts(first: Floats, second: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """For each pair the best start and its correlation; `first` is the one's `plain`, `second` the other's `moved`."""
    found = np.matmul(second, first[:, :, np.newaxis])[..., 0]
    best = found.argmax(axis=1)
    return best, found[np.arange(len(first)), best]


def align(first: Bytes, second: Bytes, start: npt.NDArray[np.intp]) -> Aligned:
    """Lay the thumbnails `second` over `first`, both of shape (pairs, SIDE, SIDE), from one start each."""
    correlation, detail = np.full((2, len(first)), -1, dtype=np.float32)
    for begin in range(0, len(first), TOGETHER):
        part = slice(begin, begin + TOGETHER)
        one, other = first[part].astype(np.float32), second[part].astype(np.float32)
        correlation[part], detail[part] = _align(one, other, _STARTS[start[part]])
    return Aligned(correlation, detail)


def _align(first: Floats, second: Floats, maps: Floats) -> Aligned:
    correlation, detail = np.full((2, len(first)), -1, dtype=np.float32)
    maps, found = _improved(blurred(first, _COARSE), blurred(second, _COARSE), maps, _BLURRED_STEPS)
    going = np.flatnonzero(found >= STILL_PROMISING)
    if len(going):
        first, second = first[going], second[going]
        maps, correlation[going] = _improved(first, second, maps[going], _SHARP_STEPS)
        first, second = first - blurred(first, _DETAIL), second - blurred(second, _DETAIL)
        values, _, _, inside = _sampled(second, maps)
        detail[going] = _correlated(first.reshape(len(going), -1), values, inside).correlation
    return Aligned(correlation, detail)


def blurred(thumbnails: Floats, sigma: float) -> Floats:
    """Thumbnails, shape (n, SIDE, SIDE), through a Gaussian filter; at the edges its weights are of the rest."""
    places = np.arange(SIDE)
    weights = np.exp(-((places[:, np.newaxis] - places) ** 2) / (2 * sigma**2)).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights @ thumbnails @ weights.T, dtype=np.float32)


def _halved(thumbnails: Floats) -> Floats:
    half = SIDE // 2
    return np.asarray(thumbnails.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)), dtype=np.float32)


def _normalised(cells: Floats) -> Floats:
    cells = cells - cells.mean(axis=-1, keepdims=True)
    noise = NOISE**2 * cells.shape[-1]
    return np.asarray(cells / np.sqrt((cells * cells).sum(axis=-1, keepdims=True) + noise), dtype=np.float32)


def _improved(first: Floats, second: Floats, maps: Floats, steps: int) -> tuple[Floats, Floats]:
    """`maps` after some Gauss-Newton steps, the best on the way, and their correlations."""
    flat = first.reshape(len(first), -1)
    best, best_maps = np.full(len(first), -1, dtype=np.float32), maps.copy()
    for step in range(steps + 1):
        values, across, down, inside = _sampled(second, maps)
        found = _correlated(flat, values, inside)
        better = found.correlation > best
        best[better], best_maps[better] = found.correlation[better], maps[better]
        if step < steps:
            maps = maps + _step(found, across * inside, down * inside)
    return best_maps, best


class _Correlated(NamedTuple):
    """`first` and `second` are centred and of length 1 over the pixels that both have, of which there are `pixels`."""

    correlation: Floats
    first: Floats
    second: Floats
    length: Floats
    pixels: Floats


def _correlated(first: Floats, second: Floats, inside: Floats) -> _Correlated:
    pixels = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    first = (first - (first * inside).sum(axis=1, keepdims=True) / pixels) * inside
    second = (second - (second * inside).sum(axis=1, keepdims=True) / pixels) * inside
    noise = NOISE**2 * pixels
    first /= np.sqrt((first * first).sum(axis=1, keepdims=True) + noise)
    length = np.sqrt((second * second).sum(axis=1, keepdims=True) + noise)
    second /= length
    correlation = (first * second).sum(axis=1)
    correlation[pixels[:, 0] < _LEAST_OVERLAP * SIDE * SIDE] = -1
    return _Correlated(correlation, first, second, length, pixels)


def _step(found: _Correlated, across: Floats, down: Floats) -> Floats:
    """The Gauss-Newton step of affine maps, shape (pairs, 6), from gradients in units of a half side."""
    across, down = across / found.length, down / found.length
    rest = found.first - found.second
    gradient = np.concatenate([(across * rest) @ _BASIS.T, (down * rest) @ _BASIS.T], axis=1)
    hessian = np.empty((len(across), 6, 6), dtype=np.float32)
    for row, column, product in ((0, 0, across * across), (0, 3, across * down), (3, 3, down * down)):
        block = (product @ _MONOMIALS)[:, _PRODUCTS]
        hessian[:, row : row + 3, column : column + 3] = block
        hessian[:, column : column + 3, row : row + 3] = block
    means = np.concatenate([across @ _BASIS.T, down @ _BASIS.T], axis=1)
    hessian -= means[:, :, np.newaxis] * (means / found.pixels)[:, np.newaxis]
    damping = _DAMPING * np.trace(hessian, axis1=1, axis2=2) / 6 + 1e-6
    hessian += np.eye(6, dtype=np.float32) * damping[:, np.newaxis, np.newaxis]
    step = np.linalg.solve(hessian, gradient[..., np.newaxis])[..., 0]
    return np.asarray(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP), dtype=np.float32)


def _sampled(thumbnails: Floats, maps: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Thumbnails at the places that maps lead each pixel to, bilinear: values, gradients across and down, and whether
    the place is inside, 1 or 0. Shapes (pairs, pixels)."""
    across, down = maps[:, :3] @ _BASIS, maps[:, 3:] @ _BASIS
    inside = (np.abs(across) <= 1) & (np.abs(down) <= 1)
    x = np.clip((across + 1) * (SIDE / 2) - 0.5, 0, SIDE - 1.001)
    y = np.clip((down + 1) * (SIDE / 2) - 0.5, 0, SIDE - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= column
    y -= row
    place = (np.arange(len(thumbnails), dtype=np.int32) * (SIDE * SIDE))[:, np.newaxis] + row * SIDE + column
    flat = thumbnails.reshape(-1)
    upper_left, upper_right = flat.take(place), flat.take(place + 1)
    lower_left, lower_right = flat.take(place + SIDE), flat.take(place + (SIDE + 1))
    upper = upper_left + (upper_right - upper_left) * x
    lower = lower_left + (lower_right - lower_left) * x
    to_right = (upper_right - upper_left) * (1 - y) + (lower_right - lower_left) * y
    half = SIDE / 2
    return upper + (lower - upper) * y, to_right * half, (lower - upper) * half, inside.astype(np.float32)


def _moves() -> Floats:
    """What leads from halved thumbnails, shape (cells,), to those from all starts, shape (starts · cells,)."""
    cells = (SIDE // 2) ** 2
    units = np.eye(cells, dtype=np.float32).reshape(cells, SIDE // 2, SIDE // 2)
    enlarged = units.repeat(2, axis=1).repeat(2, axis=2)
    moved = [_sampled(enlarged, np.broadcast_to(start, (cells, 6)))[0].reshape(cells, SIDE, SIDE) for start in _STARTS]
    return np.concatenate([_halved(one).reshape(cells, cells) for one in moved], axis=1)


_MOVES = _moves()
