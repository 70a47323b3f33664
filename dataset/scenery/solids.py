"""Solid things for ray tracing: ellipsoids, boxes and turned (lathed) bodies, what a camera sees of them, shadows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .camera import Camera
from .maths import Array, Vector, colour, dot, smoothstep, unit

FAR = np.float32(1e9)


class Solid(Protocol):
    """A thing that rays can hit; it lies within a ball."""

    centre: Array
    radius: float

    def meet(self, origins: Array, rays: Array) -> tuple[Array, Array]:
        """For rays (n, 3): the distance to the first hit (n,), FAR where there is none, and unit normals (n, 3)."""
        ...


@dataclass
class Ball:
    """An ellipsoid: half axes (3,) along the rows of `axes` (3, 3)."""

    centre: Array
    half: Array
    axes: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    radius: float = 0.0

    def __post_init__(self) -> None:
        self.radius = float(np.max(self.half))

    def meet(self, origins: Array, rays: Array) -> tuple[Array, Array]:
        """See Solid."""
        o = ((origins - self.centre) @ self.axes.T) / self.half
        d = (rays @ self.axes.T) / self.half
        a, b, c = dot(d, d), dot(o, d), dot(o, o) - 1
        root = b * b - a * c
        t = (-b - np.sqrt(np.maximum(root, 0))) / a
        hit = (root > 0) & (t > 1e-3)
        normal = unit(((o + t[:, None] * d) / self.half) @ self.axes)
        return np.where(hit, t, FAR), normal


@dataclass
class Box:
    """A box: half sides (3,) along the rows of `axes` (3, 3)."""

    centre: Array
    half: Array
    axes: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    radius: float = 0.0

    def __post_init__(self) -> None:
        self.radius = float(np.linalg.norm(self.half))

    def meet(self, origins: Array, rays: Array) -> tuple[Array, Array]:
        """See Solid."""
        o = (origins - self.centre) @ self.axes.T
        d = rays @ self.axes.T
        inverse = 1 / np.where(np.abs(d) < 1e-7, 1e-7, d)
        middle, reach = -o * inverse, np.abs(inverse) * self.half
        enter, leave = middle - reach, middle + reach
        # Three columns compared by hand: NumPy reduces short axes slowly.
        x, y, z = enter[:, 0], enter[:, 1], enter[:, 2]
        side = np.where(x >= np.maximum(y, z), 0, np.where(y >= z, 1, 2))
        t = np.maximum(np.maximum(x, y), z)
        hit = (t < np.minimum(np.minimum(leave[:, 0], leave[:, 1]), leave[:, 2])) & (t > 1e-3)
        turn = -np.sign(np.take_along_axis(d, side[:, None], -1)[:, 0])
        return np.where(hit, t, FAR), self.axes[side] * turn[:, None]


@dataclass
class Turned:
    """A body turned about the vertical through `base`: its radius at heights from 0 to `tall` is a profile.

    `profile` holds radii at equal steps of height.
    """

    base: Array
    tall: float
    profile: Array
    steps: int = 48
    radius: float = 0.0
    centre: Array = field(default_factory=lambda: np.zeros(3, np.float32))

    def __post_init__(self) -> None:
        self.centre = colour([self.base[0], self.base[1] + self.tall / 2, self.base[2]])
        self.radius = float(np.hypot(self.tall / 2, self.profile.max()))

    def reach(self, height: Array) -> Array:
        """The radius at a height above the base."""
        last = len(self.profile) - 1
        place = np.clip(height * (last / self.tall), 0, last - 1e-4)
        low = place.astype(np.int64)
        share = place - low
        return np.asarray(self.profile[low] * (1 - share) + self.profile[low + 1] * share)

    def meet(self, origins: Array, rays: Array) -> tuple[Array, Array]:
        """See Solid: march along the part of each ray within the ball, then bisect the first crossing."""
        count = len(rays)
        t_out, normal = np.full(count, FAR, np.float32), np.zeros((count, 3), np.float32)
        away = origins - self.centre
        middle = -dot(away, rays)
        inside = self.radius**2 - (dot(away, away) - middle**2)
        who = np.flatnonzero((inside > 0) & (middle > -self.radius))
        if len(who) == 0:
            return t_out, normal
        o, d = (np.broadcast_to(origins, rays.shape)[who] - self.base).astype(np.float32), rays[who]
        chord = np.sqrt(inside[who])
        start, stride = np.maximum(middle[who] - chord, 1e-3), 2 * chord / self.steps

        def excess(t: Array) -> Array:
            """Above 0 outside of the body."""
            x, y, z = (o[:, k] + t * d[:, k] for k in range(3))
            gap = np.hypot(x, z) - self.reach(y)
            return np.asarray(np.maximum(gap, np.maximum(-y, y - self.tall)))

        low, high = start.copy(), np.full(len(who), FAR, np.float32)
        seeking = np.ones(len(who), bool)
        for step in range(self.steps + 1):
            t = start + step * stride
            struck = seeking & (excess(t) < 0)
            high = np.where(struck, t, high)
            seeking &= ~struck
            low = np.where(seeking, t, low)
        found = ~seeking
        high = np.where(found, high, low)
        for _ in range(7):
            half = 0.5 * (low + high)
            within = excess(half) < 0
            high, low = np.where(within, half, high), np.where(within, low, half)
        x, y, z = (o[:, k] + high * d[:, k] for k in range(3))
        eps = 0.01 * self.tall
        slope = (self.reach(y + eps) - self.reach(y - eps)) / (2 * eps)
        rho = np.maximum(np.hypot(x, z), 1e-6)
        cap = y > self.tall - 0.004 * self.tall
        facing = np.stack([np.where(cap, 0, x / rho), np.where(cap, 1, -slope), np.where(cap, 0, z / rho)], -1)
        t_out[who[found]] = high[found]
        normal[who[found]] = unit(facing)[found]
        return t_out, normal


@dataclass
class Seen:
    """What a camera sees of solids; arrays of the picture's shape.  `which` is the solid's index or -1."""

    rays: Array
    t: Array
    normal: Array
    which: Array
    origin: Array

    @property
    def points(self) -> Array:
        """World positions (h, w, 3); meaningless where nothing was hit."""
        return np.asarray(self.origin + np.minimum(self.t, 1e4)[..., None] * self.rays, np.float32)


def look(camera: Camera, solids: Sequence[Solid], floor: float | None = None) -> Seen:
    """The first hit along every pixel's ray; with `floor`, a level plane at that height has the index len(solids)."""
    rays = camera.rays()
    t = np.full(camera.shape, FAR, np.float32)
    normal = np.zeros((*camera.shape, 3), np.float32)
    which = np.full(camera.shape, -1, np.int32)
    if floor is not None:
        down = np.minimum(rays[..., 1], -1e-6)
        reach = (floor - camera.position[1]) / down
        hit = (rays[..., 1] < -1e-4) & (reach < 1e4)
        t[hit], which[hit], normal[hit] = reach[hit], len(solids), (0, 1, 0)
    for index, solid in enumerate(solids):
        rows, columns = camera.window(solid.centre, solid.radius)
        part = rays[rows, columns]
        if part.size == 0:
            continue
        distance, facing = solid.meet(camera.position[None], part.reshape(-1, 3))
        distance = distance.reshape(part.shape[:2])
        nearer = distance < t[rows, columns]
        t[rows, columns][nearer] = distance[nearer]
        which[rows, columns][nearer] = index
        normal[rows, columns][nearer] = facing.reshape(part.shape)[nearer]
    return Seen(rays, t, normal, which, camera.position)


def shadow(seen: Seen, solids: Sequence[Solid], lamp: Vector, size: float, rng: np.random.Generator) -> Array:
    """How much of a lamp each pixel's point sees, 0 or 1 per sample, shape (h, w).

    The lamp is a ball of radius `size` at `lamp`; every sample looks at another spot on it, so that averaging the
    samples of a photo's pixel gives a soft shadow.
    """
    lit = np.ones(seen.which.shape, np.float32)
    points = seen.points + 2e-3 * seen.normal
    for tile in _tiles(seen.which.shape):
        mask = seen.which[tile] >= 0
        start = points[tile][mask]
        if len(start) == 0:
            continue
        spot = colour(lamp) + (size * rng.standard_normal((len(start), 3)) * 0.6).astype(np.float32)
        way = spot - start
        distance = np.linalg.norm(way, axis=-1)
        rays = way / distance[:, None]
        clear = dot(rays, seen.normal[tile][mask]) > 0
        for solid in _between(start, colour(lamp), size, solids):
            away = start - solid.centre
            middle = -dot(away, rays)
            near = clear & (middle > -solid.radius) & (dot(away, away) - middle**2 < solid.radius**2)
            who = np.flatnonzero(near)
            if len(who):
                t, _ = solid.meet(start[who], rays[who])
                clear[who[t < distance[who]]] = False
        lit[tile][mask] = clear
    return lit


def _tiles(shape: tuple[int, ...], side: int = 48) -> Iterator[tuple[slice, slice]]:
    """Windows that cover a picture: solids that cannot matter in one are left out there, which saves most work."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield slice(top, top + side), slice(left, left + side)


def _between(points: Array, lamp: Array, size: float, solids: Sequence[Solid]) -> list[Solid]:
    """The solids that can stand between some of the points (n, 3) and the lamp."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    axis = lamp - middle
    length = float(axis @ axis)
    chosen = []
    for solid in solids:
        share = float(np.clip((solid.centre - middle) @ axis / length, 0, 1))
        gap = float(np.linalg.norm(solid.centre - middle - share * axis))
        if gap < solid.radius + reach + 2 * size:
            chosen.append(solid)
    return chosen


def closeness(seen: Seen, solids: Sequence[Solid]) -> Array:
    """Ambient light that is left beside other solids, 0..1 (h, w): each counts as a ball of its size."""
    free = np.ones(seen.which.shape, np.float32)
    points = seen.points
    sizes = [float(np.cbrt(np.prod(s.half))) if isinstance(s, Ball | Box) else 0.6 * s.radius for s in solids]
    for tile in _tiles(seen.which.shape):
        spots, normal, which = points[tile], seen.normal[tile], seen.which[tile]
        low, high = spots.min(axis=(0, 1)), spots.max(axis=(0, 1))
        middle, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
        for index, (solid, size) in enumerate(zip(solids, sizes, strict=True)):
            # The loss is made to end at six sizes, so that tiles that leave a solid out show no seam.
            if float(np.linalg.norm(solid.centre - middle)) > reach + 6 * size:
                continue
            away = solid.centre - spots
            square = np.maximum(dot(away, away), size * size)
            facing = np.clip(dot(away, normal) / np.sqrt(square) * 0.8 + 0.2, 0, 1)
            taken = 0.75 * facing * (size * size / square) * np.clip(1 - square / (36 * size * size), 0, 1)
            free[tile] *= np.where(which == index, 1, 1 - taken)
    return free


def gloss(seen: Seen, lamp: Vector, power: float) -> Array:
    """A highlight (h, w): how closely the mirrored ray points to the lamp."""
    mirrored = seen.rays - 2 * dot(seen.rays, seen.normal)[..., None] * seen.normal
    return np.asarray(np.clip(dot(mirrored, unit(colour(lamp) - seen.points)), 0, 1) ** power)


def fresnel(seen: Seen, least: float = 0.04) -> Array:
    """The share of light that a smooth surface mirrors (Schlick), shape (h, w)."""
    facing = np.clip(-dot(seen.rays, seen.normal), 0, 1)
    return np.asarray(least + (1 - least) * (1 - facing) ** 5)


def window_light(seen: Seen, towards: Vector, size: float = 0.35) -> Array:
    """The mirror image of a bright window with a cross bar in the direction `towards`, shape (h, w), 0..1."""
    mirrored = seen.rays - 2 * dot(seen.rays, seen.normal)[..., None] * seen.normal
    axis = unit(towards)
    across = unit(np.cross([0, 1, 0], axis))
    x, y = dot(mirrored, across) / size, dot(mirrored, np.cross(axis, across)) / size
    frame = (1 - smoothstep(0.8, 1, np.abs(x))) * (1 - smoothstep(0.8, 1, np.abs(y)))
    bars = smoothstep(0.03, 0.1, np.abs(x)) * smoothstep(0.03, 0.1, np.abs(y))
    return np.asarray(frame * bars * (dot(mirrored, axis) > 0))
