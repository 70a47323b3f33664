"""Which numbers a network is computed in: measured on this processor, for each backbone, when it is first converted.

bfloat16 keeps ResNet's and VGG's features and is five times as fast with AMX; EfficientNet-Lite's depthwise layers lose
too much in it, but not in float16. So neither a table of networks nor one of processors would do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]

#: The least cosine to float32's features, on each drawn picture, that a precision must keep. Real photos at worst are
#: twice or three times as far off (see CALIBRATION in tests/test_engines.py), and the promise is 0.999 on each.
LEAST_COSINE = 0.9997

#: A precision that takes this much longer than the fastest in the first trial is not tried again.
_TOO_SLOW = 1.5

_ROUNDS = 5
_SECONDS = 3.0
_SEED = 1


@dataclass(frozen=True)
class Trial:
    """How one precision did: the worst cosine to float32's features, and pictures a second in batches."""

    worst_cosine: float
    pictures_per_second: float

    def to_json(self) -> dict[str, float]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """The precision that was chosen ("f32", "bf16" or "f16"), and how all did that were tried."""

    precision: str
    trials: Mapping[str, Trial]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; `from_json` reads it back."""
        return {"precision": self.precision, "trials": {name: one.to_json() for name, one in self.trials.items()}}

    @classmethod
    def from_json(cls, record: Any) -> Choice:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        trials = {
            str(name): Trial(float(one["worst_cosine"]), float(one["pictures_per_second"]))
            for name, one in dict(record["trials"]).items()
        }
        if record["precision"] not in trials:
            raise ValueError(f"no trial of {record['precision']!r}")
        return cls(record["precision"], trials)


def choose(run: Mapping[str, Callable[[Pictures], Features]], pictures: Pictures) -> Choice:
    """The fastest of some precisions whose features stay as they are in "f32", which must be among them.

    `run` maps a precision's name to a function from pictures (n, height, width, 3) to features (n, dimension). All are
    timed turn by turn, since other work on the machine comes and goes.
    """
    features, seconds = {}, {}
    for name, function in run.items():
        function(pictures[:1])  # memory is reserved at the first call
        started = time.perf_counter()
        features[name] = function(pictures)
        seconds[name] = time.perf_counter() - started
    worst = {name: _worst_cosine(features["f32"], found) for name, found in features.items()}
    fit = [name for name in run if worst[name] >= LEAST_COSINE]
    least = min(seconds[name] for name in fit)
    running = [name for name in fit if seconds[name] <= _TOO_SLOW * least]
    started = time.perf_counter()
    for _ in range(_ROUNDS if len(running) > 1 else 0):
        for name in running:
            before = time.perf_counter()
            run[name](pictures)
            seconds[name] = min(seconds[name], time.perf_counter() - before)
        if time.perf_counter() - started > _SECONDS:
            break
    trials = {name: Trial(round(worst[name], 6), round(len(pictures) / seconds[name], 1)) for name in run}
    return Choice(min(fit, key=lambda name: seconds[name]), trials)


def _worst_cosine(expected: Features, found: Features) -> float:
    products = np.einsum("ij,ij->i", expected, found, dtype=np.float64)
    lengths = np.linalg.norm(expected.astype(np.float64), axis=1) * np.linalg.norm(found.astype(np.float64), axis=1)
    cosines = products / np.maximum(lengths, np.finfo(np.float64).tiny)
    return float(np.nan_to_num(cosines, nan=-1.0).min())


def drawn_pictures(count: int, side: int) -> Pictures:
    """Pictures to try a network on, shape (count, side, side, 3), the same each time.

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
