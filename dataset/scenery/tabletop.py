"""What things on a table share: wood, turned outlines, lamplight, and the blurred room behind."""

from __future__ import annotations

import numpy as np

from .film import blur
from .maths import Array, Canvas, colour, dot, hexed, jitter, mix, pick, unit
from .noise import Noise
from .solids import Seen, Solid, closeness, fresnel, gloss, shadow, window_light

WOODS = [
    ("#6b4226", "#a9713f"),
    ("#8a5a34", "#c9965c"),
    ("#3d2718", "#6e4527"),
    ("#b98a5a", "#e0bd8c"),
    ("#4e4a46", "#857d74"),
]


def wood(noise: Noise, u: Array, v: Array, pair: tuple[Array, Array]) -> Array:
    """Wood colour (h, w, 3) with the grain along u; units are about a plank's width."""
    warp = noise.fractal(0.5 * u, 3 * v, 3)
    ring = 0.5 + 0.5 * np.sin(2 * np.pi * (3.2 * v + 2.4 * warp))
    fibre = noise.fractal(3 * u, 90 * v, 3)
    return mix(pair[0], pair[1], np.clip(0.45 * ring + 0.9 * (fibre - 0.5) + 0.25, 0, 1))


def rounded(points: list[tuple[float, float]], smooth: int = 2) -> Array:
    """64 radii at equal steps of height from (height, radius) corner points, rounded a little."""
    heights, radii = zip(*points, strict=True)
    line = np.interp(np.linspace(heights[0], heights[-1], 64), heights, radii)
    for _ in range(smooth):
        line[1:-1] = 0.25 * line[:-2] + 0.5 * line[1:-1] + 0.25 * line[2:]
    return np.asarray(line.astype(np.float32))


def lamplit(
    rng: np.random.Generator,
    seen: Seen,
    solids: list[Solid],
    albedo: Array,
    lamp: Array,
    warm: Array,
    fill: Array,
    size: float,
    shine: Array,
    room: Array,
) -> Array:
    """Light on matt and polished things: one large lamp, light from the room, mirrored window and lamp."""
    lit = shadow(seen, solids, lamp, size, rng)
    near = closeness(seen, solids)
    way = unit(lamp - seen.points)
    lambert = np.clip(dot(way, seen.normal), 0, 1) * lit
    ambient = fill * ((0.65 + 0.35 * seen.normal[..., 1]) * near)[..., None]
    matt = albedo * (1.5 * lambert[..., None] * warm + ambient)
    mirror = fresnel(seen) * shine
    flash = (gloss(seen, lamp, 90) * lit * 0.9 + window_light(seen, unit(lamp)) * (0.25 + 0.75 * lit) * 1.2) * shine
    return np.asarray(matt + (mirror * near)[..., None] * room + flash[..., None] * warm, np.float32)


def backroom(rng: np.random.Generator, canvas: Canvas) -> tuple[Array, Array]:
    """A blurred room (h, w, 3) behind the table, and its mean colour."""
    x, y = canvas.pixels()
    dark, light = [
        ("#2a211c", "#8c6d52"),
        ("#56626c", "#b8c4c8"),
        ("#1c1c20", "#48423e"),
        ("#7c6a50", "#d8c8a8"),
        ("#24382e", "#6c8a70"),
        ("#3a2430", "#906070"),
    ][int(rng.integers(6))]
    a, b = jitter(rng, hexed(dark), 0.15), jitter(rng, hexed(light), 0.15)
    side = pick(rng, -0.3, 1.6)
    wall = mix(b, a, np.clip(np.hypot(x - side, y - 0.1) * 0.8, 0, 1))
    if rng.random() < 0.55:
        for _ in range(int(rng.integers(2, 6))):
            left, top, w, h = pick(rng, -0.1, 1.2), pick(rng, -0.2, 0.3), pick(rng, 0.1, 0.4), pick(rng, 0.15, 0.5)
            box = (x > left) & (x < left + w) & (y > top) & (y < top + h)
            wall[box] = wall[box] * 0.4 + 0.6 * colour(rng.uniform(0.05, 0.9, 3)) * b
        wall = blur(wall, 0.03 * canvas.shape[0])
    return wall, np.asarray(wall.mean(axis=(0, 1)))
