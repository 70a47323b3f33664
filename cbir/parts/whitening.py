"""Whitening the means of maps to the rows of an index of parts: principal components, all made alike in size.

After Jégou and Chum, "Negative evidences and co-occurences in image retrieval: the benefit of PCA and whitening"
(ECCV 2012). What all windows have in common says little of any one of them.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone
from cbir.backbones.names import file_name
from cbir.index.arrays import pack_arrays, unpack_arrays
from cbir.index.columns.parts import NUMBERS
from cbir.parts.reader import Means
from cbir.utils.vectors import Floats, l2_normalize

#: Principal components that are kept of the coarse map, and of the fine one, at most.
COARSE, FINE = 768, 128

#: The weight of the fine map, that of the coarse one being 1.
FINE_WEIGHT = 0.8

#: Pictures that prior knowledge counts as much as: a general whitening; or, where there is none, that nothing tells
#: one direction from another.
_PRIOR_PICTURES, _ISOTROPIC_PICTURES = 500, 5

#: Rows that are gathered before their products are added up.
_GATHERED = 512

_LEAST_VARIANCE = 1e-9

#: A whitening's file at most: of maps of some ten thousand channels.
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Whitening:
    """The mean of each map, shape (channels,), the principal directions, (channels, n), and the variances along them.

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
        return l2_normalize(
            np.concatenate([l2_normalize(coarse), np.float32(FINE_WEIGHT) * l2_normalize(fine)], axis=1)
        )

    def kinds(self, means: Means) -> Floats:
        """Queries for things of the same kind, of length 1, shape (n, dimension): their products with rows are scores.

        The coarse map's means as they are, along the directions, and nothing of the fine one: with rows that are
        whitened, that comes to half a whitening of both.
        """
        coarse = np.asarray((means.coarse - self.coarse_mean) @ self.coarse_directions, dtype=np.float32)
        return l2_normalize(np.pad(coarse, ((0, 0), (0, len(self.fine_variances)))))

    @functools.cached_property
    def _coarse(self) -> Floats:
        return np.asarray(self.coarse_directions * self.coarse_variances**-0.5, dtype=np.float32)

    @functools.cached_property
    def _fine(self) -> Floats:
        return np.asarray(self.fine_directions * self.fine_variances**-0.5, dtype=np.float32)

    def arrays(self) -> dict[str, npt.NDArray[np.floating]]:
        """Return arrays for an .npz; `from_arrays` reads them back. Directions are kept in half precision."""
        return {
            name: value.astype(np.float16 if name.endswith("directions") else np.float32)
            for name, value in vars(self).items()
            if not name.startswith("_")
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.floating]]) -> Whitening:
        """Read what `arrays` made; KeyError where one is missing, ValueError where they cannot belong together."""
        found = cls(**{name: np.asarray(arrays[name], dtype=np.float32) for name in cls.__dataclass_fields__})
        for mean, directions, variances in (
            (found.coarse_mean, found.coarse_directions, found.coarse_variances),
            (found.fine_mean, found.fine_directions, found.fine_variances),
        ):
            if mean.ndim != 1 or variances.ndim != 1 or directions.shape != (len(mean), len(variances)):
                raise ValueError("its arrays have other shapes than those of a whitening")
            if not np.isfinite(mean).all() or not np.isfinite(directions).all():
                raise ValueError("it has numbers that are not finite")
            if not (np.isfinite(variances) & (variances > 0)).all():
                raise ValueError("it has variances that are not above 0")
        if found.dimension > NUMBERS:
            raise ValueError(f"its {found.dimension} directions are more than a row of parts has numbers")
        return found

    def to_bytes(self) -> bytes:
        """Return an .npz file, the same each time."""
        return pack_arrays(self.arrays())

    @classmethod
    def from_bytes(cls, data: bytes) -> Whitening:
        """Read what `to_bytes` made; ValueError where it is something else."""
        try:
            return cls.from_arrays(unpack_arrays(data, ("<f2", "<f4")))
        except KeyError as error:
            raise ValueError(f"it is no whitening (it has no {error})") from error


class Learner:
    """Learns a whitening from the windows of some pictures, whose number does not matter for the memory it takes."""

    def __init__(self) -> None:
        self.pictures = 0
        self._rows = 0
        self._gathered: list[Means] = []
        self._sums: list[_Moments] = []

    def add(self, means: Means) -> None:
        """The windows of one more picture."""
        self.pictures += 1
        self._gathered.append(means)
        self._rows += len(means.coarse)
        if self._rows >= _GATHERED:
            self._add_up()

    def learn(self, prior: Whitening | None = None) -> Whitening:
        """Make the whitening of what was added, at least one picture. The fewer they are, the more a `prior` counts."""
        self._add_up()
        coarse, fine = (sums.mean_and_covariance() for sums in self._sums)
        if prior is None:
            share = _ISOTROPIC_PICTURES / (_ISOTROPIC_PICTURES + self.pictures)
            coarse, fine = _isotropic(coarse, share), _isotropic(fine, share)
        else:
            share = _PRIOR_PICTURES / (_PRIOR_PICTURES + self.pictures)
            coarse = _mixed(coarse, (prior.coarse_mean, prior.coarse_directions, prior.coarse_variances), share)
            fine = _mixed(fine, (prior.fine_mean, prior.fine_directions, prior.fine_variances), share)
        return Whitening(*_principal(*coarse, COARSE), *_principal(*fine, FINE))

    def _add_up(self) -> None:
        if not self._gathered:
            return
        means = ((one.coarse, one.fine) for one in self._gathered)
        maps = [np.concatenate(rows) for rows in zip(*means, strict=True)]
        self._sums = self._sums or [_Moments(rows.shape[1]) for rows in maps]
        for sums, rows in zip(self._sums, maps, strict=True):
            sums.add(rows)
        self._gathered, self._rows = [], 0


class _Moments:
    """The number of vectors, their sum and that of their products."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    def add(self, vectors: Floats) -> None:
        self._count += len(vectors)
        self._sum += vectors.sum(axis=0, dtype=np.float64)
        self._products += vectors.T @ vectors

    def mean_and_covariance(self) -> tuple[Floats, Floats]:
        mean = self._sum / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        return mean.astype(np.float32), covariance.astype(np.float32)


def general(backbone: Backbone) -> Whitening | None:
    """Read the whitening that comes with cbir for a backbone with these very weights; None where there is none.

    `scripts/learn_parts.py` makes it.
    """
    network = backbone.first
    return _shipped(network.name, network.weights.identity)


def shipped_content(network: str) -> bytes | None:
    """Read the file of the whitening that comes with cbir for a network of that name; None where there is none."""
    file = resources.files(__package__).joinpath(f"{file_name(network)}.npz")
    return file.read_bytes() if file.is_file() else None


@functools.cache
def _shipped(network: str, weights: str) -> Whitening | None:
    file = shipped_content(network)
    if file is None:
        return None
    with np.load(io.BytesIO(file)) as content:
        if str(content["weights"]) != weights:
            return None
        return Whitening.from_arrays(content)


def _isotropic(found: tuple[Floats, Floats], share: float) -> tuple[Floats, Floats]:
    """Return a mean and a covariance, of which a share is the same in all directions."""
    mean, covariance = found
    same = np.float32(np.trace(covariance) / len(mean)) * np.eye(len(mean), dtype=np.float32)
    return mean, np.asarray((1 - share) * covariance + share * same, dtype=np.float32)


def _mixed(found: tuple[Floats, Floats], prior: tuple[Floats, Floats, Floats], share: float) -> tuple[Floats, Floats]:
    """Return a mean and a covariance, mixed with those of a map's whitening, which count so large a share."""
    mean, covariance = found
    known_mean, directions, variances = prior
    known = (directions * variances) @ directions.T
    return (
        np.asarray((1 - share) * mean + share * known_mean, dtype=np.float32),
        np.asarray((1 - share) * covariance + share * known, dtype=np.float32),
    )


def _principal(mean: Floats, covariance: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """Return the mean, up to `count` principal directions, and the variances along them."""
    variances, directions = np.linalg.eigh(covariance)
    kept = max(min(count, int((variances > _LEAST_VARIANCE).sum())), 1)
    order = slice(None, -kept - 1, -1)
    least = np.maximum(variances[order], _LEAST_VARIANCE)
    return mean, np.ascontiguousarray(directions[:, order], dtype=np.float32), least.astype(np.float32)
