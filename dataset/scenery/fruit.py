"""Bowls of fruit on a table."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .film import defocus
from .maths import Array, Canvas, colour, direction, hexed, jitter, mix, pick, smoothstep, unit
from .noise import Noise
from .solids import Ball, Solid, Turned, look
from .tabletop import WOODS, backroom, lamplit, rounded, wood

# A stem that stands upright has its long axis along y.
UPRIGHT = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], np.float32)

FRUITS = {
    "apple": ["#a8141c", "#7fa81c", "#c8281c", "#d8b020"],
    "orange": ["#f08010", "#ee8c18"],
    "lemon": ["#f4d020", "#ecc818"],
    "lime": ["#5c9420"],
    "plum": ["#3c1838", "#542040"],
    "peach": ["#f0a060", "#ec8858"],
    "pear": ["#b8b030", "#98a838"],
}


def _fruit(rng: np.random.Generator, kind: str, where: Array) -> tuple[list[Solid], float]:
    """One fruit with its middle at `where` as solids, and its radius."""
    size = {"apple": 0.40, "orange": 0.40, "lemon": 0.29, "lime": 0.26, "plum": 0.27, "peach": 0.38, "pear": 0.36}[
        kind
    ] * pick(rng, 0.92, 1.08)
    spin = unit(rng.normal(0, 1, (3, 3)))
    axis = unit(spin[0] + colour([0, 0.6, 0]))
    second = unit(np.cross(axis, spin[1]))
    axes = np.stack([axis, second, np.cross(axis, second)]).astype(np.float32)
    if kind == "pear":
        points = [(0, 0.1), (0.1, 0.72), (0.32, 1.0), (0.55, 0.86), (0.75, 0.5), (0.92, 0.36), (1, 0.05)]
        profile = rounded(points, 5) * size
        return [Turned(where - colour([0, size, 0]), 2.5 * size, profile)], size
    half = {"lemon": [1.32, 1, 1], "lime": [1.15, 1, 1], "apple": [0.9, 1.03, 1.03]}.get(kind, [0.96, 1, 1])
    return [Ball(where, colour(half) * size, axes)], size


def _banana(rng: np.random.Generator, where: Array, turn: float) -> list[Solid]:
    """A banana as a chain of balls along an arc that lies on its side."""
    along, beside = direction(turn, 0), direction(turn + 90, 0)
    bits: list[Solid] = []
    for angle in np.linspace(-1.0, 1.05, 56):
        thick = 0.155 * (1 - abs(angle) ** 6 * 0.72) if angle < 1.0 else 0.05
        middle = where + 0.95 * np.sin(angle) * along + 0.95 * (1 - np.cos(angle)) * beside
        bits.append(Ball(colour(middle), colour([thick] * 3)))
    return bits


def fruit_bowl(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """Fruit in a bowl, or loose on a table, by a window's or a lamp's light."""
    noise = Noise(rng)
    solids: list[Solid] = []
    albedos: list[Array] = []
    kinds: list[str] = []
    loose = number % 4 == 3
    mixture = list(rng.choice(list(FRUITS), int(rng.integers(2, 5)) if number % 3 else 1, replace=False))
    if not loose:
        wide, tall = pick(rng, 1.15, 1.5), pick(rng, 0.5, 0.75)
        points = [(0, 0.4), (0.08, 0.42), (0.14, 0.5), (0.5, 0.82), (0.85, 0.97), (0.97, 1.0), (1, 0.98)]
        solids.append(Turned(colour([0, 0, 0]), tall, rounded(points, 1) * wide))
        albedos.append(
            jitter(
                rng,
                hexed(str(rng.choice(["#e8e4da", "#3c5a80", "#7c8c88", "#b86c40", "#2c2c30", "#d8c8a0", "#884838"]))),
                0.1,
            )
        )
        kinds.append("bowl")
    spots: list[tuple[Array, float]] = []
    for _ in range(200):
        if len(spots) >= (int(rng.integers(4, 9)) if loose else 13):
            break
        kind = str(rng.choice(mixture))
        if loose:
            where = colour([pick(rng, -1.5, 1.5), 0, pick(rng, -1.0, 1.1)])
        else:
            level = 0 if len(spots) < 8 else 1
            radius = (wide - 0.42) * np.sqrt(rng.random()) if level == 0 else 0.5 * np.sqrt(rng.random())
            turn = pick(rng, 0, 6.28)
            where = colour([radius * np.cos(turn), tall + 0.12 + 0.52 * level, radius * np.sin(turn)])
        parts, size = _fruit(rng, kind, where)
        if loose:
            where = colour([where[0], size * 0.94, where[2]])
            parts, size = [Ball(where, parts[0].half, parts[0].axes)] if isinstance(parts[0], Ball) else parts, size
            if isinstance(parts[0], Turned):
                parts = [Turned(colour([where[0], 0, where[2]]), parts[0].tall, parts[0].profile)]
        if any(float(np.linalg.norm(where - p)) < 0.86 * (size + s) for p, s in spots):
            continue
        spots.append((where, size))
        tint = jitter(rng, hexed(str(rng.choice(FRUITS[kind]))), 0.1)
        for part in parts:
            solids.append(part)
            albedos.append(tint)
            kinds.append(kind)
        if kind in ("apple", "pear") and rng.random() < 0.8:
            up = parts[0].axes[0] if isinstance(parts[0], Ball) else colour([0, 1, 0])
            tip = where + up * (size * 0.95 if kind == "apple" else size * 1.5)
            solids.append(
                Ball(
                    colour(tip + 0.08 * up),
                    colour([0.13, 0.022, 0.022]),
                    parts[0].axes if isinstance(parts[0], Ball) else UPRIGHT,
                )
            )
            albedos.append(hexed("#4a3420"))
            kinds.append("stem")
    if number % 3 == 2:
        base = colour([pick(rng, -1.7, 1.7), 0.16, pick(rng, -1.6, -1.2)])
        for k in range(int(rng.integers(1, 3))):
            bits = _banana(rng, base + colour([0, 0.02 * k, 0.3 * k]), pick(rng, 60, 120))
            solids += bits
            albedos += [jitter(rng, hexed("#ecc42c"), 0.03)] * len(bits)
            kinds += ["banana"] * len(bits)
    away, lift = pick(rng, 4.2, 6.2), pick(rng, 14, 48) if number % 6 else pick(rng, 58, 70)
    place = -away * direction(0, -lift) + colour([pick(rng, -0.5, 0.5), 0.4, 0])
    camera = Camera.towards(canvas, place, (pick(rng, -0.3, 0.3), 0.45, 0), pick(rng, 38, 50), pick(rng, -2, 2))
    seen = look(camera, solids, floor=0.0)
    backdrop, mean = backroom(rng, canvas)
    lamp = 7 * direction(pick(rng, 40, 150) * float(rng.choice([-1, 1])) + 180, pick(rng, 28, 60))
    warm = hexed(str(rng.choice(["#fff2e0", "#ffe4c0", "#f2f4ff", "#ffd8a8"]))) * pick(rng, 0.9, 1.2)

    count = len(solids)
    table = np.stack([*albedos, colour([0, 0, 0])])
    albedo = table[np.where(seen.which < 0, count, seen.which)]
    p = seen.points
    names = np.array([*kinds, "table"])[np.where(seen.which < 0, count, seen.which)]
    mottle = noise.fractal(5 * p[..., 0] + 3 * p[..., 1], 5 * p[..., 2] - 3 * p[..., 1], 4)
    streak = noise.fractal(16 * p[..., 0] + 2 * p[..., 1], 16 * p[..., 2] + 30, 3)
    albedo = albedo * (0.72 + 0.4 * mottle + 0.25 * (streak - 0.5))[..., None]
    blush = ((names == "apple") | (names == "peach")) * smoothstep(0.45, 0.62, mottle)
    albedo = mix(albedo, albedo * colour([1.2, 0.55, 0.6]), blush)
    speck = ((names == "banana") | (names == "pear")) * smoothstep(
        0.68, 0.76, noise.fractal(30 * p[..., 0], 30 * p[..., 2], 2)
    )
    albedo = mix(albedo, hexed("#6a4a20"), 0.7 * speck)
    # Citrus peel has pits.
    peel = ((names == "orange") | (names == "lemon") | (names == "lime")) * 0.1
    for axis in range(3):
        seen.normal[..., axis] += peel * (
            noise.at(60 * p[..., (axis + 1) % 3] + 70 * axis, 60 * p[..., (axis + 2) % 3]) - 0.5
        )
    seen.normal[...] = unit(seen.normal)
    dark, light = WOODS[int(rng.integers(len(WOODS)))]
    on_table = seen.which == count
    if number % 5 == 4:
        cloth = jitter(rng, hexed(str(rng.choice(["#d8d4cc", "#8c9cac", "#b8584c"]))), 0.1)
        weave = 0.8 + 0.15 * np.sin(60 * p[..., 0]) * np.sin(60 * p[..., 2])
        check = 1 - 0.45 * ((p[..., 0] % 0.7 < 0.35).astype(np.float32) + (p[..., 2] % 0.7 < 0.35)) * 0.6
        top = cloth * (weave * check)[..., None]
    else:
        pair = (jitter(rng, hexed(dark), 0.1), jitter(rng, hexed(light), 0.1))
        u, v = (p[..., 0], p[..., 2]) if rng.random() < 0.7 else (p[..., 2], p[..., 0])
        plank = np.floor(v / 0.9)
        top = wood(noise, u + 7.3 * plank, v / 0.9 + 0.37 * plank, pair)
        top = top * (0.85 + 0.3 * noise.at(plank * 9.7, 0 * plank))[..., None]
        top = top * (0.35 + 0.65 * smoothstep(0.0, 0.02, (v / 0.9) % 1))[..., None]
    albedo = np.where(on_table[..., None], top, albedo)
    shine = np.where(on_table, 0.35, np.where((names == "peach") | (names == "stem"), 0.05, 0.8)).astype(np.float32)
    image = lamplit(
        rng, seen, solids, albedo, lamp, warm, mean * 1.1 + 0.12, pick(rng, 0.25, 0.6), shine, mean * 2 + 0.2
    )
    far_edge = (seen.which < 0) | (on_table & (p[..., 2] > pick(rng, 2.4, 4.5)))
    image = np.where(far_edge[..., None], backdrop, image).astype(np.float32)
    blurry = np.clip(np.abs(np.minimum(seen.t, 30) - away) / away - 0.12, 0, 1) * 1.3
    return defocus(image, np.where(far_edge, 1.0, blurry), 0.012 * canvas.shape[0])
