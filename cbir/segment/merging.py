"""Regions of a picture: superpixels merged by how likely people are to see them as one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.segment.affinity import general_log_odds, learnt, probability
from cbir.segment.hierarchy import Hierarchy, merge
from cbir.segment.hypercolumns import on_regions, stage_maps
from cbir.segment.superpixels import Superpixels, superpixels
from cbir.utils.vectors import Floats

if TYPE_CHECKING:
    from cbir.engines.engine import Engine

#: Pixels of a picture when it is segmented, those of the pictures that the affinity was learnt on.
WORKING_PIXELS = 481 * 321

#: No side gets longer than that when a narrow picture is brought to WORKING_PIXELS.
_LONGEST = 2048

#: Merging stops where the next one would cost more than this: chosen on BSDS500's training pictures, each segmented by
#: what the others taught.
THRESHOLD = 0.45


def working_copy(image: Image.Image) -> Image.Image:
    """Return the picture at the size in which it is segmented, its shape kept."""
    factor = math.sqrt(WORKING_PIXELS / (image.width * image.height))
    factor = min(factor, _LONGEST / max(image.size))
    size = tuple(max(1, round(side * factor)) for side in image.size)
    if size == image.size:
        return image
    return image.resize((size[0], size[1]), Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC)


def hierarchy(
    image: Image.Image, engine: Engine, backbone: Backbone, *, fast: bool = False
) -> tuple[Superpixels, Hierarchy]:
    """Return the superpixels of an RGB picture of working size, and how they merge; `fast` is as in `together`."""
    cut, probabilities = together(image, engine, backbone, fast=fast)
    return cut, merge(probabilities, cut.shares, cut.edges)


def together(
    image: Image.Image, engine: Engine, backbone: Backbone, *, fast: bool = False
) -> tuple[Superpixels, Floats]:
    """Return the n superpixels of an RGB picture of working size, and how likely each two are of one region, (n, n).

    The network reads the picture at its own and at twice its size; with `fast`, or where nothing was learnt for the
    backbone, only at its own: there the second gains little, and networks with large maps would need much memory.
    """
    cut = superpixels(np.asarray(image))
    sizes = 1 if fast or learnt(backbone, 2) is None else 2
    stages = stages_of(image, engine, cut, sizes)
    return cut, probability(log_odds(stages, cut, backbone))


def stages_of(image: Image.Image, engine: Engine, cut: Superpixels, sizes: int) -> list[list[Floats]]:
    """Average stages over the superpixels, the picture read at its own size and, for two `sizes`, at twice that."""
    return [
        [on_regions(stage, cut.labels) for stage in stage_maps(image, engine, zoom)] for zoom in range(1, sizes + 1)
    ]


def log_odds(stages: list[list[Floats]], cut: Superpixels, backbone: Backbone) -> Floats:
    """Return the log-odds that people see two superpixels as one, (n, n), as learnt for the backbone or in general."""
    together = [stage for of_size in stages for stage in of_size]
    affinity = learnt(backbone, len(stages))
    if affinity is None:
        return general_log_odds(together, cut)
    return affinity.log_odds(together, cut)


def threshold_at(scale: float) -> float:
    """Return the threshold for coarser (above 1) or finer (below 1) regions.

    The odds at the threshold are multiplied, so that it stays a probability; one hierarchy serves all scales, and
    coarser regions are unions of finer ones.
    """
    odds = scale * THRESHOLD / (1 - THRESHOLD)
    return odds / (1 + odds)
