"""Reading a network's maps for the parts of a picture, and for a region that is searched by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.engines.engine import Engine
from cbir.engines.lazy import LazyEngine, lazy_engine
from cbir.images.large import network_size as network_size
from cbir.images.regions import Region
from cbir.parts.proposals import Regions
from cbir.parts.windows import Grid, grid
from cbir.utils.vectors import Floats, l2_normalize

#: Pixels of a picture's longer side when something is looked for in it.
SIDE = 640

#: Pixels of a region's longer side when it is searched by, about those of a window of an index; their mean counts.
QUERY_SIDES = (128, 160, 192)

#: The same where a whole picture is searched by, of which the thing that is meant is only a part; how far from its
#: middle that may be, as the standard deviation in its sides: most pictures have in the middle what they are about
#: (Judd, Durand and Torralba, "A Benchmark of Computational Models of Saliency to Predict Human Fixations", 2012).
_WHOLE_SIDES, _CENTRE = (128, 160, 192, 224), 0.3


@dataclass(frozen=True)
class Maps:
    """A picture's two maps (see `Engine.place_maps`): shapes (channels, rows, columns)."""

    coarse: Floats
    fine: Floats


@dataclass(frozen=True)
class Means:
    """Means of the two maps in n windows or regions, shapes (n, channels): rows of an index before the whitening."""

    coarse: Floats
    fine: Floats


class PartReader:
    """Reads parts of pictures with a backbone's first network, which is loaded when the first picture needs it.

    `engine` is as in `open_engine`, or one that is shared. Its methods raise ModelError where the backbone has no
    maps of what is where in a picture.
    """

    def __init__(self, backbone: Backbone | str, *, engine: LazyEngine | str | None = None) -> None:
        self._engine = lazy_engine(backbone, engine).first
        self.backbone = self._engine.backbone

    @property
    def engine(self) -> Engine:
        """The engine that does the work, opened now if it was not yet."""
        return self._engine.opened()

    def maps(self, image: Image.Image, side: int = SIDE) -> Maps:
        """Return the maps of an RGB picture whose longer side is brought to about `side` pixels."""
        size = network_size(image.size, side)
        pixels = np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BICUBIC))
        coarse, fine = self.engine.place_maps(pixels[np.newaxis])
        return Maps(coarse[0], fine[0])

    def parts(self, image: Image.Image) -> tuple[Grid, Means]:
        """Read windows of an upright RGB picture, and as many means, by one pass of the network."""
        windows, maps = grid(*image.size), self.maps(image)
        return windows, means_of(windows, maps)

    def region(self, image: Image.Image, region: Region | None = None) -> Means:
        """Read the means of a region as a query, of one row; without one, of the whole picture, more of its middle."""
        crop = image if region is None else region.crop(image)
        found = []
        for side in _WHOLE_SIDES if region is None else QUERY_SIDES:
            maps = self.maps(crop, side)
            means = (_central_mean(one) if region is None else mean_of(one, region) for one in (maps.coarse, maps.fine))
            found.append((rooted(next(means)), l2_normalize(next(means))))
        coarse, fine = (
            l2_normalize(np.stack(of_sides).mean(axis=0, keepdims=True)) for of_sides in zip(*found, strict=True)
        )
        return Means(coarse, fine)


def means_of(regions: Regions, maps: Maps) -> Means:
    """Return the means of an image's maps in its regions."""
    return Means(rooted(regions.means(maps.coarse)), l2_normalize(regions.means(maps.fine)))


def rooted(vectors: Floats) -> Floats:
    """Return the roots of a coarse map's numbers at length 1, so that a few strong channels do not decide alone."""
    return l2_normalize(np.asarray(np.copysign(np.sqrt(np.abs(vectors)), vectors), dtype=np.float32))


def mean_of(map_: Floats, region: Region) -> Floats:
    """Return the mean of a map of a region's box, shape (channels, rows, columns), where the region is: (channels,)."""
    return _weighted_mean(map_, region.cover(*map_.shape[1:]))


def _central_mean(map_: Floats) -> Floats:
    """Return the mean of a picture's map, shape (channels, rows, columns), that counts its middle most: (channels,)."""
    rows, columns = (
        np.exp(-(((np.arange(cells) + 0.5) / cells - 0.5) ** 2) / (2 * _CENTRE**2)) for cells in map_.shape[1:]
    )
    return _weighted_mean(map_, np.outer(rows, columns).astype(np.float32))


def _weighted_mean(map_: Floats, weights: Floats) -> Floats:
    """Return the mean of a map, shape (channels, rows, columns), with a weight for each cell, shape (rows, columns)."""
    return np.asarray(map_.reshape(len(map_), -1) @ weights.ravel() / weights.sum(), dtype=np.float32)
