"""A picture as what gradients change: its spectrum, with colours that are not correlated.

After Olah, Mordvintsev and Schubert 2017, "Feature Visualization" (distill.pub). A step then changes large and small
structures of all colours alike, where in pixels it would draw noise that only the network sees.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

# How the colours of photos go together: the square root of their covariance, of ImageNet's pictures.
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

# The spread of the random numbers that an empty canvas starts from, and of what pixels are before the sigmoid.
_START, _SPREAD = 0.01, 0.25

# Black and white are infinitely far away for a sigmoid; so near to them gradients vanish, and steps leave specks.
_NEAREST = 3 / 255


class Canvas(torch.nn.Module):
    """A picture of `height` × `width` whose parameters are its spectrum; `forward` gives pixels (1, 3, height, width).

    Pixels are from 0 to 1. It starts nearly grey, by random numbers of `chance`.
    """

    def __init__(self, height: int, width: int, chance: torch.Generator) -> None:
        super().__init__()
        self.shape = height, width
        rows, columns = torch.fft.fftfreq(height).view(-1, 1), torch.fft.rfftfreq(width).view(1, -1)
        frequencies = torch.sqrt(rows**2 + columns**2).clamp(min=1 / max(height, width))
        matrix = torch.tensor(_COLOURS)
        self.register_buffer("colours", matrix / matrix.norm(dim=0).max(), persistent=False)
        self.register_buffer("weights", _SPREAD / frequencies.unsqueeze(-1), persistent=False)
        start = torch.randn(3, *frequencies.shape, 2, generator=chance) * _START
        self.spectrum = torch.nn.Parameter(start)

    def forward(self) -> torch.Tensor:
        spectrum = torch.view_as_complex((self.spectrum * self.get_buffer("weights")).contiguous())
        plain = torch.fft.irfft2(spectrum, s=self.shape, norm="ortho")
        mixed = torch.einsum("ij,jhw->ihw", self.get_buffer("colours"), plain)
        return torch.sigmoid(mixed).unsqueeze(0)

    def show(self, pixels: torch.Tensor) -> None:
        """Take over a picture, pixels from 0 to 1 of shape (1, 3, height, width), as nearly as it can be."""
        mixed = torch.logit(pixels[0].clamp(_NEAREST, 1 - _NEAREST))
        plain = torch.einsum("ij,jhw->ihw", torch.linalg.inv(self.get_buffer("colours")), mixed)
        spectrum = torch.view_as_real(torch.fft.rfft2(plain, norm="ortho")) / self.get_buffer("weights")
        with torch.no_grad():
            self.spectrum.copy_(spectrum)


def roughness(pixels: torch.Tensor) -> torch.Tensor:
    """Compute the mean difference of neighbours, the total variation of a picture."""
    across = (pixels[..., 1:] - pixels[..., :-1]).abs()
    down = (pixels[..., 1:, :] - pixels[..., :-1, :]).abs()
    return sum((one.mean() for one in (across, down) if one.numel()), torch.zeros(()))  # a line has none across it


def to_pixels(array: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Turn a picture, uint8 of shape (height, width, 3), into pixels from 0 to 1 of shape (1, 3, height, width)."""
    return torch.tensor(array).permute(2, 0, 1).unsqueeze(0).float() / 255


def to_array(pixels: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Turn pixels from 0 to 1 into a picture, as `to_pixels` takes it."""
    rounded = (pixels.detach()[0] * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).numpy())
