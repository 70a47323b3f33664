"""The pictures that excite a unit of a network: those of an index with the most of a channel, or of a class, and where.

An index keeps the mean of each channel over all places of a picture, its feature, and the classes that the network
sees: which pictures are first is told from these at once. Only of those is looked at the map again, for the place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cbir.backbones.head import open_classifier
from cbir.backbones.imagenet import CLASSES, ImageNetClass
from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError
from cbir.explain.looks import Look, Looker
from cbir.images.regions import Box
from cbir.index.store import Index
from cbir.utils.vectors import Floats
from cbir.words.of_index import classes_of

#: Cells along the side of the box around a unit's place: 96 pixels of the input of most networks. What a cell looks at
#: lies within about as much; the field that it could see is larger than the picture (docs/fields.md).
_CELLS = 3

_TINY = 1e-12


@dataclass(frozen=True)
class Unit:
    """A channel of the last map, by its number, or a class of ImageNet."""

    channel: int | None = None
    class_: ImageNetClass | None = None

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"channel {self.channel}" if self.class_ is None else self.class_.name


@dataclass(frozen=True)
class Excited:
    """A row whose picture excites a unit: a class's probability, or how much of the feature a channel has."""

    row: int
    value: float


class Units:
    """The units of an index's network, whatever it sees in the index's pictures."""

    def __init__(self, index: Index, engine: LazyEngine) -> None:
        self._index = index
        self._looker = Looker(engine)
        self._engine = engine

    def check(self, unit: Unit) -> None:
        """Raise CbirError where the network has no such channel, or the index no classes."""
        if unit.channel is not None and not 0 <= unit.channel < self._index.dimension:
            raise CbirError(
                f"There is no channel {unit.channel}: features of {self._index.directory.name} have the channels 0 to "
                f"{self._index.dimension - 1}."
            )
        if unit.class_ is not None:
            classes_of(self._index)

    def exciting(self, units: Sequence[Unit], count: int, *, without: Sequence[int] = ()) -> list[list[Excited]]:
        """Find the rows that excite each unit most, at most so many, the first most; some rows are left out.

        Raises what `check` does.
        """
        for unit in units:
            self.check(unit)
        channels = [unit.channel for unit in units if unit.channel is not None]
        of_channels = iter(self._values(channels).T if channels else ())
        found = []
        for unit in units:
            values = next(of_channels) if unit.class_ is None else self._probabilities(unit.class_.number)
            values[list(without)] = 0
            order = np.lexsort((np.arange(len(values)), -values))[:count]
            found.append([Excited(int(row), float(values[row])) for row in order if values[row] > 0])
        return found

    def excited_by(self, look: Look, count: int) -> list[tuple[Unit, float]]:
        """Find the channels that a picture excites most, and by how many standard deviations above the index's mean."""
        total = np.zeros(self._index.dimension, dtype=np.float64)
        squares, rows = total.copy(), 0
        for first, chunk in self._index.chunks():
            some = chunk[self._index.comparable[first : first + len(chunk)]]
            total += some.sum(axis=0)
            squares += np.einsum("ij,ij->j", some, some)
            rows += len(some)
        mean = total / max(rows, 1)
        deviation = np.sqrt(np.maximum(squares / max(rows, 1) - mean**2, 0))
        # a channel that is silent in the index would be excited by anything
        usual = max(float(np.median(deviation)), _TINY)
        above = (look.feature - mean) / np.maximum(deviation, usual)
        order = np.argsort(-above, kind="stable")[:count]
        return [(Unit(channel=int(channel)), float(above[channel])) for channel in order if above[channel] > 0]

    def look(self, image: Image.Image) -> Look:
        """Look at an upright RGB picture. ModelError where places of the network have no shares."""
        return self._looker.look(image)

    def place(self, unit: Unit, look: Look, size: tuple[int, int]) -> Box:
        """Return the box around the place that excites a unit most, in pixels of the picture, which has that size."""
        if unit.class_ is None:
            assert unit.channel is not None
            activation = look.vectors[:, unit.channel]
            panes = [pane for pane in look.panes if pane.channels.start <= unit.channel < pane.channels.stop]
            places = range(panes[0].places.start, panes[-1].places.stop)
        else:
            shares = np.zeros(CLASSES, dtype=np.float32)
            shares[unit.class_.number] = 1
            direction, _ = open_classifier(self._engine.backbone).direction(shares)
            of_first, vectors = look.of_first()
            activation, places = vectors @ direction, range(of_first.stop)
        best = max(places, key=lambda place: float(activation[place]))
        pane = look.pane_of(best)
        left, top, right, bottom = pane.box(best)
        x, y = (left + right) / 2 * size[0], (top + bottom) / 2 * size[1]
        width, height = ((right - left) * _CELLS * size[0], (bottom - top) * _CELLS * size[1])
        across = round(max(x - width / 2, 0)), round(min(x + width / 2, size[0]))
        down = round(max(y - height / 2, 0)), round(min(y + height / 2, size[1]))
        return Box(across[0], down[0], max(across[1] - across[0], 1), max(down[1] - down[0], 1))

    def _values(self, channels: Sequence[int]) -> Floats:
        """Return the numbers of some channels, shape (rows, len(channels)), 0 of rows that do not count."""
        found = np.zeros((self._index.rows, len(channels)), dtype=np.float32)
        for first, chunk in self._index.chunks():
            found[first : first + len(chunk)] = chunk[:, list(channels)]
        found[~self._index.comparable] = 0
        return found

    def _probabilities(self, number: int) -> Floats:
        """Return the probability of a class in each row, shape (rows,), 0 where it is not among the likeliest."""
        classes = classes_of(self._index)
        found = np.where(classes.numbers == number, classes.probabilities.astype(np.float32), 0).sum(axis=1)
        found[~(classes.known & self._index.valid)] = 0
        return np.asarray(found, dtype=np.float32)
