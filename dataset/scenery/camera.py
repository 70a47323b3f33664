"""A pinhole camera: rays through pixels, and points onto pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .maths import Array, Canvas, Vector, colour, direction, unit


@dataclass(frozen=True)
class Camera:
    """Position, three axes (unit vectors, shape (3,)), focal length and principal point in drawn pixels."""

    position: Array
    right: Array
    up: Array
    forward: Array
    focal: float
    centre: tuple[float, float]
    shape: tuple[int, int]

    @classmethod
    def level(cls, canvas: Canvas, position: Vector, azimuth: float, view: float, horizon: float) -> Camera:
        """A camera held level, as for landscapes: `view` degrees wide, the horizon at a share of the height.

        The picture is moved up or down as with a shift lens, so that verticals stay upright.
        """
        rows, columns = canvas.shape
        forward = direction(azimuth, 0)
        up = colour([0, 1, 0])
        focal = 0.5 * columns / np.tan(np.radians(view) / 2)
        return cls(
            colour(position),
            unit(np.cross(up, forward)),
            up,
            forward,
            float(focal),
            (columns / 2, rows * horizon),
            canvas.shape,
        )

    @classmethod
    def towards(cls, canvas: Canvas, position: Vector, target: Vector, view: float, roll: float = 0.0) -> Camera:
        """A camera at `position` with `target` in the middle; `view` degrees along the longer side; roll in degrees."""
        rows, columns = canvas.shape
        forward = unit(colour(target) - colour(position))
        right = unit(np.cross([0.0, 1.0, 0.0], forward))
        up = np.cross(forward, right)
        c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
        focal = 0.5 * max(rows, columns) / np.tan(np.radians(view) / 2)
        return cls(
            colour(position),
            colour(c * right + s * up),
            colour(c * up - s * right),
            forward,
            float(focal),
            (columns / 2, rows / 2),
            canvas.shape,
        )

    def rays(self, rows: slice = slice(None), columns: slice = slice(None)) -> Array:
        """Unit directions through the pixels of a window, shape (h, w, 3), float32."""
        y = (self.centre[1] - np.arange(self.shape[0])[rows] - 0.5) / self.focal
        x = (np.arange(self.shape[1])[columns] + 0.5 - self.centre[0]) / self.focal
        rays = self.forward + x[None, :, None] * self.right + y[:, None, None] * self.up
        return unit(rays)

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Column, row and depth along the view (all (n,)) of points (n, 3)."""
        away = points - self.position
        depth = away @ self.forward
        scale = self.focal / np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        return self.centre[0] + (away @ self.right) * scale, self.centre[1] - (away @ self.up) * scale, depth

    def window(self, centre: Array, radius: float) -> tuple[slice, slice]:
        """Rows and columns that a ball can touch in the picture; all of them if the camera is near or inside."""
        columns, rows, depth = (float(v[0]) for v in self.project(centre[None]))
        if depth < 1.5 * radius:
            return (slice(0, self.shape[0]), slice(0, self.shape[1])) if depth > -radius else (slice(0), slice(0))
        reach = 1.35 * radius * self.focal / depth + 2
        return (
            slice(max(0, int(rows - reach)), max(0, min(self.shape[0], int(rows + reach)))),
            slice(max(0, int(columns - reach)), max(0, min(self.shape[1], int(columns + reach)))),
        )
