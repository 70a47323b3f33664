"""Daylight: the sky's colour in any direction, clouds, the sun, and the haze between things and the eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .maths import Array, direction, dot, hexed, mix, pick, smoothstep
from .noise import Texture, spectral


@dataclass(frozen=True)
class Sky:
    """A sky: its colours (linear, (3,)), the sun (unit vector and light), and how clouded it is (0..1)."""

    zenith: Array
    horizon: Array
    sun: Array
    sunlight: Array
    cover: float
    clouds: Texture
    cloud_size: float

    def haze(self, colours: Array, distance: Array, reach: float) -> Array:
        """Colours (h, w, 3) seen through air that takes 63 % of the contrast over `reach`."""
        return mix(colours, self.horizon, 1 - np.exp(-distance / reach))

    def light(self, rays: Array, disc: float = 1.0) -> Array:
        """The sky's light (h, w, 3) along unit rays; `disc` scales the sun's own disc and its glow."""
        up = np.maximum(rays[..., 1], 0)
        shade = mix(self.horizon, self.zenith, np.clip(up * 1.5, 0, 1) ** 0.55)
        near = np.clip(dot(rays, self.sun), 0, 1)
        glow = 0.35 * near**6 + 0.6 * near**60
        shade = shade + disc * glow[..., None] * self.sunlight * 0.45
        # Clouds hang in a flat layer: directions meet it ever farther out towards the horizon.
        scale = self.cloud_size / (up + 0.13)
        u, v = rays[..., 0] * scale, rays[..., 2] * scale
        thick = 0.72 * self.clouds.at(u, v) + 0.28 * self.clouds.at(3.1 * u + 0.4, 3.1 * v)
        lit = 0.72 * self.clouds.at(u + 0.03 * self.sun[0], v + 0.03 * self.sun[2]) + 0.28 * 0.5
        edge = 0.78 - 0.55 * self.cover
        density = smoothstep(edge, edge + 0.22, thick) * smoothstep(0.0, 0.10, up)
        bright = np.clip(0.75 + 3.2 * (thick - lit) - 0.5 * density * self.cover, 0.25, 1.3)
        tone = 0.55 * self.sunlight * (0.6 + 0.8 * near**3)[..., None] + 0.5 * self.horizon + 0.1 * self.zenith
        shade = mix(shade, tone * bright[..., None], 0.92 * density)
        core = smoothstep(0.99965, 0.99985, dot(rays, self.sun)) * (1 - 0.9 * density)
        return np.asarray(shade + disc * core[..., None] * self.sunlight * 12, np.float32)


# Name: zenith, horizon, sunlight as on a screen, and the light's strength.
HOURS: dict[str, tuple[str, str, str, float]] = {
    "noon": ("#2f6fc0", "#b7d3ea", "#fff6e6", 1.5),
    "morning": ("#4a83c4", "#e3dccb", "#ffe2b8", 1.35),
    "gold": ("#5a7cb2", "#edcda6", "#ffcb90", 1.4),
    "sunset": ("#45558f", "#f0a36c", "#ffad70", 1.3),
    "crimson": ("#4a4a80", "#e09a92", "#ffa286", 1.2),
    "dusk": ("#34406e", "#a58ba0", "#e0b0b0", 0.7),
    "grey": ("#8a97a5", "#c6ccd0", "#e6e8ea", 0.8),
    "storm": ("#4b5563", "#99a0a4", "#c9ccd0", 0.55),
    "pale": ("#8fb0d4", "#eceff0", "#fff4e2", 1.3),
}


def make_sky(rng: np.random.Generator, hour: str, azimuth: float, elevation: float, cover: float | None = None) -> Sky:
    """The sky of a named hour (HOURS) with the sun at degrees of azimuth and elevation."""
    zenith, horizon, sunlight, strength = HOURS[hour]
    tint = rng.uniform(0.9, 1.1, 3).astype(np.float32)
    return Sky(
        hexed(zenith) * tint,
        hexed(horizon) * tint,
        direction(azimuth, elevation),
        hexed(sunlight) * strength,
        pick(rng, 0.15, 0.85) if cover is None else cover,
        spectral(rng, 512, pick(rng, 1.5, 1.9), 3.0),
        pick(rng, 0.05, 0.14),
    )
