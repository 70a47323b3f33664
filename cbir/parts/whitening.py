"""From the means of maps to the rows of an index of parts: principal components, all made alike in size.

After Jégou and Chum, "Negative evidences and co-occurences in image retrieval: the benefit of PCA and whitening"
(ECCV 2012). What all windows have in common says little of any one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from cbir.backbones.registry import BUNDLED, Backbone
from cbir.extract import unit
from cbir.parts.features import Means

Floats = npt.NDArray[np.float32]

#: Principal components that are kept of the coarse map, and of the fine one, at most.
COARSE, FINE = 768, 128

#: What the fine map counts, the coarse one being 1.
FINE_WEIGHT = 0.8

#: From this many windows on, a collection's own whitening is better than none.
ENOUGH_ROWS = 4000

_LEAST_VARIANCE = 1e-9


@dataclass(frozen=True)
class Whitening:
    """For each map the mean, shape (channels,), the principal directions, (channels, n), and the variances along them.

    Rows have `dimension` numbers: those of the coarse map first.
    """

    coarse_mean: Floats
    coarse_directions: Floats
    coarse_variances: Floats
    fine_mean: Floats
    fine_directions: Floats
    fine_variances: Floats

    @property
    def dimension(self) -> int:
        """Numbers of a row."""
        return len(self.coarse_variances) + len(self.fine_variances)

    def rows(self, means: Means) -> Floats:
        """Rows of length 1, shape (n, dimension), whose dot products are scores."""
        coarse = np.asarray((means.coarse - self.coarse_mean) @ self._coarse, dtype=np.float32)
        fine = np.asarray((means.fine - self.fine_mean) @ self._fine, dtype=np.float32)
        return unit(np.concatenate([unit(coarse), np.float32(FINE_WEIGHT) * unit(fine)], axis=1))

    @functools.cached_property
    def _coarse(self) -> Floats:
        return np.asarray(self.coarse_directions * self.coarse_variances**-0.5, dtype=np.float32)

    @functools.cached_property
    def _fine(self) -> Floats:
        return np.asarray(self.fine_directions * self.fine_variances**-0.5, dtype=np.float32)

    @classmethod
    def learn(cls, means: Means) -> Whitening:
        """From the means of many windows: at least ENOUGH_ROWS are worth it."""
        return cls(*_principal(means.coarse, COARSE), *_principal(means.fine, FINE))

    def arrays(self) -> dict[str, npt.NDArray[np.floating]]:
        """As arrays for an .npz; `from_arrays` reads them back. Directions are kept in half precision."""
        return {
            name: value.astype(np.float16 if name.endswith("directions") else np.float32)
            for name, value in vars(self).items()
            if not name.startswith("_")
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.floating]]) -> Whitening:
        """Read what `arrays` made; KeyError where one is missing."""
        return cls(**{name: np.asarray(arrays[name], dtype=np.float32) for name in cls.__dataclass_fields__})


def general(backbone: Backbone) -> Whitening | None:
    """What the package has for a backbone with these very weights; else None. `scripts/learn_parts.py` makes it."""
    if backbone.name != BUNDLED:
        return None
    return _bundled(backbone.weights.identity)


@functools.cache
def _bundled(identity: str) -> Whitening | None:
    with resources.files(__package__).joinpath(f"{BUNDLED}.npz").open("rb") as file, np.load(file) as content:
        if str(content["weights"]) != identity:
            return None
        return Whitening.from_arrays(content)


def _principal(vectors: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """Mean, principal directions and variances of n vectors, shape (n, channels)."""
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = vectors - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = min(count, int((variances > _LEAST_VARIANCE).sum()))
    order = slice(None, -kept - 1, -1)
    return mean, np.ascontiguousarray(directions[:, order], dtype=np.float32), variances[order].astype(np.float32)
