"""The layers of which networks for faces are made; each network is written once, for whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cbir.utils.vectors import Floats

#: What a runtime calls the numbers between layers: (n, channels, rows, columns), or (n, channels).
T = TypeVar("T")


class Layers(Protocol[T]):
    """A runtime's layers."""

    def normalised(self, images: T, mean: Sequence[float], divisor: float) -> T:
        """Turn images, uint8, (n, rows, columns, 3), into (x - mean) / divisor, channels first."""

    def conv(self, x: T, kernels: Floats, bias: Floats, *, stride: int = 1, padding: int = 0) -> T:
        """Convolve with `kernels`, (outputs, inputs, rows, columns)."""

    def dense(self, x: T, weights: Floats, bias: Floats | None = None) -> T:
        """Multiply with `weights`, (inputs, outputs)."""

    def relu(self, x: T) -> T:
        """Set what is negative to zero."""

    def prelu(self, x: T, slopes: Floats) -> T:
        """Multiply what is negative with the slope of its channel."""

    def max_pool(self, x: T, side: int, *, is_padded: bool = False) -> T:
        """Take the largest of windows two apart; where they are padded, the last may reach beyond the end."""

    def mean_pool(self, x: T) -> T:
        """Take the mean of each 2 x 2."""

    def add(self, x: T, y: T) -> T:
        """Add two, the smaller one with zeros at its bottom, at its right, and as its last channels."""

    def mean(self, x: T) -> T:
        """Take the mean of rows and columns: (n, channels)."""

    def flat(self, x: T) -> T:
        """Put columns, rows and channels in a row, in that order."""

    def second(self, x: T) -> T:
        """Return the share of the second of two channels in their softmax, a channel less of them."""


#: A network: makes its outputs of layers and images.
Build = Callable[[Layers[Any], Any], Sequence[Any]]

#: A function that begins with images, uint8, (n, rows, columns, 3), and returns one that waits for the outputs.
Start = Callable[[npt.NDArray[np.uint8]], Callable[[], list[Floats]]]
