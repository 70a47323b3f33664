"""The networks of EfficientNet-Lite in torch: what their graphs are held against, and what a graphics card computes."""

from __future__ import annotations

import torch
from torch import nn

from cbir.backbones.efficientnet_lite_plan import EPSILON, FEATURES, STEM_CHANNELS, blocks, stages
from cbir.backbones.imagenet import CLASSES
from cbir.backbones.state_dict import StateDict
from cbir.backbones.weights import UNTRAINED_SEED


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
            self.bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self.depthwise_conv = _SamePadConv(wide, wide, kernel, stride, groups=wide)
        self.bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self.project_conv = _SamePadConv(wide, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs, eps=EPSILON)
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
        plan = blocks(name)
        self.stage_units = tuple(f"blocks.{number}" for number in stages(name))
        self.conv_stem = _SamePadConv(3, STEM_CHANNELS, 3, stride=2)
        self.bn0 = nn.BatchNorm2d(STEM_CHANNELS, eps=EPSILON)
        self.blocks = nn.Sequential(*(_Block(*block) for block in plan))
        self.conv_head = _SamePadConv(plan[-1].outputs, FEATURES, 1)
        self.bn1 = nn.BatchNorm2d(FEATURES, eps=EPSILON)
        self.activation = nn.ReLU6()
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu6(self.bn0(self.conv_stem(x)))
        x = self.activation(self.bn1(self.conv_head(self.blocks(x))))
        return x.mean((2, 3))

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of ImageNet's 1,000 classes, shape (n, 1000)."""
        logits: torch.Tensor = self.fc(self(x))
        return logits


def build(name: str, state: StateDict | None) -> EfficientNetLite:
    """Build a network with the weights of `state`, or seeded random ones; float32, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        model = EfficientNetLite(name)
    if state is not None:
        model.load_state_dict({key: torch.tensor(value) for key, value in state.items()}, strict=False)
    return model.eval()
