"""EfficientNet-Lite0, Lite1 and Lite2, after Google's description (tensorflow/tpu, models/official/efficientnet/lite).

EfficientNets without squeeze-and-excite, with ReLU6 in place of swish, stem and head at fixed width and the first and
last group at fixed depth. The weights were trained in TensorFlow, hence BatchNorm's epsilon and the asymmetric padding.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from cbir.backbones.imagenet import CLASSES

STEM_CHANNELS, FEATURES = 32, 1280
EPSILON = 1e-3

# Factors of the channels and of the blocks of each group
_SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
_CHANNELS_MULTIPLE = 8

# (blocks, kernel, stride of the first, expansion, channels): the groups of Tan and Le 2019, table 1
_GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Block(NamedTuple):
    """An inverted residual: widen by 1 × 1, filter each channel, narrow by 1 × 1; plus the input where it fits."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    expansion: int

    @property
    def is_residual(self) -> bool:
        """Tell whether the input is added to the output."""
        return self.stride == 1 and self.inputs == self.outputs


@cache
def blocks(name: str) -> tuple[Block, ...]:
    """List the blocks of a network in their order."""
    width, depth = _SCALES[name]
    found = []
    inputs = STEM_CHANNELS
    for group in _GROUPS:
        repeats, kernel, stride, expansion, channels = group
        if group not in (_GROUPS[0], _GROUPS[-1]):
            repeats = math.ceil(depth * repeats)
        outputs = round(width * channels / _CHANNELS_MULTIPLE) * _CHANNELS_MULTIPLE
        for number in range(repeats):
            found.append(Block(inputs, outputs, kernel, 1 if number else stride, expansion))
            inputs = outputs
    return tuple(found)


def stages(name: str) -> tuple[int, ...]:
    """Return the number of the last block of each resolution.

    The head after them widens to 1280 channels for the classifier's sake.
    """
    falls = [number for number, following in enumerate(blocks(name)[1:]) if following.stride > 1]
    return (*falls, len(blocks(name)) - 1)


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights by their names, as torch's module has them, but for the counters of batches."""
    plan = blocks(name)
    found: dict[str, tuple[int, ...]] = {}

    def add(conv: str, norm: str, *shape: int) -> None:
        found[f"{conv}.conv.weight"] = shape
        found.update({f"{norm}.{each}": shape[:1] for each in ("weight", "bias", "running_mean", "running_var")})

    add("conv_stem", "bn0", STEM_CHANNELS, 3, 3, 3)
    for number, block in enumerate(plan):
        here, wide = f"blocks.{number}", block.inputs * block.expansion
        if block.expansion != 1:
            add(f"{here}.expand_conv", f"{here}.bn0", wide, block.inputs, 1, 1)
        add(f"{here}.depthwise_conv", f"{here}.bn1", wide, 1, block.kernel, block.kernel)
        add(f"{here}.project_conv", f"{here}.bn2", block.outputs, wide, 1, 1)
    add("conv_head", "bn1", FEATURES, plan[-1].outputs, 1, 1)
    return {**found, "fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}
