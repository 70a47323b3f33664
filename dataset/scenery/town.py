"""A city of towers, by day, at dusk and by night, from the street, from a hill and across water."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .film import blur
from .heaven import make_sky
from .maths import Array, Canvas, colour, dot, hexed, jitter, mix, pick, smoothstep
from .noise import Noise
from .solids import Box, look


def _towers(rng: np.random.Generator, kind: int) -> list[Box]:
    """Blocks on a street grid, higher towards the middle; some have a set-back top and a mast."""
    boxes: list[Box] = []
    tallest = pick(rng, 2.2, 3.6)
    street = kind == 1
    for i in range(-9, 10):
        for k in range(1, 15):
            if street and i == 0:
                continue
            if rng.random() < 0.12:
                continue
            x, z = 0.8 * i + pick(rng, -0.08, 0.08), 0.8 * k + pick(rng, -0.08, 0.08) + 0.6
            middle = np.exp(-((x / 3.6) ** 2 + ((z - 6) / 4.5) ** 2))
            height = tallest * (0.15 + 0.85 * middle) * pick(rng, 0.25, 1.0) ** 1.4 + 0.25
            if street:
                height = tallest * pick(rng, 0.35, 1.0)
            half = [pick(rng, 0.2, 0.31), height / 2, pick(rng, 0.2, 0.31)]
            boxes.append(Box(colour([x, height / 2, z]), colour(half)))
            if rng.random() < 0.35:
                top = height * pick(rng, 0.06, 0.2)
                boxes.append(Box(colour([x, height + top / 2, z]), colour([half[0] * 0.6, top / 2, half[2] * 0.6])))
                if rng.random() < 0.5:
                    boxes.append(Box(colour([x, height + top + 0.2, z]), colour([0.012, 0.25, 0.012])))
    return boxes


def city_towers(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """High-rise buildings with rows of windows, lit ones when it is dark; water or a street in front."""
    hour = ["night", "noon", "dusk", "gold", "night", "grey", "sunset", "pale", "night", "dusk", "morning", "night"][
        number % 12
    ]
    kind = [0, 2, 0, 1, 1, 0, 2, 0, 2, 1, 2, 0][number % 12]
    boxes = _towers(rng, kind)
    eye, horizon, view = [
        ((pick(rng, -2, 2), pick(rng, 0.12, 0.4), -pick(rng, 3, 5)), pick(rng, 0.62, 0.75), pick(rng, 45, 65)),
        ((pick(rng, -0.12, 0.12), pick(rng, 0.06, 0.3), 0.0), pick(rng, 0.66, 0.85), pick(rng, 60, 80)),
        ((pick(rng, -4, 4), pick(rng, 2.4, 4.2), -pick(rng, 1, 3)), pick(rng, 0.12, 0.34), pick(rng, 50, 70)),
    ][kind]
    camera = Camera.level(canvas, eye, -4.0 * eye[0] + pick(rng, -8, 8), view, horizon)
    dark = {"night": 1.0, "dusk": 0.7, "sunset": 0.35}.get(hour, 0.0)
    side = pick(rng, 40, 140) * float(rng.choice([-1, 1]))
    sky = make_sky(
        rng,
        "dusk" if hour == "night" else hour,
        side if hour != "sunset" else pick(rng, -15, 15),
        pick(rng, 6, 14) if dark else pick(rng, 25, 50),
    )
    seen = look(camera, boxes, floor=0.0)
    image = sky.light(seen.rays, disc=1.0 - 0.9 * float(dark > 0.5))
    if hour == "night":
        glow = np.exp(-np.clip(seen.rays[..., 1], 0, 1) * 5)
        image = image * 0.03 + glow[..., None] * jitter(rng, hexed("#5a4a58"), 0.25) * 0.22

    count = len(boxes)
    styles = [hexed(c) for c in ("#8a8f96", "#a89680", "#6f8296", "#54606c", "#b8ad9c", "#8c6e5c", "#7f9098")]
    tints = np.stack(
        [jitter(rng, styles[int(rng.integers(len(styles)))], 0.12) for _ in range(count)] + [hexed("#5a5a5c")]
    )
    grid = np.concatenate([rng.uniform(0.045, 0.085, (count, 2)), [[1, 1]]]).astype(np.float32)
    glassy = np.concatenate([rng.uniform(0.45, 0.85, count), [0]]).astype(np.float32)
    awake = np.concatenate([rng.uniform(0.12, 0.6, count), [0]]).astype(np.float32)
    which = np.where(seen.which < 0, count, seen.which)
    points = seen.points
    wall = (seen.which >= 0) & (seen.which < count) & (np.abs(seen.normal[..., 1]) < 0.5)
    along = np.where(np.abs(seen.normal[..., 0]) > 0.5, points[..., 2], points[..., 0])
    column, row = along / grid[which][..., 0], points[..., 1] / grid[which][..., 1]
    pane = (np.abs(column % 1 - 0.5) < 0.5 * glassy[which]) & (np.abs(row % 1 - 0.5) < 0.36)
    # Far windows are smaller than a pixel: let them melt into the wall's mean.
    clear = np.clip(0.055 * camera.focal / np.maximum(seen.t, 0.1) / 3.2, 0, 1)
    noise = Noise(rng)
    seed = which * 13.7 + np.where(np.abs(seen.normal[..., 0]) > 0.5, 5, 0)
    chance = noise.table[
        (np.floor(column).astype(int) * 7 + which * 31) % 256, (np.floor(row).astype(int) + seed.astype(int)) % 256
    ]
    lambert = np.clip(dot(seen.normal, np.broadcast_to(sky.sun, seen.normal.shape)), 0, 1)
    ambient = 0.45 * sky.zenith + 0.45 * sky.horizon
    light = lambert[..., None] * sky.sunlight + ambient * (0.5 + 0.3 * seen.normal[..., 1:2])
    light = light * (0.04 if hour == "night" else 0.6 if hour == "dusk" else 1.0)
    stain = 0.8 + 0.4 * noise.fractal(5 * along, 5 * points[..., 1] + seed, 3)
    # Between houses little of the sky is seen.
    canyon = 0.35 + 0.65 * smoothstep(0.0, 1.2, points[..., 1])
    body = tints[which] * light * (stain * canyon)[..., None]
    mirrored = seen.rays - 2 * dot(seen.rays, seen.normal)[..., None] * seen.normal
    sheen = sky.light(mirrored, disc=0.4) * (0.05 if hour == "night" else 0.42) * (0.6 + 0.5 * chance)[..., None]
    glass = mix(body * 0.25, sheen, 0.65)
    warm = mix(hexed("#ffc878"), hexed("#e8f0ff"), (chance * 37 % 1) ** 2)
    lamp = (chance < awake[which] * (0.25 + 0.75 * dark)) & (dark > 0)
    glass = np.where(lamp[..., None], warm * (0.25 + 1.1 * (chance * 91 % 1))[..., None] * dark * 1.3, glass)
    share = np.where(pane, 1.0, 0.0) * clear + (1 - clear) * glassy[which] * 0.72
    mean = mix(body * 0.25, sheen, 0.65) + (dark * 0.4 * awake[which])[..., None] * hexed("#ffc878")
    glass = mix(mean, glass, clear)
    surface = np.where(wall[..., None], mix(body, glass, share), body)
    air = sky.horizon * (0.05 if hour == "night" else 1.0) + (hour == "night") * hexed("#40384a") * 0.3
    surface = mix(surface, air, 1 - np.exp(-np.minimum(seen.t, 1e4) / pick(rng, 22, 50)))
    image = np.where((seen.which >= 0)[..., None], surface, image).astype(np.float32)
    ground = seen.which == count
    return _ground(rng, image, ground, points, camera, kind, dark)


def _ground(
    rng: np.random.Generator, image: Array, ground: Array, points: Array, camera: Camera, kind: int, dark: float
) -> Array:
    """Water that mirrors the towers (kind 0), or asphalt with lines and, at night, the lights of cars."""
    noise = Noise(rng)
    rows, columns = image.shape[:2]
    x, z = points[..., 0], points[..., 2]
    if kind == 0:
        shore = pick(rng, 0.6, 0.9)
        water = ground & (z < shore)
        row, column = np.mgrid[0:rows, 0:columns]
        # The mirror line is the quay's foot, a little below the horizon.
        quay = camera.centre[1] + camera.focal * camera.position[1] / (shore - camera.position[2])
        shake = noise.fractal(7 * x, 18 * z, 3) - 0.5
        source = np.clip(2 * quay - row + shake * 0.22 * (row - quay), 0, quay - 1).astype(int)
        beside = np.clip(column + shake * 0.06 * (row - quay), 0, columns - 1).astype(int)
        still = blur(image, 2.0)
        for spread in (0.02, 0.05):
            still = 0.5 * still + 0.5 * np.roll(still, int(spread * rows), 0)
        lake = still[source, beside] * 0.75 + jitter(rng, hexed("#0c1c26"), 0.2) * 0.3
        return np.where(water[..., None], lake, image)
    image = image.copy()
    road = ground & ((np.abs((x / 0.8 + 0.5) % 1 - 0.5) > 0.36) | (np.abs(((z - 0.6) / 0.8 + 0.5) % 1 - 0.5) > 0.36))
    grit = noise.fractal(20 * x, 20 * z, 3)
    # Far off, the ground's details are finer than pixels and would only flicker.
    sharp = np.exp(-np.hypot(x - camera.position[0], z - camera.position[2]) / 5)
    image[ground] *= (1 + (0.8 * grit - 0.5) * sharp)[ground][:, None]
    line = road & (np.abs(x) < 0.006) & (z % 0.2 < 0.11)
    image[line] = image[line] * 0.5 + 0.35 * (1.2 - dark)
    if dark > 0.5:
        spots = noise.table[(np.floor(x * 22).astype(int) * 5) % 256, np.floor(z * 9).astype(int) % 256] > 0.86
        lamps = np.where((np.floor(x * 11).astype(int) % 2 == 0)[..., None], hexed("#ffe8b8"), hexed("#ff3020"))
        image += np.where((road & spots)[..., None], lamps, 0) * (1.1 * smoothstep(0.08, 0.25, sharp))[..., None]
        image += np.where(road[..., None], hexed("#c88a48") * 0.10, 0) * sharp[..., None]
    return image
