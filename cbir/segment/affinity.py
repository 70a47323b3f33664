"""The probability that people see two places of a picture as one region, as log-odds from distances of hypercolumns.

    log-odds = bias - slope · |z_i - z_j| - spatial · |p_i - p_j|

z are a superpixel's stages, each of length 1, and its colour, projected linearly; p its place in units of the longer
side. For a network whose file lies in the package, projection and numbers were learnt from what people drew in 50
training pictures of BSDS500 (`scripts/train_segmentation.py`, `docs/method/segment.md`). For other networks all stages
count alike, reduced to the picture's own principal components, and distances are in units of the picture's mean one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from cbir.backbones.backbone import Backbone
from cbir.backbones.names import file_name
from cbir.segment.hypercolumns import NOISE, blocks
from cbir.segment.kmeans import squared_distances
from cbir.segment.superpixels import Superpixels
from cbir.utils.vectors import Floats, l2_normalize

#: Lab's lightness goes to 100: colours are brought to the size of the stages.
COLOUR_UNIT = 100

#: Numbers for networks of which nothing was learnt: components of each stage, what colours count, and bias, slope and
#: spatial as above.
_COMPONENTS = 32
_COLOUR = 1.0
#: The bias is a quarter more than the script finds, which agrees better with people at the same threshold.
_GENERAL = (3.95, 3.95, 1.35)


@dataclass(frozen=True)
class Affinity:
    """The parameters learnt for one backbone and so many stages.

    `means`, shape (channels,), are those of all stages' vectors one after the other; `projection`, shape (channels + 3,
    dimension), is that of these vectors and of the colour.
    """

    means: Floats
    projection: Floats
    bias: float
    slope: float
    spatial: float

    def log_odds(self, stages: Sequence[Floats], cut: Superpixels) -> Floats:
        """Return the log-odds of each pair of n superpixels, (n, n); `stages` have shape (n, channels) each."""
        vectors = np.concatenate([l2_normalize(stage, NOISE) for stage in stages], axis=1) - self.means
        projected = np.concatenate([vectors, cut.colours / COLOUR_UNIT], axis=1) @ self.projection
        return self.bias - self.slope * distances(projected) - self.spatial * distances(cut.centres)


def general_log_odds(stages: Sequence[Floats], cut: Superpixels) -> Floats:
    """Return the same for a backbone that nothing was learnt for."""
    bias, slope, spatial = _GENERAL
    return bias - slope * distances(general_points(stages, cut)) - spatial * distances(cut.centres)


def general_points(stages: Sequence[Floats], cut: Superpixels) -> Floats:
    """Stages and colours as points whose mean distance within the picture is 1, shape (n, dimension)."""
    described = blocks(stages, [1.0] * len(stages), _COMPONENTS)
    points = np.concatenate([described, _COLOUR * cut.colours / COLOUR_UNIT], axis=1)
    mean = float(cut.shares @ distances(points) @ cut.shares)
    return np.asarray(points / max(mean, 1e-6), dtype=np.float32)


@functools.cache
def learnt(backbone: Backbone, zooms: int) -> Affinity | None:
    """Read what was learnt for a backbone with these very weights, at so many sizes of the picture; else None."""
    file_of_network = resources.files(__package__).joinpath(f"{file_name(backbone.name)}.npz")
    if not file_of_network.is_file():
        return None
    with file_of_network.open("rb") as file, np.load(file) as content:
        if str(content["weights"]) != backbone.weights.identity:
            return None
        numbers = {name: content[f"{name}-{zooms}"].astype(np.float32) for name in ("means", "projection", "numbers")}
    return Affinity(numbers["means"], numbers["projection"], *map(float, numbers["numbers"]))


def probability(log_odds: Floats) -> Floats:
    """Log-odds as probabilities."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -80, 80))), dtype=np.float32)


def distances(points: Floats) -> Floats:
    """Euclidean distances between all pairs of n points, (n, n)."""
    return np.asarray(np.sqrt(squared_distances(points, points)), dtype=np.float32)
