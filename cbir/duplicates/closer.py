"""A closer look at two pictures that their thumbnails take for the same: is it the same in detail?

At 32 × 32 pixels, pages of text, chats and screenshots of one layout are hardly different. At 256 their lines and
letters are: block by block, what is sharp in one must be in the other. The pictures are laid over each other as their
thumbnails were, which is then made exact.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from cbir.utils.vectors import Floats

#: Pixels of the longer side.
SIDE = 256

_BLOCK = 16  # pixels of a block's sides
_SOFT = 3  # what is left when the mean of the pixels up to so far away is taken off is its detail

#: The least standard deviation, in grey levels, of the detail of a block that has any.
_SHARP = 8.0

#: A picture of which that share is flat is taken for a page, a screenshot or a drawing, which must agree everywhere.
_DRAWN = 0.25

# Correlations of blocks that agree, and the largest share of those that may not: of pages, and of photos. These have
# textures that JPEG washes out, and others have laid marks and stickers over them.
_PAGE_AGREES, _PAGE_DIFFERS = 0.85, 0.27
_PHOTO_AGREES, _PHOTO_DIFFERS = 0.7, 0.8

_FEWEST_BLOCKS = 4  # fewer say nothing

_NEARLY = 0.03  # in half sides: a map that is so close to none is taken for none
_SCALE = 1.2  # the larger picture is made smaller if it is that much larger
_CELL = 7  # pixels of the sides of cells, of each of which the pixel with the steepest slope is a point to lay by
# how much smaller, how many steps, and after how short a one, in half sides, there is no other
_LEVELS = ((4, 4, 4e-3), (1, 5, 1.5e-3))


class Look:
    """A grey picture (L) of at most SIDE pixels a side, and what is needed to compare it."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.width, self.height = image.size

    @classmethod
    def of(cls, image: Image.Image) -> Look:
        """Return a picture of any size."""
        grey = image.convert("L")
        return cls(grey).scaled(min(1.0, SIDE / max(grey.size)))

    @cached_property
    def detail(self) -> Image.Image:
        """The detail that blurring takes away, around 128."""
        blurred = self.image.filter(ImageFilter.BoxBlur(_SOFT))
        rest = np.asarray(self.image, dtype=np.int16) - np.asarray(blurred, dtype=np.int16)
        return Image.fromarray(np.clip(rest + 128, 0, 255).astype(np.uint8))

    @cached_property
    def flat(self) -> float:
        """The share of pixels that hardly differ from those beside and below them."""
        grey = np.asarray(self.image, dtype=np.int16)
        if min(grey.shape) < 2:
            return 1.0
        beside, below = np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1]
        return float(((beside <= 2) & (below <= 2)).mean())

    @cached_property
    def levels(self) -> list[_Level]:
        """The picture as `_laid` uses it, smaller first."""
        return [_Level(self.image, smaller) for smaller, _, _ in _LEVELS]

    def scaled(self, factor: float) -> Look:
        """Return the picture in another size."""
        if factor == 1:
            return self
        size = max(1, round(self.width * factor)), max(1, round(self.height * factor))
        return Look(self.image.resize(size, Image.Resampling.BILINEAR))


class _Level:
    """A picture, smaller and a little blurred, and its points: steep places all over it.

    `columns` has for each point its value, 1, and how the value changes with each number of an affine map.
    """

    def __init__(self, image: Image.Image, smaller: int) -> None:
        if smaller > 1:
            image = image.reduce(smaller)
        self.grey = np.asarray(image.filter(ImageFilter.GaussianBlur(1)), dtype=np.float32)
        height, width = self.grey.shape
        across, down = np.zeros_like(self.grey), np.zeros_like(self.grey)
        across[:, 1:-1] = (self.grey[:, 2:] - self.grey[:, :-2]) / 2
        down[1:-1] = (self.grey[2:] - self.grey[:-2]) / 2
        cell = _CELL if smaller == 1 else 2
        rows, columns = height // cell, width // cell
        steep = (across**2 + down**2)[: rows * cell, : columns * cell]
        cells = steep.reshape(rows, cell, columns, cell).swapaxes(1, 2).reshape(rows, columns, cell * cell)
        best = cells.argmax(axis=2)
        y = (np.arange(rows)[:, np.newaxis] * cell + best // cell).ravel()
        x = (np.arange(columns) * cell + best % cell).ravel()
        chosen = cells.max(axis=2).ravel() >= 1
        y, x = y[chosen], x[chosen]
        self.across = ((x + 0.5) / width * 2 - 1).astype(np.float32)
        self.down = ((y + 0.5) / height * 2 - 1).astype(np.float32)
        slopes = across[y, x] * (width / 2), down[y, x] * (height / 2)
        ones = np.ones_like(self.across)
        moves = [slope * by for slope in slopes for by in (ones, self.across, self.down)]
        self.columns = np.stack([self.grey[y, x], ones, *moves], axis=1)

    def at(self, across: Floats, down: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Its values at places, in half sides from the middle, and which of these it has."""
        height, width = self.grey.shape
        inside = (np.abs(across) <= 1) & (np.abs(down) <= 1)
        x: Floats = np.clip((across + 1) * (width / 2) - 0.5, 0, width - 1.001)
        y: Floats = np.clip((down + 1) * (height / 2) - 0.5, 0, height - 1.001)
        column, row = x.astype(np.int32), y.astype(np.int32)
        x -= column
        y -= row
        place, flat = row * width + column, self.grey.ravel()
        below = min(1, height - 1) * width
        upper = flat.take(place) * (1 - x) + flat.take(place + min(1, width - 1)) * x
        lower = flat.take(place + below) * (1 - x) + flat.take(place + below + min(1, width - 1)) * x
        return upper * (1 - y) + lower * y, inside


def agreement(one: Look, other: Look, map_: Floats) -> float | None:
    """Measure how much two pictures agree in detail: from 0, for different ones, to 1.

    `map_` leads from places in the first to those in the other. None where they are too small or have too little detail
    to tell.
    """
    if abs(map_[1] * map_[5] - map_[2] * map_[4]) < 0.1:
        return None  # it leads from a whole picture to hardly more than a line
    if one.width * one.height > other.width * other.height:
        one, other, map_ = other, one, _inverse(map_)
    larger = max(other.width, other.height) / max(one.width, one.height, 1)
    if larger > _SCALE:
        other = other.scaled(1 / larger)
    is_page = min(one.flat, other.flat) >= _DRAWN
    agrees, most = (_PAGE_AGREES, _PAGE_DIFFERS) if is_page else (_PHOTO_AGREES, _PHOTO_DIFFERS)
    plain = np.array([0, np.sign(map_[1]), 0, 0, 0, np.sign(map_[5])], dtype=np.float32)
    nearly = np.abs(map_ - plain).max() < _NEARLY
    differing = _differing(one, other, plain if nearly else map_, agrees)
    if differing is None:
        return None
    if differing > most / 2:
        exact = _differing(one, other, _laid(one, other, map_), agrees)
        differing = differing if exact is None else min(differing, exact)
    return max(0.0, 1 - differing / most)


def _differing(one: Look, other: Look, map_: Floats, agrees: float) -> float | None:
    """Return the share of blocks with detail in which two pictures differ; None where there are too few."""
    width, height = one.width // _BLOCK, one.height // _BLOCK
    if width * height < _FEWEST_BLOCKS:
        return None
    first, second = _blocks(one.detail, width, height), _blocks(_moved(other, map_, one), width, height)
    first -= first.mean(axis=1, keepdims=True)
    second -= second.mean(axis=1, keepdims=True)
    its, others, common = (np.einsum("bp,bp->b", a, b) for a, b in ((first, first), (second, second), (first, second)))
    inside = _inside(one, map_, width, height)
    # what is brighter or has less contrast has less detail everywhere
    gain = np.sqrt(max(float(others[inside].sum()), 1e-6) / max(float(its[inside].sum()), 1e-6))
    noise = 4.0 * _BLOCK**2
    sharp = inside & (np.maximum(its, others / gain**2) > _SHARP**2 * _BLOCK**2)
    if sharp.sum() < _FEWEST_BLOCKS:
        return None
    correlation = common / gain / np.sqrt(its * others / gain**2 + noise * _BLOCK**2)
    return float((correlation[sharp] < agrees).mean())


def _blocks(image: Image.Image, width: int, height: int) -> Floats:
    pixels = np.asarray(image, dtype=np.float32)[: height * _BLOCK, : width * _BLOCK]
    return pixels.reshape(height, _BLOCK, width, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK * _BLOCK)


def _inside(one: Look, map_: Floats, width: int, height: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the blocks that the other picture covers as a whole."""
    across = np.arange(width + 1) * (2 * _BLOCK / one.width) - 1
    down = np.arange(height + 1)[:, np.newaxis] * (2 * _BLOCK / one.height) - 1
    has = (np.abs(map_[0] + map_[1] * across + map_[2] * down) <= 1.001) & (
        np.abs(map_[3] + map_[4] * across + map_[5] * down) <= 1.001
    )
    return np.asarray(has[1:, 1:] & has[1:, :-1] & has[:-1, 1:] & has[:-1, :-1]).ravel()


def _moved(other: Look, map_: Floats, one: Look) -> Image.Image:
    """Return the detail of a picture where it lies over another one."""
    u, ux, uy, v, vx, vy = map(float, map_)
    size = one.width, one.height
    if (other.width, other.height) == size and (u, uy, v, vx, vy) == (0, 0, 0, 0, 1) and abs(ux) == 1:
        return other.detail if ux > 0 else other.detail.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    across, down = other.width / 2, other.height / 2
    numbers = (
        *(ux * 2 * across / one.width, uy * 2 * across / one.height, (u - ux - uy + 1) * across),
        *(vx * 2 * down / one.width, vy * 2 * down / one.height, (v - vx - vy + 1) * down),
    )
    return other.detail.transform(size, Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR, fillcolor=128)


def _inverse(map_: Floats) -> Floats:
    square = np.linalg.inv(np.array([map_[[1, 2, 0]], map_[[4, 5, 3]], [0, 0, 1]], dtype=np.float64))
    return square[:2][:, [2, 0, 1]].ravel().astype(np.float32)


def _laid(one: Look, other: Look, map_: Floats) -> Floats:
    """Return a map made exact by Gauss-Newton steps on the points of `one` (Baker and Matthews 2004).

    Points that do not fit, as those under a mark that somebody laid over a picture, count little.
    """
    for (_, steps, arrived), its, others in zip(_LEVELS, one.levels, other.levels, strict=True):
        if len(its.columns) < 20:
            continue
        for _ in range(steps):
            moved = _step(its, others, map_)
            if moved is None:
                break
            map_, length = moved
            if length < arrived:
                break
    return map_


def _step(one: _Level, other: _Level, map_: Floats) -> tuple[Floats, float] | None:
    """Return a better map, and how far it is from the last; None where nothing comes of it."""
    across = map_[0] + map_[1] * one.across + map_[2] * one.down
    down = map_[3] + map_[4] * one.across + map_[5] * one.down
    values, inside = other.at(across, down)
    if inside.sum() < max(20, len(inside) // 3):
        return None
    # the points whose values a line from one's to the other's does not explain count little
    its, weights = one.columns[:, 0], inside.astype(np.float32)
    for _ in range(2):
        rest = np.abs(values - _line(its, values, weights))
        usual = max(1.0, 2 * float(np.median(rest)))
        weights = inside / (1 + (rest / usual) ** 2)
    weighted = one.columns * weights[:, np.newaxis]
    square = weighted.T @ one.columns
    square[2:, 2:] += np.eye(6, dtype=np.float32) * (np.trace(square[2:, 2:]) / 6 * 1e-3 + 1e-6)
    try:
        found = np.linalg.solve(square, weighted.T @ values)
    except np.linalg.LinAlgError:
        return None
    if abs(found[0]) < 1e-3:
        return None
    step = np.clip(found[2:] / found[0], -0.1, 0.1)
    square_map = np.array([map_[[1, 2, 0]], map_[[4, 5, 3]], [0, 0, 1]], dtype=np.float64)
    # the other's value at a place is that of one a step further: so the place of one is where the other is a step back
    stepped = np.array([[1 + step[1], step[2], step[0]], [step[4], 1 + step[5], step[3]], [0, 0, 1]])
    if abs(np.linalg.det(stepped)) < 0.1:
        return None
    result = square_map @ np.linalg.inv(stepped)
    return result[:2][:, [2, 0, 1]].ravel().astype(np.float32), float(np.abs(step).max())


def _line(its: Floats, values: Floats, weights: Floats) -> Floats:
    """Map `its` by the straight line that brings it closest to `values`."""
    whole = max(float(weights.sum()), 1e-6)
    its = its - float(weights @ its) / whole
    slope = float(weights @ (its * values)) / max(float(weights @ (its * its)), 1e-6)
    return np.asarray(its * slope + float(weights @ values) / whole, dtype=np.float32)
