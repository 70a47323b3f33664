"""The view that a network has of each place of a picture: vectors whose sum is the picture's feature.

The features of most networks are the mean of their last map over all places, so that each place has its exact share in
whatever is linear in them. Of several networks, or views, the places of all of them together make the feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cbir.backbones.catalog import BUNDLED
from cbir.engines.lazy import LazyEngine
from cbir.errors import ModelError
from cbir.images.fit import Extent, scaled
from cbir.images.fitted import Framing
from cbir.images.large import MULTIPLE
from cbir.utils.vectors import Floats

#: Times the side that a network was trained on, for small things: places are as much smaller.
FINE = 2

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Pane:
    """The grid of a map over a picture: `rows` × `columns` places, which fill its `extent`, in shares of its sides.

    `network` is whose map it is. Its places begin at `first` of all, and have their numbers in `channels` of vectors.
    Each counts by `weight` in the network's feature.
    """

    network: str
    rows: int
    columns: int
    extent: Extent
    first: int
    channels: slice
    weight: float

    @property
    def places(self) -> slice:
        """Its places among all."""
        return slice(self.first, self.first + self.rows * self.columns)

    def box(self, place: int) -> Extent:
        """Return the extent of one of all places, in shares of the picture's sides."""
        row, column = divmod(place - self.first, self.columns)
        left, top, right, bottom = self.extent
        across, down = (right - left) / self.columns, (bottom - top) / self.rows
        x, y = left + column * across, top + row * down
        return x, y, x + across, y + down


@dataclass(frozen=True)
class Look:
    """A picture as a backbone sees it: `vectors` of n places, shape (n, dimension), whose sum is its feature.

    That has length 1, and `length` before. `panes` say where places are.
    """

    panes: tuple[Pane, ...]
    vectors: Floats
    length: float

    @property
    def feature(self) -> Floats:
        """The feature, shape (dimension,), of length 1."""
        return np.asarray(self.vectors.sum(axis=0), dtype=np.float32)

    def of_first(self) -> tuple[slice, Floats]:
        """Return the first network's places, and their vectors, whose sum is its feature as it made it."""
        panes = [pane for pane in self.panes if pane.network == self.panes[0].network]
        places = slice(0, panes[-1].places.stop)
        return places, self.vectors[places, self.panes[0].channels] * np.float32(self.length)

    def pane_of(self, place: int) -> Pane:
        """Return the pane that a place is of."""
        return next(pane for pane in self.panes if place < pane.places.stop)

    def box(self, place: int) -> Extent:
        """Return where a place is, in shares of the picture's sides."""
        return self.pane_of(place).box(place)

    @property
    def densities(self) -> Floats:
        """The weight of each place, shape (n,): what its share would be if all places were alike."""
        networks = len({pane.network for pane in self.panes})
        found = [np.full(pane.rows * pane.columns, pane.weight / networks, dtype=np.float32) for pane in self.panes]
        return np.concatenate(found)

    def without(self, mean: Floats) -> Floats:
        """Return the vectors with a mean, shape (dimension,), taken off their sum, each place's own part of it."""
        found = self.vectors.copy()
        for pane in self.panes:
            found[pane.places, pane.channels] -= mean[pane.channels] * np.float32(pane.weight)
        return found


class Looker:
    """Looks at pictures with a backbone, which is loaded at the first one."""

    def __init__(self, engine: LazyEngine) -> None:
        self.engine = engine

    def at_least(self, times: float = 1) -> int:
        """Return how many pixels a picture's shorter side should keep where it is decoded at a reduced size."""
        return round((self.engine.backbone.view.at_least(None) or 0) * times)

    def look(self, image: Image.Image, box: Extent | None = None, times: float = 1) -> Look:
        """Look at an RGB picture, which fills the `box` of `image`, at so many times the side of each network.

        Sides are multiples of 32. ModelError where a network's features are no mean of a map.
        """
        backbone = self.engine.backbone
        extent: Extent = box or (0.0, 0.0, float(image.width), float(image.height))
        size = extent[2] - extent[0], extent[3] - extent[1]
        panes: list[Pane] = []
        of_networks: list[list[Floats]] = []
        first, channel = 0, 0
        for member in self.engine.members:
            side = max(round(member.backbone.preprocessing.crop * times / MULTIPLE), 1) * MULTIPLE
            preprocessing = scaled(member.backbone.preprocessing, side)
            its = []
            for is_squashed in (False, True)[: backbone.views]:
                framing = Framing(preprocessing, is_squashed)
                map_ = _last_map(member, framing, image, extent)
                channels, rows, columns = map_.shape
                weight = 1 / (rows * columns * backbone.views)
                its.append(map_.reshape(channels, -1).T * np.float32(weight))
                where = slice(channel, channel + channels)
                panes.append(Pane(member.backbone.name, rows, columns, framing.covered(size), first, where, weight))
                first += rows * columns
            channel += its[0].shape[1]
            of_networks.append(its)
        return _joined(panes, of_networks)


def _last_map(member: LazyEngine, framing: Framing, image: Image.Image, box: Extent) -> Floats:
    try:
        return np.asarray(member.opened().last_map(framing.of(image, box)[np.newaxis])[0], dtype=np.float32)
    except ModelError as error:
        raise ModelError(
            f"No place of a picture has its own share in what {member.backbone.name} makes of it ({error}) Use an "
            f"index by another network, such as {BUNDLED}."
        ) from error


def _joined(panes: Sequence[Pane], of_networks: Sequence[Sequence[Floats]]) -> Look:
    """Join the places of networks as `engines.joined.join` does their features."""
    lengths = [max(float(np.linalg.norm(sum(one.sum(axis=0) for one in its))), _TINY) for its in of_networks]
    scales = [lengths[0] / length for length in lengths]
    length = lengths[0] * float(np.sqrt(len(lengths)))
    vectors = np.zeros((panes[-1].places.stop, panes[-1].channels.stop), dtype=np.float32)
    found = [(one, scale) for its, scale in zip(of_networks, scales, strict=True) for one in its]
    for pane, (one, scale) in zip(panes, found, strict=True):
        vectors[pane.places, pane.channels] = one * np.float32(scale / length)
    return Look(tuple(panes), vectors, length)
