"""Chess boards with their pieces, in play."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .film import defocus
from .maths import Array, Canvas, colour, direction, hexed, jitter, mix, pick, smoothstep
from .noise import Noise
from .solids import Ball, Box, Solid, Turned, look
from .tabletop import WOODS, backroom, lamplit, rounded, wood

PIECES = {
    "pawn": (
        0.62,
        [
            (0, 0.30),
            (0.06, 0.31),
            (0.12, 0.27),
            (0.16, 0.20),
            (0.22, 0.17),
            (0.45, 0.10),
            (0.55, 0.09),
            (0.58, 0.16),
            (0.61, 0.16),
            (0.63, 0.09),
            (0.68, 0.12),
            (0.78, 0.165),
            (0.86, 0.165),
            (0.95, 0.11),
            (1, 0.0),
        ],
    ),
    "rook": (
        0.78,
        [
            (0, 0.34),
            (0.06, 0.35),
            (0.12, 0.30),
            (0.18, 0.22),
            (0.3, 0.18),
            (0.62, 0.15),
            (0.68, 0.15),
            (0.72, 0.22),
            (0.80, 0.23),
            (1, 0.24),
        ],
    ),
    "bishop": (
        1.0,
        [
            (0, 0.33),
            (0.05, 0.34),
            (0.1, 0.29),
            (0.15, 0.2),
            (0.3, 0.13),
            (0.56, 0.09),
            (0.6, 0.18),
            (0.63, 0.18),
            (0.66, 0.1),
            (0.72, 0.15),
            (0.78, 0.165),
            (0.86, 0.12),
            (0.93, 0.05),
            (0.96, 0.05),
            (0.98, 0.04),
            (1, 0.0),
        ],
    ),
    "queen": (
        1.2,
        [
            (0, 0.36),
            (0.05, 0.37),
            (0.1, 0.31),
            (0.15, 0.22),
            (0.3, 0.15),
            (0.62, 0.1),
            (0.66, 0.2),
            (0.69, 0.2),
            (0.72, 0.11),
            (0.8, 0.14),
            (0.9, 0.22),
            (0.92, 0.2),
            (0.94, 0.07),
            (0.97, 0.07),
            (1, 0.0),
        ],
    ),
    "king": (
        1.32,
        [
            (0, 0.36),
            (0.05, 0.37),
            (0.1, 0.31),
            (0.15, 0.23),
            (0.3, 0.16),
            (0.6, 0.11),
            (0.64, 0.21),
            (0.67, 0.21),
            (0.7, 0.13),
            (0.8, 0.18),
            (0.86, 0.2),
            (0.88, 0.12),
            (0.9, 0.03),
            (1, 0.03),
        ],
    ),
    "knight": (0.42, [(0, 0.34), (0.15, 0.35), (0.3, 0.30), (0.5, 0.22), (1, 0.2)]),
}


def _piece(kind: str, at: tuple[float, float], facing: float) -> list[Solid]:
    """A chess piece on the square in whose middle (x, z) it stands; squares are 1 wide."""
    tall, points = PIECES[kind]
    base = colour([at[0], 0, at[1]])
    parts: list[Solid] = [Turned(base, tall, rounded(points, 1))]
    if kind == "king":
        parts.append(Box(base + colour([0, 1.26, 0]), colour([0.09, 0.028, 0.028])))
    if kind == "knight":
        ahead, up = direction(facing, 0), colour([0, 1, 0])
        for along, rise, size in (
            (-0.02, 0.42, 0.19),
            (-0.05, 0.52, 0.19),
            (-0.06, 0.62, 0.18),
            (-0.03, 0.72, 0.17),
            (0.04, 0.78, 0.155),
            (0.12, 0.76, 0.13),
            (0.19, 0.71, 0.11),
            (0.24, 0.67, 0.095),
            (-0.06, 0.9, 0.05),
            (-0.04, 0.86, 0.06),
        ):
            parts.append(Ball(colour(base + along * ahead + rise * up), colour([size * 0.8, size, size * 0.8])))
    return parts


def chess_board(rng: np.random.Generator, number: int, canvas: Canvas) -> Array:
    """A game of chess: at its opening, in the middle or near its end, from a player's or a fly's height."""
    noise = Noise(rng)
    order = ["rook", "knight", "bishop", "queen", "king", "bishop", "knight", "rook"]
    men: list[tuple[str, int, float, float]] = []
    for file in range(8):
        men += [(order[file], 0, float(file), 0.0), ("pawn", 0, float(file), 1.0)]
        men += [("pawn", 1, float(file), 6.0), (order[file], 1, float(file), 7.0)]
    stage = number % 3
    if stage:
        taken = {(m[2], m[3]) for m in men}
        left: list[tuple[str, int, float, float]] = []
        for kind, side, across, along in men:
            square_at = across, along
            if rng.random() < (0.15 if stage == 1 else 0.5) and kind != "king":
                continue
            if rng.random() < 0.55:
                to = (
                    float(np.clip(across + rng.integers(-2, 3), 0, 7)),
                    float(np.clip(along + (1 - 2 * side) * rng.integers(1, 4), 0, 7)),
                )
                if to not in taken:
                    taken.add(to)
                    square_at = to
            left.append((kind, side, *square_at))
        men = left
    solids: list[Solid] = []
    sides: list[int] = []
    for kind, side, across, along in men:
        spot = (across - 3.5 + pick(rng, -0.07, 0.07), along - 3.5 + pick(rng, -0.07, 0.07))
        parts = _piece(kind, spot, (0 if side == 0 else 180) + pick(rng, -25, 25))
        solids += parts
        sides += [side] * len(parts)
    kind_of_view = number % 4
    lift = [pick(rng, 24, 38), pick(rng, 10, 18), pick(rng, 45, 62), pick(rng, 17, 28)][kind_of_view]
    away = [pick(rng, 9, 11), pick(rng, 5, 7), pick(rng, 10, 12), pick(rng, 6, 8)][kind_of_view]
    turn = pick(rng, -70, 70) + 180 * int(rng.integers(2))
    aim = colour([pick(rng, -1.5, 1.5), 0.4, pick(rng, -1.5, 1.5)])
    camera = Camera.towards(canvas, aim - away * direction(turn, -lift), aim, pick(rng, 38, 52), pick(rng, -3, 3))
    seen = look(camera, solids, floor=0.0)
    backdrop, mean = backroom(rng, canvas)
    palettes = [
        ("#e8d4a8", "#6e4224", "#ecdcb4", "#3a2214"),
        ("#eeeed2", "#5f8048", "#f4f2e8", "#2c2c2c"),
        ("#e8e8e8", "#20242a", "#f0f0ec", "#1a1a1c"),
        ("#d8b888", "#8c5830", "#d8b070", "#602c14"),
        ("#dce4ea", "#4c6c90", "#f2f0ea", "#30343c"),
        ("#f0d8b0", "#a03c28", "#f0e4cc", "#701c14"),
    ]
    pale, deep, white, black = (
        jitter(rng, hexed(c), 0.08) for c in palettes[(5 * number + number // 6) % len(palettes)]
    )
    p = seen.points
    x, z = p[..., 0], p[..., 2]
    count = len(solids)
    square = (np.floor(x) + np.floor(z)) % 2
    plain = mix(pale, deep, square)
    grain = wood(
        noise,
        np.where(square > 0, x, z) * 1.0 + 5 * square,
        np.where(square > 0, z, x) * 1.0,
        (colour([0.72] * 3), colour([1.12] * 3)),
    )
    top = plain * grain
    rim = np.maximum(np.abs(x), np.abs(z))
    dark, light = WOODS[int(rng.integers(len(WOODS)))]
    frame = wood(noise, x, z, (deep * 0.5, deep * 0.85))
    desk = wood(noise, x * 0.5, z * 0.5, (hexed(dark) * 0.8, hexed(light) * 0.8))
    top = np.where((rim > 4)[..., None], frame, top)
    top = np.where((rim > 4.7)[..., None], desk * (0.5 + 0.5 * smoothstep(4.7, 5.1, rim))[..., None], top)
    tints = np.stack([white if s == 0 else black for s in sides] + [colour([0, 0, 0])])
    albedo = tints[np.where(seen.which < 0, count, seen.which)]
    streak = noise.fractal(4 * x + 9 * z, 22 * p[..., 1], 3)
    albedo = albedo * (0.8 + 0.4 * streak)[..., None]
    albedo = np.where((seen.which == count)[..., None], top, albedo)
    lamp = 12 * direction(pick(rng, 0, 360), pick(rng, 30, 60))
    warm = hexed(str(rng.choice(["#fff2e0", "#ffe0b8", "#f0f4ff"]))) * pick(rng, 0.9, 1.2)
    shine = np.where(seen.which == count, 0.3, 0.8).astype(np.float32)
    image = lamplit(rng, seen, solids, albedo, lamp, warm, mean + 0.12, pick(rng, 0.3, 0.9), shine, mean * 1.5 + 0.25)
    gone = (seen.which < 0) | ((seen.which == count) & (rim > 9))
    image = np.where(gone[..., None], backdrop, image).astype(np.float32)
    blurry = np.clip(np.abs(np.minimum(seen.t, 40) - away) / away * pick(rng, 1.2, 2.6) - 0.15, 0, 1)
    return defocus(image, np.where(gone, 1, blurry), 0.012 * canvas.shape[0])
