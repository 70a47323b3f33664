"""EfficientNet-Lite0, Lite1 and Lite2, after Google's description (tensorflow/tpu, models/official/efficientnet/lite).

EfficientNets without squeeze-and-excite, with ReLU6 in place of swish, stem and head at fixed width and the first and
last group at fixed depth. The weights were trained in TensorFlow, hence BatchNorm's epsilon and the asymmetric padding.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import torch
from torch import nn

from cbir.backbones.catalog import KNOWN, Known
from cbir.backbones.network import Network
from cbir.backbones.weights import UNTRAINED_SEED, Weights, fill, head_in, load_state_dict
from cbir.images.fit import Preprocessing
from cbir.utils.vectors import Floats

# Factors of the channels and of the blocks of each group
_SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}

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
_STEM_CHANNELS, _FEATURES, _CLASSES = 32, 1280, 1000
_CHANNELS_MULTIPLE = 8
_EPSILON = 1e-3

_Groups = tuple[tuple[int, int, int, int, int], ...]


class _SamePadConv(nn.Module):
    """A convolution with TensorFlow's "same" padding.

    At stride 2 and an even side that padding is one pixel larger at the bottom and right: (0, 1) for a 3 × 3 kernel,
    (1, 2) for 5 × 5. Tracing makes it a constant of the graph, which holds for all sides that are multiples of 32, and
    else for the side that was traced.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.asymmetric = stride != 1
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=0 if self.asymmetric else kernel // 2, groups=groups, bias=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.asymmetric:
            x = nn.functional.pad(x, (*self._padding(int(x.shape[3])), *self._padding(int(x.shape[2]))))
        result: torch.Tensor = self.conv(x)
        return result

    def _padding(self, side: int) -> tuple[int, int]:
        total = max(self.kernel - (side % self.stride or self.stride), 0)
        return total // 2, total - total // 2


class _Block(nn.Module):
    """An inverted residual: widen by 1 × 1, filter each channel, narrow by 1 × 1; plus the input where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widens = expansion != 1
        if self.widens:
            self.expand_conv = _SamePadConv(inputs, wide, 1)
            self.bn0 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.depthwise_conv = _SamePadConv(wide, wide, kernel, stride, groups=wide)
        self.bn1 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.project_conv = _SamePadConv(wide, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs, eps=_EPSILON)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        if self.widens:
            y = nn.functional.relu6(self.bn0(self.expand_conv(y)))
        y = nn.functional.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        result: torch.Tensor = x + y if self.is_residual else y
        return result


class EfficientNetLite(nn.Module):
    """The whole network of that name; `forward` stops at the 1280 pooled features, `classify` goes on to 1,000 logits.

    Takes normalised pictures of shape (n, 3, height, width).
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        groups = _groups(*_SCALES[name])
        #: The last block of each resolution; the head after them widens to 1280 channels for the classifier's sake.
        self.stage_units = _last_of_resolutions(groups)
        self.conv_stem = _SamePadConv(3, _STEM_CHANNELS, 3, stride=2)
        self.bn0 = nn.BatchNorm2d(_STEM_CHANNELS, eps=_EPSILON)
        blocks: list[nn.Module] = []
        widths = [_STEM_CHANNELS, *(group[-1] for group in groups)]
        for (inputs, outputs), (repeats, kernel, stride, expansion, _) in zip(pairwise(widths), groups, strict=True):
            blocks.append(_Block(inputs, outputs, kernel, stride, expansion))
            blocks += [_Block(outputs, outputs, kernel, 1, expansion) for _ in range(repeats - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = _SamePadConv(widths[-1], _FEATURES, 1)
        self.bn1 = nn.BatchNorm2d(_FEATURES, eps=_EPSILON)
        self.activation = nn.ReLU6()
        self.fc = nn.Linear(_FEATURES, _CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(self.bn0(self.conv_stem(x)))
        x = self.activation(self.bn1(self.conv_head(self.blocks(x))))
        return x.mean((2, 3))

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of ImageNet's 1,000 classes, shape (n, 1000)."""
        logits: torch.Tensor = self.fc(self(x))
        return logits


def describe(name: str) -> Known:
    """Describe the network."""
    return KNOWN[name]


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
    """Build the network with `weights`, float32, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        model = EfficientNetLite(name)
    if weights.source != "untrained":
        path = weights.locate(name)
        state = {_translate(key): value for key, value in load_state_dict(path).items()}
        fill(model, state, network=name, origin=str(path), head="fc.")
    return Network(model, preprocessing).eval()


def read_head(name: str, weights: Weights, dimension: int) -> Floats | str:
    """Read the last layer, as of `weights.head_in`."""
    return head_in(load_state_dict(weights.locate(name)), "_fc", dimension)


def _groups(width: float, depth: float) -> _Groups:
    """Scale the groups of blocks, which have the form of _GROUPS."""
    last = len(_GROUPS) - 1
    return tuple(
        (
            repeats if number in (0, last) else math.ceil(depth * repeats),
            kernel,
            stride,
            expansion,
            round(width * channels / _CHANNELS_MULTIPLE) * _CHANNELS_MULTIPLE,
        )
        for number, (repeats, kernel, stride, expansion, channels) in enumerate(_GROUPS)
    )


def _last_of_resolutions(groups: _Groups) -> tuple[str, ...]:
    """Name the blocks after which the resolution falls, and the last one."""
    ends = list(accumulate(group[0] for group in groups))
    falls = [following[2] > 1 for following in groups[1:]] + [True]
    return tuple(f"blocks.{end - 1}" for end, falls_now in zip(ends, falls, strict=True) if falls_now)


def _translate(key: str) -> str:
    """Translate a published key into this module's names: `_blocks.0._bn1.bias` is `blocks.0.bn1.bias`."""
    parts = [part.removeprefix("_") for part in key.split(".")]
    if len(parts) >= 2 and "conv" in parts[-2] and parts[-1] == "weight":
        parts.insert(-1, "conv")
    return ".".join(parts)
