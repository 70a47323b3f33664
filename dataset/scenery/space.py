"""Deep space: spiral galaxies, nebulae and star fields."""

from __future__ import annotations

import numpy as np

from .film import blur
from .maths import Array, Canvas, colour, hexed, jitter, mix, over, pick, smoothstep
from .noise import Noise


def _stars(rng: np.random.Generator, image: Array, count: int, spikes: bool) -> None:
    """Add stars: many faint, few bright; the bright ones glow and, behind a mirror telescope, have spikes."""
    rows, columns = image.shape[:2]
    field = np.zeros_like(image)
    power = rng.pareto(1.3, count).astype(np.float32) * 0.12
    heat = rng.random(count)
    tint = mix(hexed("#ffb890"), hexed("#a8c8ff"), heat) + 0.2
    r, c = rng.integers(1, rows - 1, count), rng.integers(1, columns - 1, count)
    for dr, dc, share in ((0, 0, 1.0), (0, 1, 0.6), (1, 0, 0.6), (1, 1, 0.4)):
        np.add.at(
            field,
            (np.minimum(r + dr, rows - 1), np.minimum(c + dc, columns - 1)),
            np.minimum(power, 4)[:, None] * tint * share * 2.0,
        )
    image += field + 1.5 * blur(np.minimum(field, 3), 2.2)
    for k in np.argsort(power)[-int(rng.integers(3, 11)) :]:
        size = int(min(34, 7 + 3 * power[k]) * rows / 600)
        y, x = np.mgrid[-size : size + 1, -size : size + 1].astype(np.float32) / size
        rho = np.hypot(x, y)
        shape = 0.012 / (rho**2 + 0.008) * (1 - smoothstep(0.5, 1, rho))
        if spikes:
            shape += 0.5 * np.exp(-np.abs(x) * 40 - np.abs(y) * 4) + 0.5 * np.exp(-np.abs(y) * 40 - np.abs(x) * 4)
        glow = np.zeros(image.shape[:2], np.float32)[..., None].repeat(1, 2)
        over(glow, np.ones((*shape.shape, 1), np.float32), shape, int(c[k]) - size, int(r[k]) - size)
        image += glow * tint[k]


def _spiral(rng: np.random.Generator, image: Array, x: Array, y: Array, size: float, far: bool) -> None:
    """Add a spiral galaxy of `size` picture heights about (0, 0): bulge, arms, dust lanes, knots of young stars."""
    turn, tilt = pick(rng, 0, np.pi), pick(rng, 0.25, 1.0) if not far else pick(rng, 0.2, 1.0)
    u = (x * np.cos(turn) + y * np.sin(turn)) / size
    v = (y * np.cos(turn) - x * np.sin(turn)) / size / tilt
    noise = Noise(rng)
    rough = noise.fractal(5 * u, 5 * v, 4) - 0.5
    rho = np.hypot(u, v) + 1e-4
    angle = np.arctan2(v, u) * float(rng.choice([-1, 1]))
    wind, arms = pick(rng, 2.2, 4.5), int(rng.choice([2, 2, 3, 4]))
    phase = arms * angle + wind * arms * np.log(rho + 0.05) * 0.9 + 3.5 * rough
    arm = (0.5 + 0.5 * np.cos(phase)) ** pick(rng, 1.5, 3.0)
    lane = (0.5 + 0.5 * np.cos(phase + 1.1)) ** 5
    disc = np.exp(-rho * 4.2) * (0.16 + arm * (0.5 + 1.0 * noise.fractal(16 * u, 16 * v, 4)))
    clumps = smoothstep(0.66, 0.82, noise.fractal(34 * u, 34 * v, 2)) * arm * np.exp(-rho * 3.2)
    dust = np.exp(-2.4 * lane * smoothstep(0.06, 0.2, rho) * np.exp(-rho * 2) * noise.fractal(12 * u, 12 * v, 4) * 2)
    bulge = np.exp(-((np.hypot(u, v * (0.5 + 0.5 * tilt)) / 0.085) ** 1.1))
    outer = jitter(rng, hexed(str(rng.choice(["#7fa0f0", "#8fb4e8", "#a090e8", "#c0b8d8"]))), 0.1)
    inner = jitter(rng, hexed(str(rng.choice(["#ffd9a0", "#ffe6c4", "#ffc890"]))), 0.05)
    light = mix(inner, outer, smoothstep(0.05, 0.45, rho)) * (disc * 2.6 * dust)[..., None]
    image += light + inner * (1.8 * bulge * dust)[..., None]
    image += (clumps * 1.6)[..., None] * mix(hexed("#ff7fa0"), outer, 0.5)


def _nebula(rng: np.random.Generator, image: Array, x: Array, y: Array) -> None:
    """Add glowing gas of two or three colours, with dark dust in front of it."""
    noise = Noise(rng)
    scale = pick(rng, 1.6, 3.0)
    wx, wy = noise.fractal(scale * x, scale * y, 4) - 0.5, noise.fractal(scale * x + 40, scale * y, 4) - 0.5
    gases = [
        ["#e0506a", "#58a8d8", "#f0b070"],
        ["#50b8b0", "#d87848", "#f0d8a0"],
        ["#9a60d8", "#e86090", "#80b0ff"],
        ["#e89050", "#c04048", "#70a0c0"],
    ][int(rng.integers(4))]
    cx, cy, spread = pick(rng, 0.4, 0.9), pick(rng, 0.3, 0.7), pick(rng, 0.35, 0.7)
    shape = np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / spread**2))
    for k, gas in enumerate(gases):
        f = noise.fractal(scale * x + 1.8 * wx + 11 * k, scale * y + 1.8 * wy, 6)
        fine = noise.ridged(2 * scale * x + 2 * wx + 7 * k, 2 * scale * y + 2 * wy, 5)
        image += (1.3 * smoothstep(0.38, 0.85, f) * shape * (0.4 + 1.3 * fine))[..., None] * jitter(
            rng, hexed(gas), 0.1
        )
    dust = smoothstep(0.48, 0.68, noise.fractal(1.4 * scale * x + 2.2 * wy + 90, 1.4 * scale * y + 2.2 * wx, 6))
    image *= (1 - 0.88 * dust)[..., None]


def galaxy(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """A galaxy, alone or with companions, from above or nearly edge-on; in every fourth picture a nebula."""
    x, y = canvas.pixels()
    image = np.zeros((*canvas.shape, 3), np.float32) + jitter(rng, hexed("#0a0c16"), 0.3)
    wide = canvas.width / canvas.height
    haze = Noise(rng).fractal(2.5 * x, 2.5 * y, 4)
    image += (0.05 * smoothstep(0.4, 0.8, haze))[..., None] * colour(rng.uniform(0.2, 0.8, 3))
    if number % 4 == 3:
        _nebula(rng, image, x, y)
        if number % 8 == 3:
            _spiral(rng, image, x - pick(rng, 0.2, wide - 0.2), y - pick(rng, 0.2, 0.8), pick(rng, 0.25, 0.4), True)
    else:
        size = pick(rng, 0.7, 1.25)
        _spiral(rng, image, x - wide * pick(rng, 0.4, 0.6), y - pick(rng, 0.4, 0.6), size, False)
        for _ in range(int(rng.integers(0, 3))):
            _spiral(rng, image, x - pick(rng, 0, wide), y - pick(rng, 0, 1), pick(rng, 0.06, 0.25), True)
    _stars(rng, image, int(rng.integers(250, 900)), bool(rng.random() < 0.6))
    return image
