"""Plants: conifers in fog and fields of flowers."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .film import defocus
from .heaven import Sky, make_sky
from .maths import Array, Canvas, colour, hexed, jitter, mix, over, pick, smoothstep
from .noise import Noise


def _conifer(noise: Noise, rng: np.random.Generator, tall: int, spread: float) -> tuple[Array, Array]:
    """A fir or spruce of `tall` pixels as (light, alpha): light is how much of the sky its needles see, 0..1."""
    wide = max(6, int(tall * spread * 2.3))
    y, x = np.mgrid[0:tall, 0:wide].astype(np.float32)
    h = y / tall
    side = (x - wide / 2) / (wide / 2)
    shift = pick(rng, 0, 200)
    sway = 0.05 * (noise.at(4 * h + shift, h * 0 + shift) - 0.5)
    side = side + sway
    tiers = pick(rng, 11, 19)
    # Branches hang: farther from the trunk, a tier's edge lies lower.
    tier = h * tiers - 1.3 * np.abs(side) + 1.2 * noise.at(3 * side + shift, 5 * h)
    tooth = tier % 1.0
    rough = noise.fractal(9 * side + shift, 0.055 * tall**0.75 * h * 9 + 5, 3)
    reach = (h**0.85) * (0.5 + 0.34 * tooth + 0.75 * (rough - 0.35)) * (0.8 + 0.5 * noise.at(tiers * h + shift, h * 0))
    alpha = smoothstep(0.05, -0.05, np.abs(side) - np.maximum(reach, 0.012)) * (h < 0.965)
    holes = noise.fractal(14 * side + shift, 0.5 * tiers * h * 3, 3)
    alpha = alpha * smoothstep(0.22, 0.34, holes + 0.35 * (1 - np.abs(side)))
    trunk = (np.abs(side) < 0.03 + 0.02 * h) & (h > 0.1)
    alpha = np.maximum(alpha, trunk)
    light = np.clip(0.25 + 0.65 * tooth + 0.5 * (holes - 0.5) + 0.25 * side, 0, 1) * (0.55 + 0.45 * np.abs(side))
    return light.astype(np.float32), alpha.astype(np.float32)


def misty_forest(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """Firs in fog: wooded slopes behind one another, a clearing, or tall trunks close by; some with snow."""
    rows, columns = canvas.shape
    x, y = canvas.pixels()
    noise = Noise(rng)
    mood = [
        ("#c9d2d6", "#8fa3ad"),
        ("#e8d8b8", "#a8a890"),
        ("#b8c4d4", "#6f86a4"),
        ("#d8dcd8", "#98a89c"),
        ("#f0cfa8", "#b09a98"),
        ("#aebcc0", "#5f7880"),
    ][number % 6]
    fog, upper = (jitter(rng, hexed(c), 0.06) for c in mood)
    leaf = jitter(rng, hexed(str(rng.choice(["#26402a", "#2f4a2c", "#1f3a34", "#3a4a26"]))), 0.15)
    snowy = number % 4 == 2
    kind = number % 3
    glow = np.exp(-(((x - pick(rng, 0.2, 1.1)) / 0.6) ** 2 + ((y - pick(rng, 0.0, 0.35)) / 0.5) ** 2))
    wisps = noise.fractal(1.6 * x, 4.0 * y, 5)
    image = mix(upper, fog, np.clip(0.25 + y + 0.7 * (wisps - 0.5), 0, 1)) * (0.8 + 0.6 * glow)[..., None]
    layers = 6 if kind != 1 else 5
    start, slope = pick(rng, 0.22, 0.42), pick(rng, -0.35, 0.35)
    across = np.arange(columns, dtype=np.float32) / rows
    for layer in range(layers):
        near = (layer + 1) / layers
        base = start + (1.12 - start) * near**1.25
        hills = noise.fractal(1.5 * across * (1.3 - near) + 11 * layer, 0 * across + layer, 3) - 0.5
        edge = base + slope * (1.2 - near) * (across - 0.65) * float(rng.choice([-1, 1])) + 0.4 * (1.1 - near) * hills
        veil = 0.93 * (1 - near) ** 0.75
        top = int(np.clip(edge.min() - 0.01, 0, 1) * rows)
        bx, by = x[top:], y[top:]
        ground = smoothstep(-0.003, 0.003, by - edge[None])
        soil = mix(leaf * 0.35, leaf * 0.9, noise.fractal(18 * bx / near, 40 * by / near, 4))
        if snowy:
            soil = mix(soil, hexed("#dfe6ee"), smoothstep(0.4, 0.55, noise.fractal(7 * bx, 15 * by, 4)))
        elif kind == 2:
            soil = soil + (0.25 * noise.fractal(60 * bx, 25 * by, 3))[..., None] * hexed("#8a8a3c")
        over(image, mix(soil, fog * (0.9 + 0.3 * glow[top:, :, None]), veil), ground, 0, top)
        size = (0.10 + 0.50 * near**1.6) * (1.25 if kind == 1 else 1.0)
        if kind == 2 and layer == layers - 1:
            continue
        gap = size * 0.17 * (1.0 if near < 0.9 else 1.5)
        places = np.arange(-0.1, columns / rows + 0.1, gap)
        for place in places + rng.uniform(-0.6, 0.6, len(places)) * gap:
            if rng.random() < 0.1 + 0.3 * near:
                continue
            tall = int(size * rows * pick(rng, 0.5, 1.15))
            light, alpha = _conifer(noise, rng, tall, pick(rng, 0.16, 0.25))
            tone = mix(leaf * 0.10, leaf * 1.25, light)
            if snowy:
                tone = mix(tone, hexed("#e6ecf4") * 0.9, smoothstep(0.45, 0.75, light))
            at = int(place * rows) - alpha.shape[1] // 2
            column = int(np.clip(place * rows, 0, columns - 1))
            foot = int((edge[column] + 0.02 * near) * rows)
            over(image, mix(tone, fog, veil), alpha, at, foot - tall)
        drift = smoothstep(0.40, 0.75, noise.fractal(1.2 * x + 9 * layer, 5 * y + layer, 3))
        low = np.exp(-(((y - edge[None]) / (0.14 * (1.3 - near))) ** 2))
        image = mix(image, fog * (0.95 + 0.25 * glow[..., None]), (0.75 * drift * low * (1 - near) ** 0.5))
    if kind == 1:
        _trunks(image, rng, noise, x, y, leaf)
    shafts = noise.fractal(9 * np.arctan2(x - 0.3, y + 0.5), 0.5 * y, 2)
    beams = 0.10 * smoothstep(0.5, 0.75, shafts) * np.clip(1 - y, 0, 1) * (1 - 0.5 * snowy)
    return np.asarray(image + beams[..., None] * fog)


def _trunks(image: Array, rng: np.random.Generator, noise: Noise, x: Array, y: Array, leaf: Array) -> None:
    """A few tall trunks with bark and dead twigs in front of everything."""
    bark = jitter(rng, hexed(str(rng.choice(["#4a3a2e", "#3a3430", "#5a4434"]))), 0.15)
    for _ in range(int(rng.integers(2, 6))):
        cx, half = pick(rng, 0, 1.3), pick(rng, 0.012, 0.05)
        lean = pick(rng, -0.05, 0.05)
        side = (x - cx - lean * y + 0.01 * (noise.at(3 * y + 40 * cx, 0 * y) - 0.5)) / (half * (0.8 + 0.3 * y))
        alpha = smoothstep(1.0, 0.9, np.abs(side))
        furrow = noise.fractal(5 * side + 30 * cx, 9 * y, 4)
        turn = np.sqrt(np.clip(1 - side * side, 0, 1))
        paint = bark * (0.15 + 0.9 * furrow * (0.35 + 0.65 * np.clip(0.55 * side + 0.6 * turn, 0, 1)))[..., None]
        over(image, paint, alpha)
        for _ in range(int(rng.integers(3, 9))):
            ty, long, fall = pick(rng, 0, 0.8), pick(rng, 0.05, 0.2), pick(rng, -0.2, 0.5)
            away = (x - cx) * float(rng.choice([-1, 1]))
            twig = (away > 0) & (away < long) & (np.abs(y - ty - fall * away) < 0.0035 * (1.1 - away / long))
            over(image, bark * 0.35, twig.astype(np.float32))


def _blossom(rng: np.random.Generator, size: int, kind: str, petal: Array, noise: Noise) -> tuple[Array, Array]:
    """One flower head as (paint, alpha), `size` pixels wide, tilted and turned at random."""
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size * 2 - 1
    if kind == "tulip":
        lean = pick(rng, -0.25, 0.25)
        x = x + lean * y
        body = 0.62 * np.sqrt(np.clip(1 - ((y - 0.15) / 0.85) ** 2, 0, 1)) * (0.92 + 0.1 * y)
        rim = -0.55 + 0.22 * np.cos(9 * x)
        alpha = smoothstep(0.05, -0.05, np.abs(x) - body) * smoothstep(-0.05, 0.05, y - rim)
        fold = np.abs(np.sin(4.2 * x + 0.6))
        shade = 0.22 + 0.5 * fold * (0.6 - 0.45 * y) - 0.3 * np.abs(x) ** 2 + 0.12 * noise.at(9 * x, 2 * y)
        return petal * np.clip(shade, 0.06, 1.0)[..., None], alpha
    squash, turn = pick(rng, 0.5, 0.98), pick(rng, 0, 6.3)
    if kind == "poppy":
        squash = pick(rng, 0.55, 0.8)
    v = y / squash
    rho, angle = np.hypot(x, v), np.arctan2(v, x) + turn
    count = {"sunflower": 17, "daisy": 13, "poppy": 4, "cosmos": 8}[kind]
    lobe = np.abs(np.cos(angle * count / 2))
    edge = {
        "sunflower": 0.72 + 0.24 * lobe,
        "daisy": 0.5 + 0.46 * lobe**0.5,
        "poppy": 0.82 + 0.12 * lobe,
        "cosmos": 0.62 + 0.32 * lobe**0.6,
    }[kind]
    edge = edge + 0.1 * (noise.at(3 * angle + turn * 9, angle * 0) - 0.5)
    alpha = smoothstep(0.04, -0.04, rho - edge)
    vein = 0.8 + 0.25 * np.cos(angle * count * 3) * 0.5 + 0.2 * noise.at(5 * angle + 40, 2 * rho)
    shade = (0.3 + 0.6 * smoothstep(0.2, 0.9, rho)) * vein * (0.6 + 0.35 * lobe) * (1.0 - 0.3 * y)
    paint = petal * shade[..., None]
    heart, core = {
        "sunflower": (0.42, "#3a2210"),
        "daisy": (0.24, "#e8b020"),
        "poppy": (0.2, "#14100e"),
        "cosmos": (0.17, "#e0a818"),
    }[kind]
    disc = smoothstep(heart + 0.05, heart - 0.05, rho)
    grain = noise.at(22 * x + 50, 22 * y)
    inner = hexed(core) * (0.4 + 0.9 * grain + 0.5 * smoothstep(0.2, 0, rho))[..., None]
    return mix(paint, inner, disc), alpha


BEDS = [
    ("tulip", ["#e02030", "#f0c020", "#f4a0b8", "#f8f0e0"]),
    ("sunflower", ["#f4b810", "#f0a810"]),
    ("poppy", ["#d81e14", "#e03020"]),
    ("daisy", ["#f4f2ea", "#ece8e0"]),
    ("tulip", ["#a02878", "#e890c0"]),
    ("cosmos", ["#e070b0", "#f0b0d8", "#c83c80"]),
]


def flower_field(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """A field of one kind of flower up to the horizon, the nearest blossoms large; woods and hills behind."""
    rows, columns = canvas.shape
    kind, tints = BEDS[number % len(BEDS)]
    hour = ["noon", "morning", "pale", "gold", "grey", "noon", "sunset", "morning"][number % 8]
    horizon = pick(rng, 0.16, 0.42)
    camera = Camera.level(canvas, (0, pick(rng, 0.55, 1.1), 0), 0, pick(rng, 40, 60), horizon)
    sky = make_sky(rng, hour, pick(rng, -60, 60), pick(rng, 8, 16) if hour == "sunset" else pick(rng, 25, 55))
    rays = camera.rays()
    image = sky.light(rays, disc=0.5)
    x, y = canvas.pixels()
    noise = Noise(rng)
    down = rays[..., 1] < -0.001
    reach = np.where(down, camera.position[1] / np.maximum(-rays[..., 1], 1e-3), 0)
    offset = pick(rng, 0.2, 0.7)
    gx, gz = rays[..., 0] * reach + offset, rays[..., 2] * reach
    green = mix(hexed("#1c3312"), hexed("#5c8a2c"), noise.fractal(12 * gx, 5 * gz, 4))
    light = 0.75 * sky.sunlight + 0.35 * sky.zenith + 0.2 * sky.horizon
    petals = np.stack([hexed(t) for t in tints])
    striped = kind == "tulip" and number % 2 == 0
    row_of = np.floor(gx / 0.9).astype(int) if striped else np.floor(3 * noise.at(2 * gx, 2 * gz)).astype(int)
    far_tint = petals[row_of % len(petals)] * (0.35 + 0.8 * noise.fractal(30 * gx, 9 * gz, 3))[..., None]
    meadow = mix(
        green * 0.5, far_tint, smoothstep(2.0, 9.0, gz) * smoothstep(0.3, 0.55, noise.fractal(9 * gx, 3 * gz, 3))
    )
    meadow = sky.haze(meadow * light, reach, 90)
    image = np.where(down[..., None], meadow, image).astype(np.float32)

    _background(image, rng, noise, sky, x, y, horizon)

    far = np.full((rows, columns, 1), 14.0, np.float32)
    far[down] = np.minimum(reach, 14.0)[down][:, None]
    count = 750
    depth = np.sort(pick(rng, 0.75, 1.1) + 12 * rng.random(count) ** 1.9)[::-1]
    place = rng.uniform(-1, 1, count) * (0.55 * columns / camera.focal * depth + 0.3)
    if striped:
        place = np.floor((place + offset) / 0.9) * 0.9 + rng.normal(0.45, 0.17, count) - offset
    big = {"sunflower": 0.30, "poppy": 0.16, "tulip": 0.16, "daisy": 0.13, "cosmos": 0.17}[kind]
    focus = pick(rng, 1.2, 2.6)
    for z, px in zip(depth, place, strict=True):
        high = pick(rng, 0.25, 0.5) * (1.2 if kind == "sunflower" else 0.85)
        column = camera.centre[0] + camera.focal * px / z
        top = camera.centre[1] + camera.focal * (camera.position[1] - high) / z
        size = int(np.clip(camera.focal * big * pick(rng, 0.75, 1.2) / z, 4, 0.32 * rows))
        row = int(np.floor((px + offset) / 0.9)) if striped else int(rng.integers(len(petals)))
        petal = jitter(rng, petals[row % len(petals)], 0.12)
        paint, alpha = _blossom(rng, size, kind, petal, noise)
        if size > 14:
            _stem(image, rng, column, top, size, light, noise)
        left, upper = int(column - size / 2), int(top - size / 2)
        over(image, mix(paint * light, sky.horizon, 1 - np.exp(-z / 90)), alpha, left, upper)
        over(far, colour([z]), np.round(alpha), left, upper)
    blurry = np.clip(np.abs(1 / far[..., 0] - 1 / focus) * 1.1 - 0.12, 0, 1)
    return defocus(image, blurry, 0.014 * rows)


def _stem(
    image: Array, rng: np.random.Generator, column: float, top: float, size: int, light: Array, noise: Noise
) -> None:
    """A stem under a blossom, with one or two long leaves."""
    tall = int(size * pick(rng, 1.8, 2.8))
    wide = int(size * 1.3) + 2
    visible = min(tall, image.shape[0] - int(top))
    if visible <= 0:
        return
    y, x = np.mgrid[0:visible, 0:wide].astype(np.float32)
    h, side = y / tall, (x - wide / 2) / size
    alpha = smoothstep(0.05, 0.03, np.abs(side + 0.06 * h * h))
    for _ in range(2):
        turn, start = pick(rng, -0.9, 0.9), pick(rng, 0.25, 0.6)
        along = np.clip((h - start) / (1 - start), 0, 1)
        centre = turn * (1 - along) ** 1.5 * 0.7
        alpha = np.maximum(
            alpha, smoothstep(0.0, -0.03, np.abs(side - centre) - 0.10 * np.sin(np.pi * along) - 0.005) * (h > start)
        )
    tone = jitter(rng, hexed("#4c7a2a"), 0.15) * (0.35 + 0.8 * noise.at(8 * side[:1], 0 * side[:1]))[..., None]
    over(image, tone * light * (1 - 0.6 * h)[..., None], alpha.astype(np.float32), int(column - wide / 2), int(top))


def _background(
    image: Array, rng: np.random.Generator, noise: Noise, sky: Sky, x: Array, y: Array, horizon: float
) -> None:
    """Hills and a wood's edge on the horizon."""
    for layer in range(int(rng.integers(1, 4))):
        crest = horizon - pick(rng, 0.04, 0.12) - 0.12 * (noise.fractal(1.5 * x + 20 * layer, 0 * x, 3) - 0.5)
        crest = crest - 0.012 * (noise.fractal(40 * x, 0 * x + layer, 3) - 0.5)
        tone = mix(
            hexed("#3a5a34") * (0.5 + noise.fractal(30 * x, 40 * y, 3))[..., None], sky.horizon, 0.65 - 0.2 * layer
        )
        over(image, tone, (smoothstep(-0.003, 0.003, y - crest) * (y < horizon + 0.018)).astype(np.float32))
