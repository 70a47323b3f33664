"""Shelves of books, as boxes with rounded, printed spines."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .film import defocus
from .maths import Array, Canvas, colour, direction, dot, hexed, jitter, mix, pick, smoothstep, unit
from .noise import Noise
from .solids import Box, Solid, fresnel, look, shadow
from .tabletop import WOODS, wood

BINDINGS = [
    ["#7a1f1c", "#1f3a2a", "#24305c", "#5c3a1e", "#8a6a34", "#2a1c18", "#6a2a3a"],
    ["#e8e4d8", "#d84a30", "#2878a8", "#f0b828", "#48906c", "#202428", "#c8d4dc", "#884898"],
    ["#b8a888", "#8c7454", "#d8ccb0", "#685848", "#a04030", "#3c4c4c"],
    ["#f0f0ec", "#181a1e", "#c0c4c8", "#d02828", "#8098a8"],
]


def _shelf(rng: np.random.Generator, base: float, left: float, right: float, room: float) -> list[tuple[Box, int]]:
    """Books that stand from `left` to `right` on a board at height `base`, with gaps, leaners and piles.

    Each comes with its kind: 0 upright, 1 lying.
    """
    books: list[tuple[Box, int]] = []
    x = left + 0.03
    run, last = 0, (0.1, 0.7)
    while x < right - 0.2:
        chance = rng.random()
        if chance < 0.05 and x < right - 0.9:
            y, width = base, pick(rng, 0.5, 0.72)
            for _ in range(int(rng.integers(2, 6))):
                thick = pick(rng, 0.06, 0.13)
                w = width * pick(rng, 0.8, 1.0)
                books.append((Box(colour([x + width / 2, y + thick / 2, 0.33]), colour([w / 2, thick / 2, 0.27])), 1))
                y += thick
            x += width + 0.04
            continue
        if chance < 0.08:
            x += pick(rng, 0.1, 0.35)
        # Volumes of one work stand together and look alike.
        if run == 0:
            last = (pick(rng, 0.05, 0.16), pick(rng, 0.58, 0.93) * room)
            run = int(rng.integers(1, 5)) if rng.random() < 0.35 else 1
        run -= 1
        thick, tall = last
        lean = pick(rng, 6, 14) if chance > 0.96 else pick(rng, -0.6, 0.6)
        c, s = np.cos(np.radians(lean)), np.sin(np.radians(lean))
        axes = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        extra = abs(s) * tall
        depth = pick(rng, 0.24, 0.30)
        middle = colour(
            [x + (thick + extra) / 2, base + tall / 2 * c + thick / 2 * abs(s), 0.08 + depth + pick(rng, 0, 0.05)]
        )
        books.append((Box(middle, colour([thick / 2, tall / 2, depth]), axes), 0))
        x += thick + extra + 0.004
    return books


def bookshelf(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """Shelves of books from the front, from one side, from below; old leather, paperbacks, a white office."""
    noise = Noise(rng)
    room = pick(rng, 0.95, 1.15)
    shelves = int(rng.integers(2, 5)) if number % 3 else 4
    wide = pick(rng, 2.6, 3.6)
    boards: list[Solid] = []
    books: list[tuple[Box, int]] = []
    for level in range(-1, shelves + 1):
        base = level * (room + 0.08)
        boards.append(Box(colour([0, base - 0.04, 0.36]), colour([wide + 0.1, 0.04, 0.36])))
        if level < shelves and level >= -1:
            books += _shelf(rng, base, -wide, wide, room)
    for side in (-wide - 0.05, wide + 0.05, pick(rng, -0.6, 0.6) + wide * 3 * (number % 2)):
        boards.append(Box(colour([side, 1.5, 0.36]), colour([0.05, 4.5, 0.36])))
    boards.append(Box(colour([0, 1.5, 0.75]), colour([wide + 3, 6, 0.03])))
    middle = colour([pick(rng, -1.0, 1.0), pick(rng, 0.4, 0.6) * shelves * room, 0.1])
    turn = [0.0, pick(rng, 25, 50), pick(rng, -50, -25), pick(rng, -12, 12)][number % 4]
    lift = [0.0, pick(rng, -8, 8), pick(rng, 5, 24), pick(rng, -14, -4)][(number // 2) % 4]
    away = pick(rng, 2.0, 4.0)
    camera = Camera.towards(canvas, middle - away * direction(turn, lift), middle, pick(rng, 42, 60), pick(rng, -2, 2))
    # What lies outside the picture needs no drawing.
    kept = [
        (b, k)
        for b, k in books
        if camera.window(b.centre, b.radius)[0].start < canvas.shape[0]
        and camera.window(b.centre, b.radius)[1].start < canvas.shape[1]
        and min(s.stop for s in camera.window(b.centre, b.radius)) > 0
    ]
    solids: list[Solid] = [*(b for b, _ in kept), *boards]
    seen = look(camera, solids)
    count, n = len(kept), len(solids)

    inks = BINDINGS[number % len(BINDINGS)]
    dark, light = WOODS[int(rng.integers(len(WOODS)))] if number % 4 != 3 else ("#c8c8c4", "#e4e4e0")
    which = seen.which
    safe = np.where(which < 0, n - 1, which)
    tint = np.zeros((n, 3), np.float32)
    tint[:count] = [jitter(rng, hexed(inks[int(rng.integers(len(inks)))]), 0.15) for _ in kept]
    style = np.concatenate([rng.random(count), np.zeros(n - count)]).astype(np.float32)
    p = seen.points
    centres = np.stack([s.centre for s in solids])[safe]
    halves = np.stack([getattr(s, "half", colour([1, 1, 1])) for s in solids])[safe]
    frames = np.stack([getattr(s, "axes", np.eye(3, dtype=np.float32)) for s in solids])[safe]
    local = np.einsum("hwij,hwj->hwi", frames, p - centres) / halves
    lying = np.array([k == 1 for _, k in kept] + [False] * (n - count))[safe]
    across = np.where(lying, local[..., 1], local[..., 0])
    along = np.where(lying, local[..., 0], local[..., 1])
    is_book = (which >= 0) & (which < count)
    spine = is_book & (seen.normal[..., 2] < -0.7)
    round_ = np.where(lying[..., None], colour([0, 1, 0]), colour([1, 0, 0])) * (0.95 * across**3)[..., None]
    normal = np.where(spine[..., None], unit(seen.normal + round_), seen.normal)

    key = style[safe]
    paint = tint[safe] * (0.8 + 0.4 * noise.fractal(14 * p[..., 0] + 60 * key, 14 * p[..., 1], 4))[..., None]
    foil = np.where((key * 7 % 1 < 0.5)[..., None], hexed("#d8b060"), hexed("#f0ece0"))
    foil = np.where((tint[safe].mean(-1) > 0.4)[..., None], hexed("#2a2624"), foil)
    bands = np.zeros(which.shape, np.float32)
    for place in (0.86, 0.80, -0.62, -0.86):
        bands += (np.abs(along - place + 0.08 * key) < 0.014) * (key * 13 % 1 < 0.65)
    label = (np.abs(along - 0.42 + 0.3 * (key * 5 % 1)) < 0.17 + 0.1 * key) & (key * 11 % 1 < 0.45)
    # Letters: a row of blots along the spine is all that one can see of a title from here.
    letter = noise.at(34 * along + 90 * key, 2.0 * across + 50 * key)
    title = (letter > 0.52) & (np.abs(across) < 0.3) & (along > -0.45 + 0.3 * key) & (along < 0.70) & ~label
    author = (
        (noise.at(40 * along + 9 * key, 3 * across + 20) > 0.55)
        & (np.abs(across) < 0.35)
        & (np.abs(along + 0.72) < 0.10)
    )
    paint = mix(paint, foil, np.where(spine, np.clip(bands + 0.85 * title + 0.8 * author, 0, 1), 0))
    patch = np.where((key * 3 % 1 < 0.5)[..., None], tint[safe] * 0.25, hexed("#e8dcc0"))
    lines = (noise.at(18 * across + 90 * key, 30 * along) > 0.58) & (np.abs(across) < 0.7)
    paint = np.where((spine & label)[..., None], mix(patch, np.abs(0.5 - patch), 0.8 * lines), paint)
    pages = is_book & ~spine & (np.abs(np.where(lying, seen.normal[..., 0], seen.normal[..., 1])) > 0.7)
    leaves = 0.75 + 0.25 * noise.at(120 * p[..., 0], 0 * along)
    paint = np.where(pages[..., None], hexed("#e4d8b8") * leaves[..., None], paint)
    upright = np.abs(seen.normal[..., 0]) > 0.5
    u, v = np.where(upright, p[..., 1], p[..., 0]), np.where(upright, p[..., 2], p[..., 1] * 1.5 + p[..., 2])
    board = wood(noise, u, v, (jitter(rng, hexed(dark), 0.1), jitter(rng, hexed(light), 0.1)))
    albedo = np.where(is_book[..., None], paint, board)

    lamp = middle + colour([pick(rng, -3, 3), pick(rng, 1.0, 3.5), -pick(rng, 3, 5)])
    warm = hexed(str(rng.choice(["#fff0dc", "#ffd8a0", "#f0f4ff", "#ffe6c4"]))) * pick(rng, 0.9, 1.2)
    lit = shadow(seen, solids, lamp, 0.25, rng)
    way = lamp - p
    falloff = 14 / (6 + dot(way, way))
    lambert = np.clip(dot(unit(way), normal), 0, 1) * lit * falloff
    # Deep between the boards the room's light does not reach.
    rise = (p[..., 1] % (room + 0.08)) / (room + 0.08)
    cave = (1 - 0.75 * smoothstep(0.05, 0.7, p[..., 2])) * (1 - 0.5 * smoothstep(0.7, 1.0, rise))
    near = np.where(spine, 1 - 0.55 * smoothstep(0.6, 1.0, np.abs(across)), 0.8)
    ambient = hexed("#c8ccd8") * 0.3 * pick(rng, 0.6, 1.6)
    sheen = (
        fresnel(seen, 0.05) * 0.25 + 0.35 * spine * np.clip(1 - np.abs(across + 0.35) * 4, 0, 1) * lit * falloff * key
    )
    image = (
        albedo * (1.5 * lambert[..., None] * warm + ambient * (cave * near)[..., None])
        + (0.12 * sheen * cave)[..., None] * warm
    )
    image = np.where((which >= 0)[..., None], image, hexed("#6c6460") * 0.5).astype(np.float32)
    blurry = np.clip(np.abs(np.minimum(seen.t, 30) - away) / away * pick(rng, 0.6, 2.0) - 0.12, 0, 1)
    return defocus(image, blurry, 0.009 * canvas.shape[0])
