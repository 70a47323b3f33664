"""Open land: mountain lakes and desert dunes, seen over height fields."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .heaven import Sky, make_sky
from .maths import Array, Canvas, dot, hexed, jitter, mix, pick, smoothstep
from .noise import Noise
from .terrain import Terrain, View

EXTENT = 16.0


def _grid(cells: int, waves: float) -> tuple[Array, Array]:
    """Coordinates (x, z) of a map's cells, `waves` units a side."""
    z, x = np.mgrid[0:cells, 0:cells].astype(np.float32) * (waves / cells)
    return x, z


def _mountains(rng: np.random.Generator, tall: float) -> Terrain:
    """Alps: ridges of several sizes; low ground lies below 0 and will be water."""
    noise = Noise(rng, 8)
    x, z = _grid(640, 8.0)
    broad = noise.fractal(0.5 * x, 0.5 * z, 3)
    ridge = noise.ridged(x, z, 8, 0.52)
    # Low ground is smoother than high ground, as rivers and ice leave it.
    heights = tall * (ridge**0.9 * (0.35 + 1.1 * broad) - pick(rng, 0.17, 0.24))
    return Terrain(heights.astype(np.float32), EXTENT)


def _rock_colours(rng: np.random.Generator, view: View, normal: Array, tall: float, season: str) -> Array:
    """Forest, meadow, rock and snow by height and steepness, shape (h, w, 3)."""
    noise = Noise(rng)
    patch = noise.fractal(7 * view.x, 7 * view.z, 4)
    fine = noise.fractal(34 * view.x + 55 * view.height, 34 * view.z - 50 * view.height, 4)
    rock = mix(jitter(rng, hexed("#6f675f"), 0.12), jitter(rng, hexed("#a39b8e"), 0.12), fine)
    green = {"summer": ("#2c4a26", "#6f8a3f"), "autumn": ("#8a5a22", "#c08a30"), "winter": ("#39453e", "#98a39f")}
    wood, meadow = (jitter(rng, hexed(c), 0.15) for c in green[season])
    plants = mix(wood * 0.5, meadow * 0.7, smoothstep(0.38, 0.62, patch))
    plants = plants * (0.55 + 0.9 * fine)[..., None]
    high = view.height / tall
    shade = mix(plants, rock, smoothstep(0.10, 0.22, high + 0.25 * (patch - 0.5) + 0.25 * (0.75 - normal[..., 1])))
    line = {"summer": 0.33, "autumn": 0.26, "winter": 0.06}[season] * pick(rng, 0.8, 1.25)
    snow = smoothstep(line, line + 0.08, high + 0.2 * (patch - 0.5)) * smoothstep(0.42, 0.62, normal[..., 1])
    return mix(shade, hexed("#f2f5fb") * 0.95, snow)


def mountain_lake(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """Peaks behind a lake that mirrors them; hour, season, weather and the lake's ripples vary."""
    hour = ["noon", "morning", "gold", "pale", "crimson", "noon", "grey", "morning", "gold", "noon", "dusk", "pale"][
        number % 12
    ]
    season = ["summer", "autumn", "winter"][(number // 2) % 3]
    tall = pick(rng, 1.5, 2.3)
    land = _mountains(rng, tall)
    # Of many shores, stand where there is water in front and high ground behind it.
    best, camera_at, facing, want = -1e9, (0.0, 0.0), 0.0, pick(rng, 0.22, 0.36)
    for _ in range(160):
        px, pz, azimuth = pick(rng, 0, EXTENT), pick(rng, 0, EXTENT), pick(rng, 0, 360)
        step = np.linspace(0.05, 7, 60)
        h = land.height(px + step * np.sin(np.radians(azimuth)), pz + step * np.cos(np.radians(azimuth)))
        wet = float((h[:14] < 0).mean())
        skyline = float((h / (step + 0.3)).max())
        score = 2.2 * wet - 4 * abs(skyline - want) - 3 * float(h[:3].max() > -0.02)
        if score > best:
            best, camera_at, facing = score, (px, pz), azimuth
    view_angle, horizon = pick(rng, 42, 68), pick(rng, 0.5, 0.66)
    camera = Camera.level(canvas, (camera_at[0], pick(rng, 0.05, 0.22), camera_at[1]), facing, view_angle, horizon)
    low = hour in ("gold", "crimson", "dusk")
    side = pick(rng, 50, 150) * float(rng.choice([-1, 1]))
    sky = make_sky(rng, hour, facing + side, pick(rng, 14, 22) if low else pick(rng, 24, 50))

    view = land.view(camera, 0.03, 14.0, floor=0.0)
    noise = Noise(rng)
    bump = 2.2 * (noise.fractal(30 * view.x, 30 * view.z, 4) - 0.5)
    normal = land.normal(view.x, view.z, bump * 0.5, bump * 0.4)
    albedo = _rock_colours(rng, view, normal, tall, season)
    sunlit = land.sunlit(sky.sun).at(view.x / EXTENT, view.z / EXTENT)
    lambert = np.clip(dot(normal, np.broadcast_to(sky.sun, normal.shape)), 0, 1) * sunlit
    ambient = (0.55 * sky.zenith + 0.35 * sky.horizon) * (0.5 + 0.5 * normal[..., 1:2])
    ground = albedo * (1.25 * lambert[..., None] * sky.sunlight + ambient)
    ground = sky.haze(ground, view.depth, pick(rng, 9, 26))
    above = sky.light(camera.rays(), disc=0.6)
    image = np.where(view.hit[..., None], ground, above)

    raw = land.height(view.x, view.z)
    water = view.hit & (raw < 0) & (view.height < 0.004)
    return _mirror(rng, image, water, view, sky, camera, calm=number % 3 != 2)


def _mirror(
    rng: np.random.Generator, image: Array, water: Array, view: View, sky: Sky, camera: Camera, calm: bool
) -> Array:
    """Put water where `water` is: the picture above the far shore turned over, shaken by ripples."""
    rows, columns = image.shape[:2]
    noise = Noise(rng)
    strength = pick(rng, 0.4, 1.0) * (1.0 if calm else 3.0)
    near = 1 / (view.depth + 0.05)
    ripple = noise.fractal(22 * view.x, 22 * view.z, 3) - 0.5
    wide = noise.fractal(5 * view.x, 5 * view.z, 3) - 0.5
    row, column = np.mgrid[0:rows, 0:columns]
    horizon = camera.centre[1]
    # A level mirror shows at `d` rows under the horizon what stands `d` rows above it.
    shake = strength * rows * (0.05 * ripple + 0.05 * wide) * np.clip(0.15 + 0.25 * near * 0.2, 0, 1)
    source = np.clip(2 * horizon - row + shake * 3, 0, horizon - 1).astype(np.int64)
    beside = np.clip(column + 0.5 * shake, 0, columns - 1).astype(np.int64)
    mirrored = image[source, beside]
    if not calm:
        spread = np.clip(source - int(0.03 * rows), 0, rows - 1)
        mirrored = 0.6 * mirrored + 0.4 * image[spread, beside]
    down = np.clip(-view.rise, 0.0, 1)
    share = 0.25 + 0.7 * np.exp(-3.5 * down)
    deep = jitter(rng, hexed(str(rng.choice(["#123a42", "#17424f", "#0f3038", "#1d5560"]))), 0.2)
    lake = mix(np.broadcast_to(deep, image.shape), mirrored * 0.93, share)
    lake = lake * (1 + 0.35 * strength * (ripple * np.clip(near * 0.3, 0, 1)))[..., None]
    lake = sky.haze(lake, view.depth, 30)
    return np.where(water[..., None], lake, image)


def _dune_map(rng: np.random.Generator) -> Terrain:
    """Sand: long crests with a gentle side to windward and a steep one to lee, on broad swells."""
    noise = Noise(rng, 16)
    x, z = _grid(640, 16.0)
    warp = noise.fractal(0.25 * x, 0.25 * z, 3)
    phase = 0.375 * x + 2.6 * warp + 0.25 * noise.fractal(0.5 * z, 0.5 * x, 2)
    saw = phase % 1.0
    crest = pick(rng, 0.66, 0.8)
    rise = np.where(saw < crest, saw / crest, (1 - saw) / (1 - crest))
    rise = rise * rise * (3 - 2 * rise) * 0.45 + rise * 0.55
    size = 0.25 + 1.2 * noise.fractal(0.25 * x + 3, 0.25 * z, 2)
    heights = pick(rng, 0.45, 0.7) * (rise * size + 0.9 * noise.fractal(0.125 * x, 0.125 * z, 2))
    # Wind rounds the crests a little; without this the map's cells show on them.
    for axis in (0, 1, 0, 1):
        heights = 0.5 * heights + 0.25 * (np.roll(heights, 1, axis) + np.roll(heights, -1, axis))
    return Terrain(heights.astype(np.float32), EXTENT)


def desert_dunes(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """Sand dunes with wind ripples; from golden noon to a crimson evening, from a crest or from the valley."""
    hour = ["noon", "gold", "pale", "sunset", "morning", "noon", "crimson", "gold", "morning", "dusk", "noon", "gold"][
        number % 12
    ]
    land = _dune_map(rng)
    # Try places and pick the one whose view has most contrast of near and far heights.
    best, place, facing = -1.0, (0.0, 0.0), 0.0
    for _ in range(60):
        px, pz, azimuth = pick(rng, 0, EXTENT), pick(rng, 0, EXTENT), pick(rng, 0, 360)
        step = np.linspace(0.1, 5, 50)
        h = land.height(px + step * np.sin(np.radians(azimuth)), pz + step * np.cos(np.radians(azimuth)))
        score = float(h.std() + 0.6 * (float(land.height(np.array([px]), np.array([pz]))[0]) - h[:8].max()))
        if score > best:
            best, place, facing = score, (px, pz), azimuth
    stand = float(land.height(np.array([place[0]]), np.array([place[1]]))[0])
    horizon = pick(rng, 0.2, 0.5)
    camera = Camera.level(
        canvas, (place[0], stand + pick(rng, 0.12, 0.5), place[1]), facing, pick(rng, 40, 70), horizon
    )
    low = hour in ("gold", "sunset", "crimson", "dusk")
    azimuth = facing + pick(rng, 50, 125) * float(rng.choice([-1, 1]))
    sky = make_sky(rng, hour, azimuth, pick(rng, 11, 18) if low else pick(rng, 20, 36), pick(rng, 0.0, 0.45))
    view = land.view(camera, 0.05, 15.5)

    noise = Noise(rng)
    turn = pick(rng, -0.5, 0.5)
    along = view.x * np.cos(turn) + view.z * np.sin(turn)
    across = view.z * np.cos(turn) - view.x * np.sin(turn)
    warp = noise.fractal(2.2 * along, 2.2 * across, 3)
    wave = np.cos(2 * np.pi * (24 * along + 7 * warp + 0.6 * noise.at(6 * across, 9 * along)))
    fade = np.exp(-view.depth / pick(rng, 1.2, 2.2))
    ripple = (0.34 * wave * fade * (0.35 + noise.fractal(1.5 * across, 1.5 * along, 2))).astype(np.float32)
    grain = 0.25 * (noise.fractal(140 * view.x, 140 * view.z, 2) - 0.5) * fade
    normal = land.normal(view.x, view.z, ripple * np.cos(turn) + grain, ripple * np.sin(turn) + grain)
    sand = jitter(rng, hexed(str(rng.choice(["#d9a866", "#c98d54", "#e3c08b", "#c47440", "#dcb27a"]))), 0.08)
    albedo = sand * (0.85 + 0.3 * noise.fractal(4 * view.x, 4 * view.z, 4))[..., None]
    sunlit = land.sunlit(sky.sun, soft=0.03).at(view.x / EXTENT, view.z / EXTENT)
    lambert = np.clip(dot(normal, np.broadcast_to(sky.sun, normal.shape)), 0, 1) * sunlit
    bounce = 0.18 * sand * sky.sunlight * np.clip(sky.sun[1] + 0.2, 0, 1)
    ambient = (0.45 * sky.zenith + 0.3 * sky.horizon + bounce) * (0.5 + 0.5 * normal[..., 1:2])
    strength = 1.15 / max(0.45, float(sky.sun[1]) + 0.25)
    ground = sky.haze(albedo * (strength * lambert[..., None] * sky.sunlight + ambient), view.depth, pick(rng, 14, 40))
    return np.where(view.hit[..., None], ground, sky.light(camera.rays(), disc=0.8))
