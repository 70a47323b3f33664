"""A network that gradients go through: from pixels to its feature, its stages, or single layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cbir.backbones.backbone import Backbone
from cbir.backbones.network import Stages
from cbir.errors import ModelError


class Sight:
    """The first network of a backbone, in float32. Pixels have shape (1, 3, height, width) and are from 0 to 1.

    ModelError where it is not computed in torch, or has no stages, since it takes pictures of one size only, say.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone.first
        self.backbone.check_here()
        if not self.backbone.runs_in_torch:
            raise ModelError(
                f"{self.backbone.name} is not computed in torch, which gradients are from: choose another."
            )
        self.network = self.backbone.build().requires_grad_(requires_grad=False)
        self._stages = Stages(self.network)

    @property
    def stages(self) -> int:
        """The number of its stages."""
        return self._stages.count

    def feature(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute the feature, shape (dimension,), of pixels as they are."""
        feature: torch.Tensor = self.network(_as_images(pixels))[0]
        return feature

    def stage(self, pixels: torch.Tensor, number: int) -> torch.Tensor:
        """Compute the map of a stage, of which 1 is the finest, shape (channels, rows, columns)."""
        found: torch.Tensor = self._stages(_as_images(pixels))[number - 1][0]
        return found

    def check_stage(self, number: int) -> None:
        """Raise ModelError where it has no stage of that number."""
        if not 1 <= number <= self.stages:
            raise ModelError(f"{self.backbone.name} has stages 1 to {self.stages}, and no stage {number}.")

    def fitted(self, pixels: torch.Tensor, shift: Sequence[int] = (0, 0)) -> torch.Tensor:
        """Cut from square pixels what the network takes of a picture, moved by so many pixels down and to the right."""
        wanted = self.backbone.preprocessing
        if pixels.shape[-1] != wanted.resize:
            side = (wanted.resize, wanted.resize)
            pixels = torch.nn.functional.interpolate(pixels, side, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((wanted.resize - wanted.crop) // 2 + one for one in shift)
        return pixels[..., top : top + wanted.crop, left : left + wanted.crop]

    @property
    def margin(self) -> int:
        """The most pixels by which what `fitted` cuts can be moved."""
        return (self.backbone.preprocessing.resize - self.backbone.preprocessing.crop) // 2


def _as_images(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 2, 3, 1) * 255
