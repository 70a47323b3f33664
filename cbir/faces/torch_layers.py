"""Layers as torch computes them, on CUDA where there is a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from cbir.faces.layers import Build, Layers, Start
from cbir.utils.vectors import Floats

Tensor = torch.Tensor


class TorchLayers(Layers[Tensor]):
    """Layers that compute in float32 on a device, which keeps the weights."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[int, tuple[Floats, Tensor]] = {}

    def normalised(self, images: Tensor, mean: Sequence[float], divisor: float) -> Tensor:
        channels_first = images.permute(0, 3, 1, 2).float()
        offset = torch.tensor(mean, dtype=torch.float32, device=self._device).reshape(1, 3, 1, 1)
        return (channels_first - offset) / divisor

    def conv(self, x: Tensor, kernels: Floats, bias: Floats, *, stride: int = 1, padding: int = 0) -> Tensor:
        return functional.conv2d(x, self._of(kernels), self._of(bias), stride, padding)

    def dense(self, x: Tensor, weights: Floats, bias: Floats | None = None) -> Tensor:
        found = x @ self._of(weights)
        return found if bias is None else found + self._of(bias)

    def relu(self, x: Tensor) -> Tensor:
        return functional.relu(x)

    def prelu(self, x: Tensor, slopes: Floats) -> Tensor:
        return functional.prelu(x, self._of(slopes).ravel())

    def max_pool(self, x: Tensor, side: int, *, is_padded: bool = False) -> Tensor:
        return functional.max_pool2d(x, side, 2, ceil_mode=is_padded)

    def mean_pool(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 2)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        wanted = [max(pair) for pair in zip(x.shape[1:], y.shape[1:], strict=True)]
        return _grown(x, wanted) + _grown(y, wanted)

    def mean(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))

    def flat(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)

    def second(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x[:, 1:] - x[:, :1])

    def _of(self, numbers: Floats) -> Tensor:
        """Return numbers on the device, where they stay."""
        kept = self._kept.get(id(numbers))
        if kept is None:
            tensor = torch.from_numpy(np.array(numbers, np.float32)).to(self._device)
            kept = self._kept[id(numbers)] = numbers, tensor  # with the array: its id must not become another's
        return kept[1]


def start(network: Build) -> Start:
    """Return what computes a network."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layers = TorchLayers(device)

    def begin(images: npt.NDArray[np.uint8]) -> Callable[[], list[Floats]]:
        # TF32, which cuDNN takes for float32 by itself, moves distances
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            tensor = torch.from_numpy(np.array(images)).to(device)
            found = [one.cpu().numpy() for one in network(layers, tensor)]
        return lambda: found

    return begin


def _grown(x: Tensor, wanted: Sequence[int]) -> Tensor:
    channels, rows, columns = (want - have for want, have in zip(wanted, x.shape[1:], strict=True))
    return functional.pad(x, (0, columns, 0, rows, 0, channels)) if channels or rows or columns else x
