"""Height fields: a periodic map of heights, its sunlight, and a quick exact view of it by columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Camera
from .maths import Array, unit
from .noise import Texture


@dataclass(frozen=True)
class View:
    """What a camera sees of a terrain; arrays (h, w).  Where `hit` is False there is sky."""

    hit: Array
    x: Array
    z: Array
    height: Array
    depth: Array
    rise: Array


class Terrain:
    """Heights (n, n) over a square of `extent` world units that repeats in x and z."""

    def __init__(self, heights: Array, extent: float) -> None:
        self.extent = extent
        self.cell = extent / heights.shape[0]
        self.heights = Texture(heights)
        self.slope_x = Texture((np.roll(heights, -1, 1) - np.roll(heights, 1, 1)) / (2 * self.cell))
        self.slope_z = Texture((np.roll(heights, -1, 0) - np.roll(heights, 1, 0)) / (2 * self.cell))

    def height(self, x: Array, z: Array) -> Array:
        """Heights at world positions."""
        return self.heights.at(x / self.extent, z / self.extent)

    def normal(self, x: Array, z: Array, bump_x: Array | float = 0.0, bump_z: Array | float = 0.0) -> Array:
        """Unit normals (..., 3) at world positions; the bumps are added to the slopes."""
        sx = self.slope_x.at(x / self.extent, z / self.extent) + bump_x
        sz = self.slope_z.at(x / self.extent, z / self.extent) + bump_z
        return unit(np.stack([-sx, np.ones_like(sx), -sz], axis=-1))

    def sunlit(self, sun: Array, steps: int = 70, soft: float = 0.02) -> Texture:
        """How much of the sun each cell sees, 0..1: every cell looks towards the sun for higher ground."""
        level = float(np.hypot(sun[0], sun[2]))
        lowest = np.full(self.heights.data.shape, 1.0, np.float32)
        for step in range(1, steps):
            # Strides grow, so that near ground is seen finely and far ground is seen at all.
            reach = step * (1 + 0.04 * step)
            rows, columns = round(reach * sun[2] / level), round(reach * sun[0] / level)
            far = np.roll(self.heights.data, (-rows, -columns), (0, 1))
            distance = reach * self.cell
            clear = (self.heights.data + distance * sun[1] / level - far) / distance
            lowest = np.minimum(lowest, clear / soft + 0.5)
        return Texture(np.clip(lowest, 0, 1))

    def view(self, camera: Camera, near: float, far: float, floor: float | None = None, steps: int = 420) -> View:
        """What a level camera sees between two depths; ground below `floor` (water) is seen as flat there."""
        rows, columns = camera.shape
        depths = np.geomspace(near, far, steps).astype(np.float32)[:, None]
        across = ((np.arange(columns) + 0.5 - camera.centre[0]) / camera.focal).astype(np.float32)[None]
        x = camera.position[0] + depths * (camera.forward[0] + across * camera.right[0])
        z = camera.position[2] + depths * (camera.forward[2] + across * camera.right[2])
        ground = self.height(x, z)
        if floor is not None:
            ground = np.maximum(ground, floor)
        rises = (ground - camera.position[1]) / depths
        highest = np.maximum.accumulate(rises, axis=0)
        wanted = ((camera.centre[1] - np.arange(rows) - 0.5) / camera.focal).astype(np.float32)
        index = np.empty((rows, columns), np.int64)
        for column in range(columns):
            index[:, column] = np.searchsorted(highest[:, column], wanted)
        hit = index < steps
        behind = np.clip(index, 1, steps - 1)
        ahead = behind - 1
        upper = np.take_along_axis(rises, behind, 0)
        lower = np.take_along_axis(rises, ahead, 0)
        share = np.clip((wanted[:, None] - lower) / np.maximum(upper - lower, 1e-6), 0, 1)
        depth = depths[ahead, 0] * (1 - share) + depths[behind, 0] * share
        # The lowest rows look at ground nearer than `near`: follow the ray down to the first sample's height.
        first = index == 0
        drop = np.minimum((ground[0] - camera.position[1])[None] / np.minimum(wanted[:, None], -1e-4), near)
        depth = np.where(first, drop, depth)
        px = camera.position[0] + depth * (camera.forward[0] + across * camera.right[0])
        pz = camera.position[2] + depth * (camera.forward[2] + across * camera.right[2])
        height = camera.position[1] + wanted[:, None] * depth
        return View(hit, px, pz, height, depth, np.broadcast_to(wanted[:, None], hit.shape))
