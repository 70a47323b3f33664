"""Water: the sea under a low sun, and a coral reef beneath the surface."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .film import blur
from .heaven import make_sky
from .maths import Array, Canvas, colour, dot, hexed, jitter, mix, over, pick, smoothstep, unit
from .noise import Noise, spectral

EVENINGS = {
    "orange": ("#3f5a8c", "#f0b078", "#ffc078", 1.5),
    "rose": ("#5a6a98", "#e8b0a4", "#ffc0a0", 1.3),
    "gold": ("#6b8fb8", "#f4dcaa", "#ffe6b4", 1.6),
    "red": ("#3c3c5e", "#d8805c", "#ff9c60", 1.3),
    "violet": ("#3c487c", "#b898b4", "#ffc4b0", 1.0),
    "amber": ("#5c6470", "#d8b078", "#ffcc88", 1.3),
}


def _coast(image: Array, rng: np.random.Generator, camera: Camera, tint: Array) -> None:
    """Dark headlands on the horizon, from one side or both."""
    rows, columns = camera.shape
    noise, x = Noise(rng), np.arange(columns, dtype=np.float32) / columns
    for layer in range(int(rng.integers(1, 4))):
        side = x if rng.random() < 0.5 else 1 - x
        outline = smoothstep(pick(rng, 0.3, 0.5), pick(rng, 0.75, 1.1), side)
        outline = outline * (0.5 + noise.fractal(6 * x + 31 * layer, 0 * x + layer, 5)) * pick(rng, 0.04, 0.13)
        top = camera.centre[1] - outline * rows
        row = np.arange(rows)[:, None]
        alpha = smoothstep(-1, 1, row - top[None]) * (row < camera.centre[1])
        over(image, mix(tint * 0.12, tint, 0.15 + 0.22 * (2 - layer)), alpha.astype(np.float32))


def _rocks(image: Array, rng: np.random.Generator, shade: Array) -> None:
    """Black rocks in the surf at the bottom of the picture."""
    rows, columns = image.shape[:2]
    noise = Noise(rng)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / rows
    for _ in range(int(rng.integers(2, 6))):
        cx, cy = pick(rng, 0, columns / rows), pick(rng, 0.78, 1.02)
        wide, tall = pick(rng, 0.06, 0.25), pick(rng, 0.03, 0.11)
        dome = 1 - ((x - cx) / wide) ** 2
        top = cy - tall * np.sqrt(np.maximum(dome, 0)) * (0.5 + noise.fractal(9 * x + cx, 9 * cx + 0 * y, 4))
        alpha = smoothstep(-0.002, 0.002, y - top) * (dome > 0) * (1 - smoothstep(-0.01, 0.01, y - cy))
        crag = noise.fractal(26 * x, 40 * y, 5)
        over(image, (0.015 + 0.18 * np.clip(crag - 0.42, 0, 1) * (y < cy))[..., None] * shade, alpha)


def sunset_sea(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """The sea with the sun low over it: swell, a path of glitter, clouds, headlands, rocks, a distant ship."""
    hour = list(EVENINGS)[number % len(EVENINGS)]
    horizon = pick(rng, 0.34, 0.66)
    camera = Camera.level(canvas, (0, 1, 0), 0, pick(rng, 35, 65), horizon)
    sky = make_sky(rng, "gold", pick(rng, -14, 14), pick(rng, 0.3, 7.5), pick(rng, 0.25, 0.85))
    zenith, low, sunlight, power = EVENINGS[hour]
    sky = type(sky)(
        hexed(zenith), hexed(low), sky.sun, hexed(sunlight) * power, sky.cover, sky.clouds, pick(rng, 0.12, 0.3)
    )
    rays = camera.rays()
    image = sky.light(rays, disc=1.3)
    water = rays[..., 1] < -0.0006
    d = rays[water]
    reach = pick(rng, 1.0, 3.5) / -d[:, 1]
    x, z = d[:, 0] * reach, d[:, 2] * reach
    swell, small = spectral(rng, 512, 1.6, 5.0), spectral(rng, 512, 1.1, 12.0)
    rough, lane, e = pick(rng, 0.10, 0.34), pick(rng, 0.3, 0.7), 0.004
    fade = np.exp(-reach / 60)

    def slope(axis: int) -> Array:
        """The waves' slope along x (0) or z (1): long crests across the view, with chop on them."""
        px, pz = (e, 0.0) if axis == 0 else (0.0, e)
        long = swell.at(lane * 0.05 * x + px, 0.10 * z + pz) - swell.at(lane * 0.05 * x, 0.10 * z)
        chop = small.at(0.10 * x + px, 0.22 * z + pz) - small.at(0.10 * x, 0.22 * z)
        return np.asarray(rough * (2.6 * long + 1.2 * chop) / e * 0.032)

    normal = unit(np.stack([-slope(0) * (0.25 + 0.75 * fade), np.ones_like(x), -slope(1) * (0.25 + 0.75 * fade)], -1))
    mirrored = d - 2 * dot(d, normal)[:, None] * normal
    mirrored[:, 1] = np.abs(mirrored[:, 1])
    share = 0.03 + 0.97 * (1 - np.clip(-dot(d, normal), 0, 1)) ** 5
    shine = sky.light(mirrored[None], disc=1.0)[0]
    near = np.clip(dot(mirrored, np.broadcast_to(sky.sun, mirrored.shape)), 0, 1)
    shine += (3.0 * near**300 + 0.5 * near**40)[:, None] * sky.sunlight
    deep = jitter(rng, hexed("#16323f"), 0.2) * 0.5 + 0.1 * sky.zenith
    surface = mix(deep, shine, np.clip(share * 1.15 + 0.05, 0, 1))
    image[water] = mix(surface, sky.horizon, 0.7 * (1 - np.exp(-reach / 500)))
    if number % 3 == 1:
        _coast(image, rng, camera, sky.horizon)
    if number % 4 == 2:
        _rocks(image, rng, sky.horizon)
    if number % 4 in (0, 3):
        for _ in range(int(rng.integers(1, 4))):
            _boat(image, rng, camera, sky.horizon)
    return image


def _boat(image: Array, rng: np.random.Generator, camera: Camera, haze: Array) -> None:
    """A sailing boat against the light, and its dark reflection broken by the waves."""
    rows, columns = image.shape[:2]
    size = pick(rng, 0.05, 0.24) * rows
    side = int(2 * size)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / size
    x = (x - 1) * float(rng.choice([-1, 1]))
    hull = (y > 0.90) & (y < 1.0) & (np.abs(x + 0.02) < 0.36 - 0.9 * (y - 0.9))
    main = (y > 0.05) & (y < 0.84) & (x > 0.015) & (x < 0.34 * np.clip((y - 0.05) / 0.79, 0, 1) ** 0.8)
    jib = (y > 0.2) & (y < 0.84) & (x < -0.015) & (x > -0.30 * (y - 0.2) / 0.64)
    mast = (np.abs(x) < 0.01) & (y > 0.02) & (y < 0.92)
    shape = (hull | main | jib | mast).astype(np.float32)
    shade = haze * np.where(main | jib, 0.22 + 0.25 * (x < 0), 0.04)[..., None]
    waterline = camera.centre[1] + 0.35 * size * pick(rng, 0.2, 1.0)
    left, top = int(pick(rng, 0.1, 0.85) * columns - size), int(waterline - size)
    over(image, shade, shape, left, top)
    mirrored = shape[: side // 2][::-1]
    fade = 0.45 * np.linspace(1, 0, side // 2, dtype=np.float32)[:, None] * (rng.random((side // 2, 1)) < 0.7)
    over(image, haze * 0.08, mirrored * fade, left, top + side // 2)


def _coral(rng: np.random.Generator, canvas: Canvas, size: float, tint: Array, kind: int) -> tuple[Array, Array]:
    """A coral as (paint, alpha): 0 branching, 1 a brain-like dome, 2 a fan, 3 fingers; `size` in drawn pixels."""
    side = max(12, int(size))
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    noise = Noise(rng, 64)
    if kind == 1:
        lumps = noise.fractal(4 * x, 4 * y, 3) - 0.5
        rho = np.hypot((x - 0.5) / 0.44, (1 - y) / pick(rng, 0.4, 0.8)) * (1 + 0.45 * lumps)
        alpha = smoothstep(1.0, 0.97, rho) * smoothstep(0.0, 0.03, 1 - y - 0.05 - 0.25 * np.abs(lumps))
        tall = np.sqrt(np.clip(1 - rho * rho, 0, 1))
        maze = np.abs(noise.fractal(14 * x + 3 * tall, 14 * y, 2) - 0.5) * 5
        shade = 0.1 + 0.9 * np.clip(0.2 * tall + 0.9 * (1 - y) * tall + 0.9 * lumps, 0, 1)
        shade = shade * (0.45 + 0.55 * np.clip(maze, 0, 1)) * (0.7 + 0.6 * noise.at(60 * x, 60 * y))
        return tint * shade[..., None], alpha
    alpha, depth = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    twigs: list[tuple[float, float, float, float, int]] = []
    stems = 1 if kind == 2 else int(rng.integers(4, 9))
    for _ in range(stems):
        twigs.append(
            (
                0.5 + (0 if kind == 2 else pick(rng, -0.22, 0.22)),
                1.0,
                pick(rng, -0.7, 0.7) if kind != 2 else 0.0,
                0.05 if kind == 3 else 0.032,
                0,
            )
        )
    limit = {0: 4, 2: 6, 3: 1}[kind]
    while twigs:
        tx, ty, angle, thick, level = twigs.pop()
        long = pick(rng, 0.35, 0.6) if kind == 3 else 0.27 * 0.8**level
        ex, ey = tx + long * np.sin(angle), ty - long * np.cos(angle)
        # Only the window that the twig lies in is touched.
        top, bottom = (int(np.clip(v * side, 0, side)) for v in (min(ty, ey) - thick, max(ty, ey) + thick + 1 / side))
        left, right = (int(np.clip(v * side, 0, side)) for v in (min(tx, ex) - thick, max(tx, ex) + thick + 1 / side))
        box = slice(top, bottom), slice(left, right)
        bx, by = x[box], y[box]
        share = np.clip(((bx - tx) * (ex - tx) + (by - ty) * (ey - ty)) / long**2, 0, 1)
        gap = np.hypot(bx - tx - share * (ex - tx), by - ty - share * (ey - ty))
        inside = smoothstep(thick, thick * 0.75, gap)
        round_ = np.sqrt(np.clip(1 - (gap / thick) ** 2, 0, 1)) * (0.5 + 0.5 * (1 - ty))
        depth[box] = np.where(inside > alpha[box] * 0.5, np.maximum(depth[box] * 0.6, round_), depth[box])
        alpha[box] = np.maximum(alpha[box], inside)
        if level < limit and len(twigs) < 60:
            for turn in (-1, 1) if kind != 3 else (1,):
                twigs.append((float(ex), float(ey), angle + turn * pick(rng, 0.15, 0.6), thick * 0.78, level + 1))
    bumps = 0.35 + 1.3 * noise.fractal(45 * x, 45 * y, 2)
    foot = 0.25 + 0.75 * smoothstep(0.0, 0.5, 1 - y)
    return tint * ((0.12 + 0.88 * depth) * bumps * foot)[..., None], alpha


def _fish(rng: np.random.Generator, long: float, tint: Array, second: Array, kind: int) -> tuple[Array, Array]:
    """A fish as (paint, alpha), swimming right or left; `long` in drawn pixels."""
    w = max(10, int(long))
    h = max(8, int(long * 0.8))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    x, y = x / w, (y - h / 2) / w
    tall = (0.15, 0.3, 0.22)[kind]
    bend = 0.02 * np.sin(6 * x + pick(rng, 0, 6))
    y = y - bend
    u = np.clip((x - 0.24) / 0.74, 0, 1)
    body = tall * np.sqrt(np.clip(u * (1 - u), 0, 1)) * 2 * (0.62 + 0.38 * u)
    alpha = smoothstep(0.012, -0.012, np.abs(y) - body) * (x > 0.24)
    tail = (np.abs(y) < (0.30 - x) * 0.62 * tall / 0.18) & (x > 0.04 + 0.12 * (1 - np.abs(y) / 0.2)) & (x < 0.32)
    fin = (y < 0) & (y > -body - 0.10 * np.sqrt(np.clip((x - 0.4) * (0.85 - x), 0, 1)) * 3) & (x > 0.4) & (x < 0.85)
    alpha = np.maximum(alpha, np.maximum(tail, fin * 0.85))
    stripe = smoothstep(0.25, 0.6, np.sin((x + 0.15 * y * y) * (26, 17, 0)[kind] + 1.0))
    back = smoothstep(-0.05, 0.02, y / max(tall, 0.1) + 0.1)
    paint = mix(tint, second, stripe if kind != 2 else back)
    shade = 0.35 + 0.75 * np.clip(0.5 - 1.4 * y / tall * 0.5, 0, 1)
    scale = 0.9 + 0.2 * np.sin(90 * x) * np.sin(90 * y)
    eye = np.hypot(x - 0.86, y + 0.02)
    paint = paint * (shade * scale)[..., None]
    paint = np.where((eye < 0.035)[..., None], 0.9, paint)
    paint = np.where((eye < 0.022)[..., None], 0.01, paint)
    if rng.random() < 0.5:
        return paint[:, ::-1], alpha[:, ::-1]
    return paint, alpha


CORALS = ["#e0607a", "#f0913c", "#c04fb0", "#e8c84a", "#7fb04a", "#d8d0b8", "#a05838", "#e84a3c", "#6a70c8"]
FISHES = [
    ("#f07a1c", "#f4f0e8"),
    ("#f6d427", "#20242c"),
    ("#2a6cd8", "#f0d040"),
    ("#e8ecf0", "#202428"),
    ("#d84858", "#f4e4b8"),
    ("#58c0c8", "#28487c"),
    ("#f0c020", "#f8f4e0"),
]


def coral_reef(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """Under water: light from above, a reef that fades into the blue, and fish, near or in shoals."""
    rows, columns = canvas.shape
    x, y = canvas.pixels()
    deep, bright = [("#04304f", "#3fa8d0"), ("#053a52", "#58c4cc"), ("#0a2a58", "#3a88d8"), ("#0b3f48", "#6cc8b0")][
        number % 4
    ]
    blue, light = jitter(rng, hexed(deep), 0.15), jitter(rng, hexed(bright), 0.15)
    sun = pick(rng, 0.1, 1.2)
    noise = Noise(rng)
    image = mix(light, blue, smoothstep(-0.1, 0.9, y + 0.25 * np.abs(x - sun)))
    # Shafts of light fan out from where the sun stands above the water.
    angle = np.arctan2(x - sun, y + 0.45)
    shafts = noise.fractal(16 * angle + 9, 0.6 * y + 4, 3)
    image = image + (0.9 * smoothstep(0.45, 0.8, shafts) * np.clip(0.85 - y, 0, 1) ** 1.5)[..., None] * light
    floor, swing = pick(rng, 0.55, 0.8), pick(rng, -0.25, 0.25)
    water = mix(light, blue, 0.55)
    layers = 6
    across = x[0]
    for layer in range(layers):
        near = (layer + 1) / layers
        fog = 0.12 + 0.80 * (1 - near) ** 0.9
        base = floor + (1.02 - floor) * (near - 0.14) ** 1.2 * 1.1
        edge = base - 0.10 * near + swing * (across - 0.6) * (1 - 0.5 * near)
        edge = edge - 0.26 * (noise.fractal(2.2 * across + 7 * layer, 0 * across + layer, 5) - 0.5)
        # Rows from the layer's highest point down to where the next layer certainly covers it.
        band = slice(int(np.clip(edge.min() - 0.01, 0, 1) * rows), int(np.clip(edge.max() + 0.45, 0, 1) * rows))
        bx, by = x[band], y[band]
        alpha = smoothstep(-0.004, 0.004, by - edge)
        rock = noise.fractal(13 * bx / near + layer, 20 * by / near, 5)
        caustic = np.abs(noise.fractal(9 * bx / near, 16 * (by - edge) / near + 5, 2) - 0.5)
        tone = mix(jitter(rng, hexed("#7c705c"), 0.2), jitter(rng, hexed("#b08a7c"), 0.3), rock)
        tone = tone * (0.25 + 0.9 * rock + 0.35 * smoothstep(0.06, 0.0, caustic))[..., None]
        tone = tone * np.exp(-2.0 * np.clip(by - edge - 0.05, 0, 1))[..., None]
        over(image, mix(tone, water, fog), alpha, 0, band.start)
        for _ in range(int(rng.integers(6, 13))):
            size = pick(rng, 0.10, 0.30) * (0.3 + 0.9 * near) * rows
            tint = jitter(rng, hexed(str(rng.choice(CORALS))), 0.2)
            # Water takes the red out of things, and few corals are as gaudy as their names.
            tint = mix(tint, colour(tint.mean() * 0.6 + 0.12 * water), 0.45) * 1.1
            paint, cover = _coral(rng, canvas, size, tint, int(rng.choice([0, 0, 1, 1, 2, 3])))
            place = pick(rng, -0.05, 1.0) * columns
            column = int(np.clip(place + size / 2, 0, columns - 1))
            foot = int((edge[column] + pick(rng, 0.02, 0.10) * near) * rows)
            over(image, mix(paint, water, fog), cover, int(place), foot - cover.shape[0])
        _swim(image, rng, number, near, fog, water)
    if number % 3 == 0:
        image = mix(image, blur(image, 3.0), smoothstep(0.75, 1.0, y))
    return image


def _swim(image: Array, rng: np.random.Generator, number: int, near: float, fog: float, water: Array) -> None:
    """Fish of one layer: a shoal of small ones in some pictures, a few larger ones in others."""
    rows, columns = image.shape[:2]
    shoal = number % 3 == 1
    pair = FISHES[int(rng.integers(len(FISHES)))]
    kind = int(rng.integers(3))
    cx, cy = pick(rng, 0.15, 0.85), pick(rng, 0.15, 0.6)
    for _ in range(int(rng.integers(6, 14)) if shoal else int(rng.integers(0, 3))):
        long = rows * (0.05 + 0.06 * near if shoal else pick(rng, 0.08, 0.24) * near)
        tint, second = (jitter(rng, hexed(c), 0.1) for c in pair)
        paint, alpha = _fish(rng, long, tint, second, kind)
        where = rng.normal([cx, cy], 0.14) if shoal else rng.uniform([0.0, 0.1], [0.9, 0.75])
        over(image, colour(mix(paint, water, 0.8 * fog)), alpha, int(where[0] * columns), int(where[1] * rows))
