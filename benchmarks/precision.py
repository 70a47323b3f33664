"""Point 3: features as cbir makes them against the plain float32 loop's, on real weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import pictures, plain, product
from benchmarks.harness import Settings, alone
from benchmarks.results import Result, measured

SQUEEZENET = "squeezenet1_0"


def run(settings: Settings) -> Iterator[Result]:
    """The bundled network, and SqueezeNet if its weights are in the shared folder."""
    photos = sorted((settings.shared / "photos").glob("*/*.jpg"))
    files = [*pictures.small(settings.work, settings.shared, settings.pick(100, 50)), *photos[:: settings.pick(4, 40)]]
    yield _compare("precision-lite0", plain.LITE, None, files)
    weights = settings.shared / "weights" / f"{SQUEEZENET}.pth"
    if weights.is_file():
        yield _compare("precision-squeezenet", SQUEEZENET, weights, files[:: settings.pick(1, 2)])


def _compare(key: str, name: str, weights: Path | None, files: list[Path]) -> Result:
    files = list({path.read_bytes(): path for path in files}.values())
    ours = alone(product.features, name, weights, files)
    _, theirs = alone(plain.features, name, weights, files)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    cosines = (ours * theirs).sum(axis=1)
    engine = alone(product.engine_name, name, weights, None, 1)
    details = f"{len(files)} pictures, {engine}; mean {cosines.mean():.6f}"
    return measured(key, cosines.min(), details, cosines=cosines.tolist())
