"""Effective receptive fields: how much of what a cell could see it does look at (Luo and others, NIPS 2016).

Measured by gradients, in torch: of what some directions of a stage's channels in its middle cell make of the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cbir.backbones.backbone import Backbone
from cbir.backbones.network import Stages
from cbir.engines.fields import StageField
from cbir.engines.precision import drawn_images
from cbir.images.large import MULTIPLE
from cbir.utils.vectors import Floats

#: Drawn pictures that are looked at, their sides in those of the network's crop, and directions of each.
_PICTURES, _TIMES, _DIRECTIONS = 3, 2, 2

#: Shares of the squared gradient.
HALF, MOST = 0.5, 0.9

_SEED = 11


class Effective(NamedTuple):
    """Sides, in pixels, of the squares around a cell's middle with half, and with nine tenths, of its squared gradient.

    None where that is more than the picture that was looked at.
    """

    half: int | None
    most: int | None


def effective_fields(backbone: Backbone, fields: Sequence[StageField]) -> list[Effective]:
    """Measure the stages of a network, as of `stage_fields`. Raises what building it in torch raises."""
    network = backbone.first.build()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    stages = Stages(network)
    side = round(_TIMES * backbone.first.preprocessing.crop / MULTIPLE) * MULTIPLE
    energies = [np.zeros((side, side), dtype=np.float32) for _ in fields]
    middles = [(0.0, 0.0)] * len(fields)
    generator = torch.Generator().manual_seed(_SEED)
    for picture in drawn_images(_PICTURES, side):
        for _ in range(_DIRECTIONS):
            pixels = torch.from_numpy(picture[np.newaxis].astype(np.float32)).requires_grad_()
            for number, map_ in enumerate(maps := stages(pixels)):
                row, column = map_.shape[2] // 2, map_.shape[3] // 2
                direction = torch.randn(map_.shape[1], generator=generator)
                product = (map_[0, :, row, column] * direction).sum()
                (gradient,) = torch.autograd.grad(product, pixels, retain_graph=number < len(maps) - 1)
                energies[number] += gradient[0].square().sum(dim=2).numpy()
                start, jump = fields[number].start, fields[number].jump
                first = (jump - 1) / 2 if start is None else start
                middles[number] = first + row * jump, first + column * jump
    return [
        Effective(*(side_with(energy, middle, share) for share in (HALF, MOST)))
        for energy, middle in zip(energies, middles, strict=True)
    ]


def side_with(energy: Floats, middle: tuple[float, float], share: float) -> int | None:
    """Return the side of the smallest square around a pixel that has so much of all; None where none within has.

    `energy` has shape (rows, columns).
    """
    rows, columns = (np.abs(np.arange(length) - at) for length, at in zip(energy.shape, middle, strict=True))
    reach = np.maximum(rows[:, np.newaxis], columns)
    order = np.argsort(reach, axis=None, kind="stable")
    total = np.cumsum(energy.ravel()[order], dtype=np.float64)
    if total[-1] <= 0:
        return None
    side = 2 * float(reach.ravel()[order][int(np.searchsorted(total, share * total[-1]))]) + 1
    return round(side) if side <= min(energy.shape) else None
