"""The precision that a network is computed in: measured on this processor, when it is first converted.

bfloat16 is five times as fast with AMX for ResNet and VGG, and 2.5 times for EfficientNet-Lite, whose depthwise layers
lose more in it than anything in ResNet, though not so much that other pictures are found. So neither a table of
networks nor one of processors would do.
"""

from __future__ import annotations

import glob
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cbir.backbones.names import file_name
from cbir.engines.engine import Features, Images
from cbir.utils.cache import cache_folder, kept
from cbir.utils.vectors import l2_normalize

#: Retrieval must stay the same: the least mean cosine to float32's features, on drawn pictures, and the least share of
#: a drawn picture's ten nearest others that are still among its ten nearest. Noise on the features of photos changes
#: the mean average precision by less than .0005 down to such a mean, by .0012 at .989, .002 at .98 and .005 at .96;
#: the ten nearest of 32 agree to .955, .928, .914 and .874 then (`docs/method/precision.md`).
LEAST_MEAN_COSINE = 0.995
LEAST_AGREEMENT = 0.95

#: The least cosine to float32's features, of each drawn picture, where maps are cut up by cells (segments, regions).
LEAST_COSINE = 0.9997

#: The same of all cells of the maps that parts are read from, of which whitened means are kept in 8 bits a number:
#: in bf16 (EfficientNet-Lite0: .990 at worst) the same pictures are found (docs/method/parts.md).
LEAST_COSINE_OF_MAPS = 0.985

#: Neighbours that are compared.
_NEIGHBOURS = 10

#: Images of a batch that is timed.
_TIMED = 16

#: A precision that takes this much longer than the fastest in the first trial is not tried again.
_TOO_SLOW = 1.5

#: A race ends after the first round that takes it beyond this: all of the choice is a part of the first use's two.
_SECONDS = 0.15
_SEED = 1

# Of what was measured, as a file.
_MOST_BYTES = 64 << 10


@dataclass(frozen=True)
class Trial:
    """The measurements of one precision: cosines to float32's features, the share of nearest pictures that stay so,
    pictures a second in batches, and the seconds of all processors that a picture takes.
    """

    mean_cosine: float
    worst_cosine: float
    agreement: float
    pictures_per_second: float
    processor_seconds: float

    @property
    def finds_the_same(self) -> bool:
        """True if searches find what they find in float32."""
        return self.mean_cosine >= LEAST_MEAN_COSINE and self.agreement >= LEAST_AGREEMENT

    @property
    def keeps_maps(self) -> bool:
        """True if parts that are read from such maps are found as in float32."""
        return self.worst_cosine >= LEAST_COSINE_OF_MAPS

    def to_json(self) -> dict[str, float]:
        """Return a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """The precision that was chosen ("f32", "bf16" or "f16"), how all did that were tried, and the best batch."""

    precision: str
    trials: Mapping[str, Trial]
    batch: int

    @property
    def exact(self) -> str:
        """The fastest precision that keeps the features of each picture."""
        exact = [name for name, one in self.trials.items() if one.worst_cosine >= LEAST_COSINE]
        return min(exact, key=lambda name: self.trials[name].processor_seconds, default="f32")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` reads it back."""
        trials = {name: one.to_json() for name, one in self.trials.items()}
        return {"precision": self.precision, "batch": self.batch, "trials": trials}

    @classmethod
    def from_json(cls, record: Any) -> Choice:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        trials = {
            str(name): Trial(*(float(one[field.name]) for field in fields(Trial)))
            for name, one in dict(record["trials"]).items()
        }
        if record["precision"] not in trials:
            raise ValueError(f"no trial of {record['precision']!r}")
        batch = record["batch"]
        if not isinstance(batch, int) or not 1 <= batch <= 1024:
            raise ValueError(f"impossible batch: {batch!r}")
        return cls(record["precision"], trials, batch)


def compiled_folder() -> Path:
    """Return the folder of compiled networks and of what was measured of them."""
    return cache_folder("compiled")


def last_measured(backbone: str) -> Choice | None:
    """Read what was measured here when a backbone of that name was last converted; None where none was."""
    files = list(compiled_folder().glob(f"{glob.escape(file_name(backbone))}-precision-*.json"))
    try:
        newest = max(files, key=lambda path: path.stat().st_mtime_ns, default=None)
    except OSError:
        return None
    return None if newest is None else read_choice(newest)


def read_choice(path: Path) -> Choice | None:
    """Read the choice that a file holds; None where there is none."""
    content = kept(path, _MOST_BYTES)
    try:
        return None if content is None else Choice.from_json(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def choose(
    run: Mapping[str, Callable[[], Callable[[Images], Features]]], images: Images, is_enough: Callable[[Trial], bool]
) -> Choice:
    """Choose the fastest of some precisions in which features are near enough to those in "f32", the first of them.

    `run` maps a precision's name to what compiles a function from images (n, height, width, 3) to features
    (n, dimension); one that is as fast as it gets makes the later ones needless. Also found out is whether batches of
    n are faster, or quarters of them, whose maps stay in the processor's cache.
    """
    batches = [images[start : start + _TIMED] for start in range(0, len(images), _TIMED)]
    timed = batches[-1]
    trials: dict[str, Trial] = {}
    clocks: dict[str, _Clock] = {}
    expected = None
    for name, compiled in run.items():
        function = compiled()
        before = [function(batch) for batch in batches[:-1] or [timed[:1]]]  # reserves memory, too
        clock = _Clock(function, timed)
        features = np.concatenate([*before, clock.features] if batches[:-1] else [clock.features])
        expected = features if expected is None else expected
        mean, worst = _cosines(expected, features)
        trials[name] = Trial(mean, worst, _agreement(expected, features), *clock.speed)
        if is_enough(trials[name]):
            clocks[name] = clock
        if name != "f32" and name in clocks and 2 * clock.processor < clocks["f32"].processor:
            break  # another kind of 16 bits is no faster
    least = min(clock.processor for clock in clocks.values())
    _race([clock for clock in clocks.values() if clock.processor <= _TOO_SLOW * least])
    for name, clock in clocks.items():
        rate, seconds = clock.speed
        trials[name] = replace(trials[name], pictures_per_second=rate, processor_seconds=seconds)
    precision = min(clocks, key=lambda name: clocks[name].processor)
    few = max(1, len(timed) // 4)
    sizes = {few: _Clock(clocks[precision].run, timed, few), len(timed): clocks[precision]}
    _race(list(sizes.values()))
    return Choice(precision, trials, min(sizes, key=lambda batch: sizes[batch].processor))


class _Clock:
    """The least time that a network took for some images, in seconds.

    Decisions go by processor time, of all threads: unlike the time on the wall it is nearly the same on a busy machine.
    """

    def __init__(self, run: Callable[[Images], Features], images: Images, batch: int | None = None) -> None:
        self.run, self._images, self._batch = run, images, batch or len(images)
        self.processor = self.wall = math.inf
        self.features: Features
        self.time()

    @property
    def speed(self) -> tuple[float, float]:
        """The images a second by the clock on the wall, and the seconds of all processors that each takes."""
        count = len(self._images)
        return round(count / self.wall, 1), round(self.processor / count, 7)

    def time(self) -> None:
        """Measure once more."""
        wall, processor = time.perf_counter(), time.process_time()
        batches = [self._images[start : start + self._batch] for start in range(0, len(self._images), self._batch)]
        self.features = np.concatenate([self.run(batch) for batch in batches])
        self.processor = min(self.processor, time.process_time() - processor)
        self.wall = min(self.wall, time.perf_counter() - wall)


def _race(clocks: Sequence[_Clock]) -> None:
    """Time all turn by turn, since other work on the machine comes and goes."""
    started = time.perf_counter()
    while len(clocks) > 1:
        for clock in clocks:
            clock.time()
        if time.perf_counter() - started > _SECONDS:
            return


def _cosines(expected: Features, found: Features) -> tuple[float, float]:
    """Return the mean and the least cosine of features, each shape (n, dimension), to those expected."""
    products = np.einsum("ij,ij->i", expected, found, dtype=np.float64)
    lengths = np.linalg.norm(expected.astype(np.float64), axis=1) * np.linalg.norm(found.astype(np.float64), axis=1)
    cosines = np.nan_to_num(products / np.maximum(lengths, np.finfo(np.float64).tiny), nan=-1.0)
    return round(float(cosines.mean()), 6), round(float(cosines.min()), 6)


def _agreement(expected: Features, found: Features) -> float:
    """Return the share of the nearest neighbours by the features expected that are nearest by those found as well."""
    count = min(_NEIGHBOURS, len(expected) - 1)
    if not count:
        return 1.0
    pairs = zip(_nearest(expected, count), _nearest(found, count), strict=True)
    return round(sum(len(one & other) for one, other in pairs) / (count * len(expected)), 4)


def _nearest(features: Features, count: int) -> list[set[int]]:
    """Return so many others that each of some features, shape (n, dimension), is most like by the cosine."""
    cosines = l2_normalize(np.nan_to_num(features)).astype(np.float64)
    likeness = cosines @ cosines.T
    np.fill_diagonal(likeness, -np.inf)
    return [set(row.tolist()) for row in np.argsort(-likeness, axis=1, kind="stable")[:, :count]]


def drawn_images(count: int, side: int) -> Images:
    """Draw images to try a network on, shape (count, side, side, 3), the same each time.

    Noise whose amplitude falls with frequency about as in photos (Field 1987), in colours that go together, under a
    few discs and rectangles with hard edges.
    """
    random = np.random.default_rng(_SEED)
    down, across = np.mgrid[:side, :side] / side
    frequency = np.hypot(np.fft.fftfreq(side)[:, np.newaxis], np.fft.rfftfreq(side)[np.newaxis])
    frequency[0, 0] = 1 / side
    result = np.empty((count, side, side, 3), dtype=np.uint8)
    for number in range(count):
        shape = (*frequency.shape, 3)
        spectrum = random.normal(size=shape) + 1j * random.normal(size=shape)
        spectrum *= frequency[..., np.newaxis] ** -random.uniform(0.9, 1.5)
        pixels = np.fft.irfft2(spectrum, s=(side, side), axes=(0, 1))
        pixels = 0.3 * pixels + 0.7 * pixels.mean(axis=2, keepdims=True)
        pixels *= random.uniform(20, 60) / pixels.std()
        pixels += random.uniform(70, 180, 3)
        for _ in range(random.integers(1, 6)):
            x, y = random.uniform(0, 1, 2)
            width, height = random.uniform(0.05, 0.4, 2)
            if random.random() < 0.5:
                inside = ((across - x) / width) ** 2 + ((down - y) / height) ** 2 < 1
            else:
                inside = (abs(across - x) < width) & (abs(down - y) < height)
            paint = random.uniform(0, 255, 3) * random.uniform(0.4, 1)
            pixels[inside] = pixels[inside] * random.uniform(0, 0.6) + paint
        result[number] = np.clip(pixels, 0, 255)
    return result
