"""Hot-air balloons over a landscape."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .heaven import Sky, make_sky
from .maths import Array, Canvas, colour, dot, hexed, jitter, mix, pick, smoothstep, unit
from .noise import Noise
from .solids import Box, Seen, Solid, Turned, look
from .terrain import Terrain

PALETTES = [
    ["#d8202c", "#f4c818", "#2858b8"],
    ["#f07820", "#f8e8c8"],
    ["#6828a0", "#f0b020", "#e04880"],
    ["#18806c", "#f4f0e0", "#e8582c"],
    ["#f4f4f0", "#d02030"],
    ["#204080", "#88c8e8", "#f4f0e4"],
    ["#f8d020", "#202430"],
    ["#c81c50", "#ff9c40", "#ffe060", "#58a848", "#3878c8"],
]


def _envelope() -> Array:
    """The balloon's radius over its height: a narrow mouth, a cone, a round crown."""
    h = np.linspace(0, 1, 96)
    crown = np.sqrt(np.clip(1 - ((h - 0.60) / 0.40) ** 2, 0, 1))
    cone = 0.13 + 0.87 * np.sin(np.clip(h / 0.60, 0, 1) * np.pi / 2) ** 1.08
    return np.where(h > 0.60, crown, cone).astype(np.float32)


def _fabric(rng: np.random.Generator, style: int, azimuth: Array, height: Array, gores: int) -> Array:
    """The cloth's colour (n, 3) at an azimuth (radians) and a share of the height."""
    tints = np.stack([jitter(rng, hexed(c), 0.1) for c in PALETTES[int(rng.integers(len(PALETTES)))]])
    gore = np.floor(azimuth / (2 * np.pi) * gores).astype(int)
    ring = np.floor(height * 14).astype(int)
    index = [
        gore,
        ring // 2,
        gore // 2 + ring,
        gore + (ring // 2) % 2,
        np.abs((gore % 6) - 3) + ring,
        np.where((height > 0.45) & (height < 0.68), gore + 1, 0),
    ][style]
    paint = tints[index % len(tints)]
    return np.asarray(np.where((height > 0.93)[..., None], tints[0] * 0.7, paint))


def _country(rng: np.random.Generator, number: int, camera: Camera, sky: Sky) -> Array:
    """The land under the balloons with the sky over it: fields and woods, desert rocks, or misty hills."""
    noise, kind = Noise(rng, 16), number % 3
    z, x = np.mgrid[0:384, 0:384].astype(np.float32) * (16 / 384)
    if kind == 1:
        heights = 1.6 * smoothstep(0.42, 0.62, noise.ridged(0.5 * x, 0.5 * z, 5)) * (0.5 + noise.fractal(x, z, 3))
    else:
        heights = (1.6 + 0.9 * (kind == 2)) * (noise.fractal(0.5 * x, 0.5 * z, 6) - 0.35)
    land = Terrain(heights.astype(np.float32), 40.0)
    view = land.view(camera, 1.0, 75.0, steps=260)
    normal = land.normal(view.x, view.z)
    patch, fine = noise.fractal(0.7 * view.x, 0.7 * view.z, 3), noise.fractal(9 * view.x, 9 * view.z, 3)
    if kind == 1:
        albedo = mix(hexed("#b06c40"), hexed("#e0b080"), np.clip(patch + 0.6 * (fine - 0.5), 0, 1))
        albedo = mix(albedo, hexed("#50602c"), 0.7 * smoothstep(0.55, 0.65, fine) * (view.height < 0.5))
    else:
        # Fields: cells of a turned grid, each with its own crop.
        u, v = 0.8 * view.x + 0.5 * view.z + patch, 0.8 * view.z - 0.5 * view.x
        cell = (np.floor(u) * 7 + np.floor(v * 0.7) * 13) % 16
        crops = np.stack([hexed(c) for c in ("#6c8a34", "#a8a048", "#4c7030", "#c8b068", "#7c9c48", "#8c7448")])
        albedo = crops[cell.astype(int) % 6] * (0.6 + 0.7 * fine)[..., None]
        wood = smoothstep(0.5, 0.56, noise.fractal(0.35 * view.x + 5, 0.35 * view.z, 5))
        albedo = mix(albedo, hexed("#24401f") * (0.5 + fine)[..., None], wood)
    lambert = np.clip(dot(normal, np.broadcast_to(sky.sun, normal.shape)), 0, 1)
    sunlit = land.sunlit(sky.sun, 40).at(view.x / 40.0, view.z / 40.0)
    light = 1.2 * (lambert * sunlit)[..., None] * sky.sunlight + 0.45 * sky.zenith + 0.3 * sky.horizon
    ground = sky.haze(albedo * light, view.depth, pick(rng, 20, 45) if kind == 2 else pick(rng, 45, 90))
    return np.where(view.hit[..., None], ground, sky.light(camera.rays(), disc=0.7))


def balloons(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """One balloon close by or a flock of them, patterned in many ways, at all hours of a fine day."""
    hour = ["morning", "noon", "gold", "pale", "sunset", "noon", "crimson", "morning", "gold", "noon", "grey", "dusk"][
        number % 12
    ]
    horizon = pick(rng, 0.68, 0.95) if number % 4 != 1 else pick(rng, 0.4, 0.55)
    high = pick(rng, 2.2, 4.0)
    camera = Camera.level(canvas, (pick(rng, 0, 40), high, pick(rng, 0, 40)), 0, pick(rng, 42, 58), horizon)
    low = hour in ("gold", "sunset", "crimson", "dusk")
    sky = make_sky(
        rng,
        hour,
        pick(rng, 60, 160) * float(rng.choice([-1, 1])),
        pick(rng, 10, 20) if low else pick(rng, 25, 50),
        pick(rng, 0.0, 0.6),
    )
    image = _country(rng, number, camera, sky)

    profile = _envelope()
    count = [1, 4, 9, 2][number % 4] + int(rng.integers(0, 2))
    solids: list[Solid] = []
    taken: list[tuple[float, float, float]] = []
    rows, columns = canvas.shape
    for _ in range(80):
        if len(taken) == count:
            break
        # Choose a place in the picture and a size there, then the distance that gives it.
        size = pick(rng, 0.55, 0.8) if count <= 2 and not taken else pick(rng, 0.10, 0.42) * (1.2 if count < 5 else 0.9)
        cx, cy = pick(rng, 0.15, 0.85) * columns / rows, pick(rng, 0.3, 0.62) if size > 0.5 else pick(rng, 0.12, 0.75)
        if any(np.hypot(cx - a, cy - b) < 0.42 * (size + s) for a, b, s in taken):
            continue
        taken.append((cx, cy, size))
        tall = 2.4
        depth = tall * camera.focal / (size * rows)
        foot = (
            camera.position
            + depth * camera.forward
            + camera.right * ((cx * rows - camera.centre[0]) / camera.focal * depth)
            + camera.up * ((camera.centre[1] - cy * rows) / camera.focal * depth - tall / 2)
        )
        solids.append(Turned(colour(foot), tall, profile * tall * 0.425, steps=56))
        solids.append(Box(colour(foot - colour([0, 0.42, 0])), colour([0.13, 0.11, 0.13])))
        for dx, dz in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            axis = unit([0.02 * dx, 1, 0.02 * dz])
            side = unit(np.cross(axis, [0, 0, 1]))
            axes = np.stack([side, axis, np.cross(side, axis)]).astype(np.float32)
            solids.append(Box(colour(foot + colour([0.12 * dx, -0.15, 0.12 * dz])), colour([0.008, 0.18, 0.008]), axes))
    seen = look(camera, solids)
    return _dress(rng, image, seen, solids, sky)


def _dress(rng: np.random.Generator, image: Array, seen: Seen, solids: list[Solid], sky: Sky) -> Array:
    """Colour and light the balloons and baskets that are seen, and lay them over the country."""
    image = image.astype(np.float32)
    for index, solid in enumerate(solids):
        mask = seen.which == index
        if not mask.any():
            if isinstance(solid, Turned):
                rng.random(5)
            continue
        p, normal, t = seen.points[mask], seen.normal[mask], seen.t[mask]
        if isinstance(solid, Turned):
            local = p - solid.base
            azimuth = np.arctan2(local[:, 0], local[:, 2]) + pick(rng, 0, 6.28)
            azimuth = azimuth % (2 * np.pi)
            gores, share = int(rng.choice([12, 16, 20, 24])), local[:, 1] / solid.tall
            albedo = _fabric(rng, int(rng.integers(6)), azimuth, share, gores)
            # Every gore bulges between its seams.
            phase = azimuth / (2 * np.pi) * gores % 1 - 0.5
            around = np.stack([normal[:, 2], np.zeros_like(t), -normal[:, 0]], -1)
            normal = unit(normal + 0.55 * phase[:, None] * around)
            seam = 1 - 0.35 * smoothstep(0.42, 0.5, np.abs(phase))
            inner = 0.22 * smoothstep(0.5, 0.0, share)
            glow = (inner * (rng.random() < 0.5))[:, None] * hexed("#ffb050")
        else:
            weave = 0.6 + 0.4 * np.sin(170 * p[:, 1]) * np.sin(120 * (p[:, 0] + p[:, 2]))
            albedo, seam, glow = hexed("#8a6034") * weave[:, None], np.ones_like(t), np.zeros((1, 3), np.float32)
        lambert = dot(normal, np.broadcast_to(sky.sun, normal.shape))
        # Thin cloth lets some of the sun through to the shaded side.
        direct = np.clip(lambert, 0, 1) + 0.16 * np.clip(-lambert, 0, 1)
        ambient = (0.4 * sky.zenith + 0.4 * sky.horizon) * (0.6 + 0.4 * normal[:, 1:2])
        mirrored = seen.rays[mask] - 2 * dot(seen.rays[mask], normal)[:, None] * normal
        shine = 0.14 * np.clip(dot(mirrored, np.broadcast_to(sky.sun, normal.shape)), 0, 1) ** 18
        lit = albedo * seam[:, None] * (1.25 * direct[:, None] * sky.sunlight + ambient + glow) + (
            shine[:, None] * sky.sunlight
        )
        image[mask] = mix(lit, sky.horizon, 1 - np.exp(-t / 110))
    return image
