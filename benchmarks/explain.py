"""Point 25: whether `cbir explain` shows what two pictures have in common, and how long it takes.

A photo is pasted, in a quarter or a seventh of its area, into one of another class; the match is a third photo of the
pasted one's class. What speaks for the likeness should then be within the pasted photo: as much of it as possible, and
the place with most of it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks import reranking
from benchmarks.features import collection
from benchmarks.harness import Settings
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.engines.lazy import LazyEngine
from cbir.explain.explainer import Explainer, Shares
from cbir.explain.likeness import Likeness, centred
from cbir.explain.looks import FINE, Look, Looker
from cbir.explain.units import Unit, Units
from cbir.extract.extractor import Extractor
from cbir.images.safely import open_image
from cbir.search.centre import Centre
from cbir.utils.vectors import Floats

SEED = 31

#: Pixels of the side of what the network sees, and of the picture around it, of which it leaves out the border.
_SEEN, _WHOLE = 224, 256

#: Pictures whose mean is taken off.
_MEAN_OF = 400


class Pasted(NamedTuple):
    """A picture into which a photo was pasted, where it is in what the network sees, in shares, and a match."""

    image: Image.Image
    box: tuple[float, float, float, float]
    match: Image.Image


def run(settings: Settings) -> Iterator[Result]:
    """Look at pasted photos in two sizes, and measure."""
    folder = settings.shared / "photos"
    if not folder.is_dir():
        yield noted(25, "explain", 0, "pictures", f"{folder} is not there: explanations are not measured")
        return
    engine = LazyEngine(describe(BUNDLED))
    looker = Looker(engine)
    photos = sorted(folder.glob("*/*.jpg"))
    some = photos[:: max(1, len(photos) // _MEAN_OF)]
    mean_of_all = Centre.of(Extractor(BUNDLED, engine=engine).encode(some), len(some)).mean
    count = settings.pick(80, 20)
    for key, side, times in (("quarter", 112, 1), ("seventh", 84, FINE)):
        shares, points, errors = [], [], []
        for pasted in _pasted(photos, side, count):
            query, match = looker.look(pasted.image, times=times), looker.look(pasted.match)
            raw = Likeness(query.vectors, match.vectors)
            likeness = Likeness(centred(query, mean_of_all), centred(match, mean_of_all))
            of_query = Shares(raw.of_query, likeness.of_query).above(query)
            errors += [_error(raw), _error(likeness)]
            inside, pointed = _within(query, of_query, pasted.box)
            shares.append(inside)
            points.append(pointed)
        yield measured(f"explain-{key}-share", mean(shares), f"{count} pictures, {side} of {_SEEN} pixels", raw=shares)
        yield measured(f"explain-{key}-pointing", mean(points), raw=points)
        yield measured(f"explain-{key}-sum", max(errors))
    yield measured("explain-time", median(raw := _seconds(engine, some[:21], fine=False)), raw=raw)
    raw = _seconds(engine, some[:11], fine=True)
    yield noted(25, "the same with --fine", median(raw), "s", raw=raw)
    yield measured("explain-units", median(raw := _seconds_of_units(settings, engine, photos)), raw=raw)


def _seconds(engine: LazyEngine, photos: list[Path], *, fine: bool) -> list[float]:
    """The seconds that each match of a query takes, read and decoded."""
    explainer = Explainer(engine, fine=fine)
    seen = explainer.see(photos[0])
    seconds = []
    for photo in photos[1:]:
        began = time.perf_counter()
        explainer.explain(seen, explainer.see(photo))
        seconds.append(time.perf_counter() - began)
    return seconds


def _seconds_of_units(settings: Settings, engine: LazyEngine, photos: list[Path]) -> list[float]:
    """The seconds that it takes to find the nine pictures of 2,000 with the most of a channel, and the places there."""
    index = reranking.make_index(settings.scratch / "units", collection(2_000, 1280))
    units = Units(index, engine)
    seconds = []
    for channel in range(0, 1280, 256):
        began = time.perf_counter()
        (found,) = units.exciting([Unit(channel=channel)], 9)
        for one in found:  # of photos, that they can be looked at
            image = open_image(photos[one.row % len(photos)])
            units.place(Unit(channel=channel), units.look(image), image.size)
        seconds.append(time.perf_counter() - began)
    return seconds


def _error(likeness: Likeness) -> float:
    """The most by which sums of shares miss the product of the pictures' vectors."""
    sums = (likeness.of_query.sum(), likeness.of_match.sum(), likeness.pairs.sum())
    return max(abs(float(one) - likeness.score) for one in sums)


def _within(look: Look, shares: Floats, box: tuple[float, float, float, float]) -> tuple[float, float]:
    """The part of what is positive that is within a box, in shares of what is seen, and whether the most of it is."""
    (pane,) = look.panes
    grid = np.maximum(shares, 0).reshape(pane.rows, pane.columns)
    covers = [
        np.clip(np.minimum(high * n, np.arange(1, n + 1)) - np.maximum(low * n, np.arange(n)), 0, 1)
        for low, high, n in ((box[1], box[3], pane.rows), (box[0], box[2], pane.columns))
    ]
    inside = float((grid * np.outer(*covers)).sum() / max(grid.sum(), 1e-12))
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    x, y = (column + 0.5) / pane.columns, (row + 0.5) / pane.rows
    return inside, float(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def _pasted(photos: list[Path], side: int, count: int) -> Iterator[Pasted]:
    """The same pictures on every run, of as many classes as there are."""
    drawn = random.Random(SEED)
    by_class: dict[str, list[Path]] = {}
    for path in photos:
        by_class.setdefault(path.parent.name, []).append(path)
    names = [name for name, its in sorted(by_class.items()) if len(its) > 1]
    for number in range(count):
        name = names[number % len(names)]
        other = drawn.choice([one for one in names if one != name])
        thing, match = drawn.sample(by_class[name], 2)
        image = _square(drawn.choice(by_class[other]), _WHOLE)
        edge = (_WHOLE - _SEEN) // 2
        x, y = (drawn.randint(0, _SEEN - side) for _ in range(2))
        image.paste(_square(thing, side), (edge + x, edge + y))
        box = (x / _SEEN, y / _SEEN, (x + side) / _SEEN, (y + side) / _SEEN)
        yield Pasted(image, box, _square(match, _WHOLE))


def _square(path: Path, side: int) -> Image.Image:
    image = Image.open(path).convert("RGB")
    shorter = min(image.size)
    left, top = (image.width - shorter) // 2, (image.height - shorter) // 2
    return image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + shorter, top + shorter))
