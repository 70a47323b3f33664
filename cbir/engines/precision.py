"""The precision that a network is computed in: measured on this processor, when it is first converted.

bfloat16 keeps ResNet's and VGG's features and is five times as fast with AMX; EfficientNet-Lite's depthwise layers lose
too much in it, but not in float16. So neither a table of networks nor one of processors would do.
"""

from __future__ import annotations

import glob
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cbir.engines.engine import Features, Images
from cbir.utils.cache import cache_folder, kept

#: The least cosine to float32's features, on each drawn picture, that a precision must keep. Real photos at worst are
#: twice or three times as far off (EfficientNet-Lite0 in bf16: .9966 and .9930; SqueezeNet: .9999 and .9998), and the
#: promise is 0.999 on each.
LEAST_COSINE = 0.9997

#: The same of all cells of the maps that parts are read from, of which whitened means are kept in 8 bits a number:
#: in bf16 (EfficientNet-Lite0: .990 at worst) the same pictures are found (docs/method/parts.md).
LEAST_COSINE_OF_MAPS = 0.985

#: A precision that takes this much longer than the fastest in the first trial is not tried again.
_TOO_SLOW = 1.5

#: A race ends after the first round that takes it beyond this.
_SECONDS = 0.7
_SEED = 1

# Of what was measured, as a file.
_MOST_BYTES = 64 << 10


@dataclass(frozen=True)
class Trial:
    """The measurements of one precision: the worst cosine to float32's features, and pictures a second in batches."""

    worst_cosine: float
    pictures_per_second: float

    def to_json(self) -> dict[str, float]:
        """Return a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """The precision that was chosen ("f32", "bf16" or "f16"), how all did that were tried, and the best batch."""

    precision: str
    trials: Mapping[str, Trial]
    batch: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` reads it back."""
        trials = {name: one.to_json() for name, one in self.trials.items()}
        return {"precision": self.precision, "batch": self.batch, "trials": trials}

    @classmethod
    def from_json(cls, record: Any) -> Choice:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        trials = {
            str(name): Trial(float(one["worst_cosine"]), float(one["pictures_per_second"]))
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
    files = list(compiled_folder().glob(f"{glob.escape(backbone)}-precision-*.json"))
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
    run: Mapping[str, Callable[[Images], Features]], images: Images, least_cosine: float = LEAST_COSINE
) -> Choice:
    """Choose the fastest of some precisions whose features stay as they are in "f32", which must be among them.

    `run` maps a precision's name to a function from images (n, height, width, 3) to features (n, dimension), whose
    cosines to those in "f32" are at least `least_cosine`. Also found out is whether batches of n are faster, or
    quarters of them, whose maps stay in the processor's cache.
    """
    features = {name: function(images) for name, function in run.items()}  # reserves memory, too
    worst = {name: _worst_cosine(features["f32"], found) for name, found in features.items()}
    clocks = {name: _Clock(function, images) for name, function in run.items()}
    faithful = [name for name in run if worst[name] >= least_cosine]
    least = min(clocks[name].processor for name in faithful)
    _race([clocks[name] for name in faithful if clocks[name].processor <= _TOO_SLOW * least])
    trials = {name: Trial(round(worst[name], 6), round(len(images) / clocks[name].wall, 1)) for name in run}
    precision = min(faithful, key=lambda name: clocks[name].processor)
    few = max(1, len(images) // 4)
    batches = {few: _Clock(run[precision], images, few), len(images): _Clock(run[precision], images)}
    _race(list(batches.values()))
    return Choice(precision, trials, min(batches, key=lambda batch: batches[batch].processor))


class _Clock:
    """The least time that a network took for some images, in seconds.

    Decisions go by processor time, of all threads: unlike the time on the wall it is nearly the same on a busy machine.
    """

    def __init__(self, run: Callable[[Images], Features], images: Images, batch: int | None = None) -> None:
        self._run, self._images, self._batch = run, images, batch or len(images)
        self.processor = self.wall = math.inf
        self.time()

    def time(self) -> None:
        """Measure once more."""
        wall, processor = time.perf_counter(), time.process_time()
        for start in range(0, len(self._images), self._batch):
            self._run(self._images[start : start + self._batch])
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


def _worst_cosine(expected: Features, found: Features) -> float:
    products = np.einsum("ij,ij->i", expected, found, dtype=np.float64)
    lengths = np.linalg.norm(expected.astype(np.float64), axis=1) * np.linalg.norm(found.astype(np.float64), axis=1)
    cosines = products / np.maximum(lengths, np.finfo(np.float64).tiny)
    return float(np.nan_to_num(cosines, nan=-1.0).min())


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
