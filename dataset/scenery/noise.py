"""Seeded random fields: value noise, fractal sums of it, and periodic textures with a power-law spectrum."""

from __future__ import annotations

import numpy as np

from .maths import Array, smoothstep


class Noise:
    """Value noise over the plane, repeating every `size` units (a power of two); values lie in 0..1."""

    def __init__(self, rng: np.random.Generator, size: int = 256) -> None:
        self.size = size
        self.table = rng.random((size, size), dtype=np.float32)

    def at(self, x: Array, y: Array) -> Array:
        """The noise at the points (x, y), arrays of one shape; a feature is about one unit wide."""
        floor_x, floor_y = np.floor(x), np.floor(y)
        fx, fy = (x - floor_x).astype(np.float32), (y - floor_y).astype(np.float32)
        fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
        # Masks do what a remainder would, several times faster.
        mask = self.size - 1
        i, j = floor_x.astype(np.int32) & mask, floor_y.astype(np.int32) & mask
        i1, j1 = (i + 1) & mask, (j + 1) & mask
        flat, top, low = self.table.ravel(), j * self.size, j1 * self.size
        upper = flat.take(top + i) * (1 - fx) + flat.take(top + i1) * fx
        lower = flat.take(low + i) * (1 - fx) + flat.take(low + i1) * fx
        return np.asarray(upper * (1 - fy) + lower * fy)

    def fractal(self, x: Array, y: Array, octaves: int = 5, gain: float = 0.5) -> Array:
        """A sum of octaves, each about twice as fine and `gain` times as strong; values in 0..1, mean 0.5."""
        total, weight, amplitude = np.zeros(np.shape(x), np.float32), 0.0, 1.0
        for octave in range(octaves):
            # A turn and a shift between octaves hide the lattice's axes.
            total += amplitude * self.at(x + 17.3 * octave, y - 9.1 * octave)
            weight += amplitude
            amplitude *= gain
            x, y = 1.63 * x - 1.21 * y, 1.21 * x + 1.63 * y
        return total / weight

    def ridged(self, x: Array, y: Array, octaves: int = 6, gain: float = 0.5) -> Array:
        """Sharp crests with rough flanks and smooth valleys (a ridged multifractal); values in 0..1."""
        total, weight, amplitude = np.zeros(np.shape(x), np.float32), 0.0, 1.0
        carry = np.ones(np.shape(x), np.float32)
        for octave in range(octaves):
            crest = 1 - np.abs(2 * self.at(x + 5.7 * octave, y + 3.3 * octave) - 1)
            carry = crest * crest * np.clip(carry * 1.6, 0, 1)
            total += amplitude * carry
            weight += amplitude
            amplitude *= gain
            x, y = 1.63 * x - 1.21 * y, 1.21 * x + 1.63 * y
        return total / weight


class Texture:
    """A square picture of one value that repeats; sampled with bilinear interpolation."""

    def __init__(self, data: Array) -> None:
        self.data = np.ascontiguousarray(data, np.float32)

    def at(self, u: Array, v: Array) -> Array:
        """Values at (u, v), where 1 is a whole period of the texture."""
        size = self.data.shape[0]
        x, y = u * size, v * size
        floor_x, floor_y = np.floor(x), np.floor(y)
        fx, fy = (x - floor_x).astype(np.float32), (y - floor_y).astype(np.float32)
        i, j = floor_x.astype(np.int64) % size, floor_y.astype(np.int64) % size
        i1, top, low = (i + 1) % size, j * size, ((j + 1) % size) * size
        flat = self.data.ravel()
        upper = flat.take(top + i) * (1 - fx) + flat.take(top + i1) * fx
        lower = flat.take(low + i) * (1 - fx) + flat.take(low + i1) * fx
        return np.asarray(upper * (1 - fy) + lower * fy)


def spectral(rng: np.random.Generator, size: int = 512, beta: float = 1.7, coarsest: float = 2.0) -> Texture:
    """A cloudy texture: white noise whose amplitude falls as 1 / frequency**beta; values in 0..1, mean 0.5.

    Frequencies below `coarsest` periods a tile are left out, so that no tile is all dark on one side.
    """
    white = np.fft.rfft2(rng.standard_normal((size, size)))
    fy, fx = np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None, :] * size
    frequency = np.hypot(fx, fy)
    keep = smoothstep(0.4 * coarsest, coarsest, frequency)
    field = np.fft.irfft2(white * keep / np.maximum(frequency, 1) ** beta, s=(size, size))
    return Texture(np.clip(0.5 + 0.17 * field / field.std(), 0, 1))
