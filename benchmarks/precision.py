"""Point 3: features as cbir makes them against the plain float32 loop's, on real weights, and what they find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import pictures, plain, product
from benchmarks.harness import Settings, alone
from benchmarks.results import Result, measured
from cbir.evaluation.metrics import average_precision
from cbir.utils.vectors import Floats

SQUEEZENET = "squeezenet1_0"

_NEIGHBOURS = 10


def run(settings: Settings) -> Iterator[Result]:
    """The bundled network, and SqueezeNet if its weights are in the shared folder."""
    photos = sorted((settings.shared / "photos").glob("*/*.jpg"))
    step = settings.pick(1, 5)
    yield from _compare("lite0", plain.LITE, None, photos[::step], settings)
    weights = settings.shared / "weights" / f"{SQUEEZENET}.pth"
    if weights.is_file():
        yield from _compare("squeezenet", SQUEEZENET, weights, photos[:: 4 * step], settings)


def _compare(key: str, name: str, weights: Path | None, photos: list[Path], settings: Settings) -> Iterator[Result]:
    drawn = pictures.small(settings.work, settings.shared, settings.pick(100, 50))
    files = list({path.read_bytes(): path for path in [*photos, *drawn]}.values())
    ours = alone(product.features, name, weights, files)
    _, theirs = alone(plain.features, name, weights, files)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    cosines = (ours * theirs).sum(axis=1)
    engine = alone(product.engine_name, name, weights, None, 1)
    details = f"{len(files)} pictures, {engine}; worst {cosines.min():.6f}"
    yield measured(f"precision-{key}", cosines.mean(), details, cosines=cosines.tolist())
    found, expected = _ranking(ours), _ranking(theirs)
    first = [
        len({*one} & {*other}) for one, other in zip(found[:, :_NEIGHBOURS], expected[:, :_NEIGHBOURS], strict=True)
    ]
    yield measured(f"precision-{key}-ten", np.mean(first) / _NEIGHBOURS, f"of {len(files)} pictures")
    of = [row for row, path in enumerate(files) if path.parent.parent.name == "photos"]
    if of:
        classes = np.array([files[row].parent.name for row in of])
        average = [_mean_average_precision(_ranking(one[of]), classes) for one in (ours, theirs)]
        details = f"{average[0]:.4f} against {average[1]:.4f}, {len(of)} photos"
        yield measured(f"precision-{key}-map", abs(average[0] - average[1]), details)


def _ranking(features: Floats) -> np.ndarray:
    """Each row's other rows, the most like first: shape (n, n - 1)."""
    likeness = features @ features.T
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, :-1]


def _mean_average_precision(ranking: np.ndarray, classes: np.ndarray) -> float:
    right = classes[ranking] == classes[:, np.newaxis]
    return float(np.mean([average_precision(1 + np.flatnonzero(one)) for one in right]))
