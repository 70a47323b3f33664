"""Locating a query's object in a picture.

Two ways with opposite strengths. By likeness: how like each place's cells of both maps are to the means of the query's,
and the box that holds most of what stands out; it finds what is of the same kind, mirrored or seen otherwise.
By template: the query's own cells of the fine map, at several sizes and also mirrored, laid upon each place; it finds
the same thing, and its edges. A template's place counts more where likeness speaks for it, too.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from cbir.backbones.backbone import Backbone
from cbir.engines.lazy import LazyEngine
from cbir.images.regions import Box, Region, RegionOption, whole
from cbir.images.safely import open_image
from cbir.images.source import ImageSource
from cbir.parts.reader import QUERY_SIDES, SIDE, Maps, PartReader, mean_of, rooted
from cbir.parts.whitening import Whitening, general
from cbir.utils.vectors import Floats, l2_normalize

#: An image, or its pixels: uint8, shape (height, width, 3).

#: Pixels of the longer side of a template, the picture's being `features.SIDE`. Those that do not fit are left out.
TEMPLATE_SIDES = (64, 96, 128, 160, 192, 224, 256, 320, 448)

#: Components of the coarse map, and the power of their variances that they are multiplied by: -0.5 would be whitening.
_COMPONENTS, _POWER = 256, -0.25

#: Heat stands out that is above the median by this part of the way to the peak.
_ABOVE = 0.3

#: Pixels that a template's cell is wide at least.
_CELL = 16

#: The fit of the smallest template at its best place in pictures without its target, and the power of sides by which
#: larger ones fit less.
_CHANCE = (0.375, 0.43)

#: The weight of likeness at a template's place, against its fit; and the least fit of a template whose place is as
#: likely as likeness's own box, which is taken otherwise.
_SUPPORT, _LEAST_FIT = 0.1, -0.05

#: The log-odds that the target is there at all: bias, and what fit and heat count.
_PRESENCE = (-4.2, 14.5, 18.7)

#: The fine map's cosines are blurred by this many of its cells, and count as much as the coarse map's.
_BLUR = 1.0


@dataclass(frozen=True)
class Template:
    """A query's cells at one size: `cells`, shape (rows, columns, channels), each counting by how much of it the region
    covers (all together 1), and width and height in pixels, of a picture at `features.SIDE`."""

    cells: Floats
    width: float
    height: float
    side: int
    is_mirrored: bool


@dataclass(frozen=True)
class Target:
    """An object to locate: the means of its cells of both maps, shapes (components,), length 1, and its templates."""

    coarse: Floats
    fine: Floats
    templates: tuple[Template, ...]


@dataclass(frozen=True)
class Candidate:
    """A place that one way found: x, y, width and height as shares of the picture's sides, and how well it fits."""

    box: tuple[float, float, float, float]
    score: float
    side: int = 0
    is_mirrored: bool = False


@dataclass(frozen=True)
class Located:
    """The place of a target in a picture: `box` in pixels, and `score` from 0 to 1.

    `heat`, shape (rows, columns) of a coarse grid over the picture, is each place's likeness to the target, from 0 to
    1.
    """

    box: Box
    score: float
    heat: Floats


class Locator:
    """Finds what one query shows in any number of pictures, with one network, which is loaded when it is needed.

    `engine` is as in `open_engine`, or one that is shared. Pictures are files, their
    bytes, streams, Pillow images or arrays. ModelError where the backbone has no maps of what is where in a picture.
    """

    def __init__(self, backbone: Backbone | str, *, engine: LazyEngine | str | None = None) -> None:
        self.reader = PartReader(backbone, engine=engine)

    @functools.cached_property
    def _whitening(self) -> Whitening | None:
        return general(self.reader.backbone)

    def target(self, picture: ImageSource, region: Region | str | None = None) -> Target:
        """Return the target that a region of a picture shows, or the whole picture.

        A region may be a box in words, such as "40,30,80,60". Raises RegionError where the picture does not have it,
        ValueError where the words are no box.
        """
        image = open_image(picture)
        if isinstance(region, str):
            region = RegionOption.parse(region).of(image, "the picture")
        region = region or whole(image)
        crop = region.crop(image)
        mirrored = ImageOps.mirror(crop)
        other = Region(region.box, None if region.mask is None else region.mask[:, ::-1])
        means: list[tuple[Floats, Floats]] = []
        templates = []
        for side in TEMPLATE_SIDES:
            for picture, its in ((crop, region), (mirrored, other)):
                maps = self.reader.maps(picture, side)
                if side in QUERY_SIDES:  # mirrored it is the same thing
                    means.append((rooted(mean_of(maps.coarse, its)), l2_normalize(mean_of(maps.fine, its))))
                templates.append(self._template(maps, its, side, is_mirrored=its is other))
        coarse, fine = (l2_normalize(np.mean(one, axis=0, dtype=np.float32)) for one in zip(*means, strict=True))
        return Target(self._coarse(coarse[np.newaxis])[0], self._fine(fine[np.newaxis])[0], tuple(templates))

    def locate(self, target: Target, picture: ImageSource) -> Located:
        """Find the most likely place of `target` in a picture. Raises ImageReadError."""
        image = open_image(picture)
        maps = self.reader.maps(image)
        cells = self._cells(maps, SIDE)
        heat = self.heat(target, maps, cells)
        found = choose(heat, self.by_template(target, cells, image.size))
        x, y, width, height = found.box
        left, top = round(x * image.width), round(y * image.height)
        right, bottom = round((x + width) * image.width), round((y + height) * image.height)
        left, top = min(max(left, 0), image.width - 1), min(max(top, 0), image.height - 1)
        right, bottom = min(max(right, left + 1), image.width), min(max(bottom, top + 1), image.height)
        return Located(Box(left, top, right - left, bottom - top), found.score, np.clip(heat, 0, 1))

    def heat(self, target: Target, maps: Maps, cells: Floats) -> Floats:
        """Return the mean of both maps' cosines with the target's means, on the fine map's grid: shape (rows, columns).

        `cells` are those of `_cells`.
        """
        from scipy.ndimage import gaussian_filter

        channels, rows, columns = maps.coarse.shape
        coarse = self._coarse(rooted(maps.coarse.reshape(channels, -1).T)) @ target.coarse
        size = (cells.shape[1], cells.shape[0])
        enlarged = Image.fromarray(coarse.reshape(rows, columns)).resize(size, Image.Resampling.BILINEAR)
        fine = gaussian_filter(cells @ target.fine, _BLUR)
        return np.asarray((np.asarray(enlarged) + fine) / 2, dtype=np.float32)

    def by_template(self, target: Target, cells: Floats, size: tuple[int, int]) -> list[Candidate]:
        """Find the place where each template fits best, of those that fit.

        `cells` are those of `_cells`, and `size` is the picture's width and height.
        """
        rows, columns = cells.shape[:2]
        scale = SIDE / max(size)
        across, down = size[0] * scale, size[1] * scale
        found = []
        for template in target.templates:
            height, width = template.cells.shape[:2]
            if height > rows or width > columns:
                continue
            products = cells.reshape(rows * columns, -1) @ template.cells.reshape(height * width, -1).T
            products = products.reshape(rows, columns, height, width)
            one, two, three, four = products.strides
            # the place (y, x) has the sum over (i, j) of the products of the picture's cell (y + i, x + j) and (i, j)
            placed = np.lib.stride_tricks.as_strided(
                products,
                (rows - height + 1, columns - width + 1, height, width),
                (one, two, one + three, two + four),
                writeable=False,
            ).sum(axis=(2, 3))
            y, x = np.unravel_index(int(placed.argmax()), placed.shape)
            share = width / columns, height / rows
            own = min(template.width / across, 1.0), min(template.height / down, 1.0)
            # the cells are whole and the region is not: its middle is theirs
            left = min(max(x / columns + (share[0] - own[0]) / 2, 0.0), 1 - own[0])
            top = min(max(y / rows + (share[1] - own[1]) / 2, 0.0), 1 - own[1])
            found.append(Candidate((left, top, *own), float(placed[y, x]), template.side, template.is_mirrored))
        return found

    def _template(self, maps: Maps, region: Region, side: int, *, is_mirrored: bool) -> Template:
        cells = self._cells(maps, side)
        shares = region.cover(*cells.shape[:2])
        width, height = region.box[2:]
        scale = side / max(width, height)
        return Template(
            np.asarray(cells * (shares / shares.sum())[..., np.newaxis], dtype=np.float32),
            width * scale,
            height * scale,
            side,
            is_mirrored,
        )

    def _coarse(self, vectors: Floats) -> Floats:
        """Cells of the coarse map, shape (n, channels), of length 1, by their first components."""
        if self._whitening is None:
            return l2_normalize(vectors)
        directions = self._whitening.coarse_directions[:, :_COMPONENTS]
        scales = self._whitening.coarse_variances[:_COMPONENTS] ** _POWER
        return l2_normalize((vectors - self._whitening.coarse_mean) @ (directions * scales))

    def _fine(self, vectors: Floats) -> Floats:
        """Cells of the fine map, shape (n, channels), of length 1, by their components."""
        if self._whitening is None:
            return vectors
        scales = self._whitening.fine_variances**_POWER
        return l2_normalize((vectors - self._whitening.fine_mean) @ (self._whitening.fine_directions * scales))

    def _cells(self, maps: Maps, side: int) -> Floats:
        """Return the fine map's cells, shape (rows, columns, components), of length 1; `side` is the picture's there.

        Cells of less than _CELL pixels are taken together: a network's map may be so fine that it would take seconds.
        """
        fine = maps.fine
        together = max(1, round(max(fine.shape[1:]) * _CELL / side))
        if together > 1:
            rows, columns = (max(length // together, 1) for length in fine.shape[1:])
            fine = fine[:, : rows * together, : columns * together]
            fine = fine.reshape(len(fine), rows, together, columns, together).mean(axis=(2, 4))
        channels, rows, columns = fine.shape
        return self._fine(l2_normalize(fine.reshape(channels, -1).T)).reshape(rows, columns, -1)


def by_likeness(heat: Floats) -> Candidate:
    """Return the box that holds most of what stands out of `heat`, shape (rows, columns)."""
    excess = standing_out(heat)
    # of each pair of lines the sums down, and of these the best run across: the largest prefix less the least before
    prefix = np.zeros((excess.shape[0] + 1, excess.shape[1] + 1), dtype=np.float32)
    prefix[1:, 1:] = excess.cumsum(axis=0).cumsum(axis=1)
    first, last = np.triu_indices(len(prefix), 1)
    sums = prefix[last] - prefix[first]
    gains = sums - np.minimum.accumulate(sums, axis=1)
    pair, right = np.unravel_index(int(gains.argmax()), gains.shape)
    left = int(sums[pair, : right + 1].argmin())
    top, bottom = int(first[pair]), int(last[pair])
    rows, columns = heat.shape
    box = (left / columns, top / rows, (int(right) - left) / columns, (bottom - top) / rows)
    return Candidate(box, float(heat.max() - np.median(heat)))


def standing_out(heat: Floats) -> Floats:
    """`heat` above what is ordinary in its picture."""
    middle, peak = float(np.median(heat)), float(heat.max())
    return heat - (middle + _ABOVE * (peak - middle))


def choose(heat: Floats, fitting: Sequence[Candidate]) -> Candidate:
    """One place of both ways', its score being the probability that the target is in the picture at all."""
    likely = by_likeness(heat)
    excess = standing_out(heat)
    most = max(_inside(excess, likely.box), 1e-6)
    evidence = [_SUPPORT * _inside(excess, one.box) / most + above_chance(one) for one in fitting]
    best, fit = likely, 0.0
    if evidence and max(evidence) >= _SUPPORT + _LEAST_FIT:
        best = fitting[int(np.argmax(evidence))]
        fit = above_chance(best)
    bias, of_fit, of_heat = _PRESENCE
    odds = bias + of_fit * fit + of_heat * likely.score
    return Candidate(best.box, float(1 / (1 + np.exp(-odds))), best.side, best.is_mirrored)


def above_chance(found: Candidate) -> float:
    """Return by how much a template fits better than without its target: a small one fits somewhere anyway."""
    chance, power = _CHANCE
    return float(found.score - chance * (TEMPLATE_SIDES[0] / found.side) ** power)


def _inside(excess: Floats, box: tuple[float, float, float, float]) -> float:
    """Return the sum of `excess`, shape (rows, columns), over the cells whose centres are in a box of shares."""
    x, y, width, height = box
    down = (np.arange(excess.shape[0]) + 0.5) / excess.shape[0]
    across = (np.arange(excess.shape[1]) + 0.5) / excess.shape[1]
    is_down, is_across = (y <= down) & (down <= y + height), (x <= across) & (across <= x + width)
    return float(excess[np.ix_(is_down, is_across)].sum())
