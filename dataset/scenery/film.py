"""From linear light to a photo: blur, depth of field, bloom, tone curve, vignette, sensor noise."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .maths import Array, Canvas, pick


def _box(image: Array, radius: int, axis: int) -> Array:
    """A running mean of 2 * radius + 1 pixels along an axis; the border's value goes on outside."""
    pad = [(0, 0)] * image.ndim
    pad[axis] = (radius + 1, radius)
    total = np.cumsum(np.pad(image, pad, mode="edge"), axis=axis, dtype=np.float64)
    width = 2 * radius + 1
    if axis == 0:
        return np.asarray((total[width:] - total[:-width]) / width, np.float32)
    return np.asarray((total[:, width:] - total[:, :-width]) / width, np.float32)


def blur(image: Array, sigma: float) -> Array:
    """Nearly a Gaussian of `sigma` pixels: three box filters in a row.  Works for (h, w) and (h, w, 3)."""
    radius = round(sigma * 0.98)
    if radius < 1:
        return image
    for _ in range(2 if sigma > 12 else 3):
        image = _box(_box(image, radius, 0), radius, 1)
    return image


def defocus(image: Array, circle: Array, largest: float) -> Array:
    """Depth of field: `circle` (h, w) in 0..1 says how unsharp each pixel is, 1 being `largest` pixels of blur."""
    levels = [image, blur(image, largest * 0.33), blur(image, largest)]
    share = np.clip(blur(circle.astype(np.float32), largest * 0.25), 0, 1)[..., None] * 2
    near = np.clip(share, 0, 1)
    far = np.clip(share - 1, 0, 1)
    return np.asarray((levels[0] * (1 - near) + levels[1] * near) * (1 - far) + levels[2] * far)


def _tone(light: Array) -> Array:
    """Linear light to screen values 0..1 with a shoulder that keeps highlights (Narkowicz's ACES fit)."""
    x = np.maximum(light, 0) * 0.8
    shown = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    return np.asarray(shown ** (1 / 2.2))


def develop(
    light: Array,
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    key: float | None = 0.2,
    bloom: float = 0.06,
    grain: float = 0.009,
) -> Image.Image:
    """The finished photo of an image drawn on `canvas` (linear light, float32).

    The exposure is automatic: it goes most of the way to a mean light of `key`, unless that is None.
    """
    exposure = 1.0
    if key is not None:
        luminance = np.maximum(light @ np.array([0.25, 0.65, 0.1], np.float32), 1e-3)
        exposure = float(np.clip((key / np.exp(np.log(luminance).mean())) ** 0.75, 0.4, 4.0))
    glow = blur(np.minimum(light, 6.0), 0.02 * light.shape[0])
    light = (light * (1 - bloom) + glow * bloom) * exposure
    rows, columns, side = canvas.height, canvas.width, canvas.samples
    # Averaging after the tone curve keeps bright edges smooth.
    shown = _tone(light).reshape(rows, side, columns, side, 3).mean(axis=(1, 3))
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    shown *= (1 - pick(rng, 0.02, 0.12) * (x * x + y * y))[..., None]
    shown += (shown - 0.5) * pick(rng, 0.02, 0.12)
    # Luminance noise is finer and stronger than colour noise, as from a small sensor.
    noise = rng.standard_normal((rows, columns, 1)) + 0.5 * rng.standard_normal((rows, columns, 3))
    shown += grain * pick(rng, 0.5, 1.3) * noise * (1.2 - 0.6 * shown)
    return Image.fromarray((np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8))
