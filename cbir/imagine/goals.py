"""Goals of drawings: to be seen as another is, as a class, or as more of what another is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch

from cbir.imagine.sight import Sight

# The picture may be turned by so many degrees, and be so much smaller or larger, when a class is seen in it.
_TURN, _SCALE = 6.0, 0.1


class Goal(Protocol):
    """A goal that a drawing comes near.

    `margin` pixels are drawn beyond each edge, and `smooth` is how much roughness costs.
    """

    margin: int
    smooth: float

    def loss(self, pixels: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Compute how far pixels are from it, seen a little moved by `chance`."""


@dataclass
class LikeFeature:
    """Pictures whose feature is `wanted`, seen as a search sees them, but moved by up to `jitter` pixels."""

    sight: Sight
    wanted: torch.Tensor
    margin: int = 0
    smooth: float = 0.3
    jitter: int = 6

    def loss(self, pixels: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Compute the squared error of the feature, relative to the square of what is wanted."""
        most = min(self.jitter, self.sight.margin)
        shift = torch.randint(-most, most + 1, (2,), generator=chance).tolist()
        return relative_error(self.sight.feature(self.sight.fitted(pixels, shift)), self.wanted)


@dataclass
class LikeStage:
    """Pictures whose map at a stage is `wanted`, in its places, seen moved by up to `margin` pixels."""

    sight: Sight
    wanted: torch.Tensor
    stage: int
    margin: int = 0
    smooth: float = 0.1

    def loss(self, pixels: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Compute the squared error of the map, relative to the square of what is wanted."""
        return relative_error(self.sight.stage(_moved(pixels, self.margin, chance), self.stage), self.wanted)


@dataclass
class Exaggerated:
    """Pictures that have more of the map `wanted` at a stage, and nothing else."""

    sight: Sight
    wanted: torch.Tensor
    stage: int
    margin: int = 4
    smooth: float = 0.1

    def loss(self, pixels: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Compute minus how many times there is the map, times the square of the cosine to it."""
        found = self.sight.stage(_moved(pixels, self.margin, chance), self.stage).flatten()
        wanted = self.wanted.flatten()
        cosine = torch.nn.functional.cosine_similarity(found, wanted, dim=0)
        return -(found @ wanted) / (wanted @ wanted) * cosine.clamp(min=0.1) ** 2


@dataclass
class Class:
    """Pictures of which a class is told, by its row in the network's last layer."""

    sight: Sight
    weights: torch.Tensor
    margin: int = 16
    smooth: float = 0.1

    def loss(self, pixels: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Compute minus the class's logit, of the picture a little turned and scaled."""
        return -(self.sight.feature(_moved(_turned(pixels, chance), self.margin, chance)) @ self.weights)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Compute the squared error, relative to the square of what is wanted."""
    return (found - wanted).square().sum() / wanted.square().sum().clamp(min=1e-12)


def _moved(pixels: torch.Tensor, margin: int, chance: torch.Generator) -> torch.Tensor:
    """Cut the margin off on all sides, moved by up to all of it."""
    top, left = torch.randint(0, 2 * margin + 1, (2,), generator=chance).tolist()
    height, width = pixels.shape[2] - 2 * margin, pixels.shape[3] - 2 * margin
    return pixels[..., top : top + height, left : left + width]


def _turned(pixels: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Turn and scale about the middle; what comes from beyond the edges is mirrored."""
    turn, scale = (2 * torch.rand(2, generator=chance) - 1).tolist()
    angle, size = math.radians(_TURN * turn), 1 + _SCALE * scale
    cosine, sine = math.cos(angle) / size, math.sin(angle) / size
    grid = torch.nn.functional.affine_grid(
        torch.tensor([[[cosine, -sine, 0.0], [sine, cosine, 0.0]]]), list(pixels.shape), align_corners=False
    )
    return torch.nn.functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
