"""Colour profiles for pictures that have none and say by other means what their numbers are."""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

#: The largest profiles in use, those of presses, have 3 MB.
MAX_PROFILE_BYTES = 8_000_000

#: x and y of red, green, blue and white.
Primaries = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

_D65 = (0.3127, 0.3290)
SRGB: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
ADOBE_RGB: Primaries = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)

# By the codes of ITU-T H.273, which PNG (cICP), AVIF and HEIC (nclx) have in common.
_PRIMARIES: dict[int, Primaries] = {
    1: SRGB,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), _D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), _D65),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), _D65),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_PQ, _HLG = 16, 18

# Candela per square metre of what is white on paper, in pictures of high dynamic range (ITU-R BT.2408): what is
# brighter is white too.
_WHITE = 203.0
_HLG_PEAK = 1000.0

_D50 = np.array([0.96420, 1.0, 0.82491])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

# Chromaticities and exponents that differ by less are rounded ones.
_SAME, _SAME_GAMMA = 0.003, 0.05


@lru_cache(maxsize=16)
def of_codes(primaries: int, transfer: int) -> bytes | None:
    """Make the profile for H.273's codes of primaries and transfer; None where they are sRGB's, unknown or not told."""
    shares = np.arange(256) / 255
    if transfer == _PQ:
        power = shares ** (1 / 78.84375)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        curve = light * (10_000 / _WHITE)
    elif transfer == _HLG:
        low, high = shares**2 / 3, (np.exp((shares - 0.55991073) / 0.17883277) + 0.28466892) / 12
        curve = np.where(shares <= 0.5, low, high) ** 1.2 * (_HLG_PEAK / _WHITE)
    elif transfer in _GAMMAS:
        curve = shares ** _GAMMAS[transfer]
    elif primaries in (1, 5, 6, 7):
        return None
    else:
        curve = _srgb_light(shares)
    return _made(_PRIMARIES.get(primaries, SRGB), curve)


@lru_cache(maxsize=16)
def of_gamma(gamma: float, primaries: Primaries = SRGB) -> bytes | None:
    """Make the profile of numbers that are the `gamma`-th roots of light; None for sRGB's, and for what makes no sense.

    An exponent of 2.2 with the primaries of sRGB is what programs write that mean sRGB.
    """
    if not 0.2 <= gamma <= 5:
        return None
    if np.abs(np.subtract(primaries, SRGB)).max() <= _SAME:
        if abs(gamma - 2.2) <= _SAME_GAMMA:
            return None
        primaries = SRGB
    shares = np.arange(256) / 255
    curve = _srgb_light(shares) if abs(gamma - 2.2) <= _SAME_GAMMA and primaries != ADOBE_RGB else shares**gamma
    return _made(primaries, curve)


def _srgb_light(shares: Numbers) -> Numbers:
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def _made(primaries: Primaries, curve: Numbers) -> bytes | None:
    """Return an ICC profile of version 2; None where there are no such colours."""
    points = np.array(primaries, dtype=np.float64)
    if not np.isfinite(points).all() or (points[:, 1] <= 0).any() or (np.abs(points) > 10).any():
        return None
    xyz = np.stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)], axis=0) / points[:, 1]
    try:
        matrix = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
        cones = _BRADFORD @ xyz[:, 3]
        adapted = np.linalg.solve(_BRADFORD, np.diag(_BRADFORD @ _D50 / cones) @ _BRADFORD) @ matrix
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 100:
        return None
    levels = np.round(np.clip(curve, 0, 1) * 65535).astype(">u2").tobytes()
    text = b"cbir\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"None\0",
        b"wtpt": _xyz(_D50),
        b"rXYZ": _xyz(adapted[:, 0]),
        b"gXYZ": _xyz(adapted[:, 1]),
        b"bXYZ": _xyz(adapted[:, 2]),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + bytes(4) + struct.pack(">I", 256) + levels),
    }
    return _profile(tags)


def _xyz(numbers: Numbers) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(number) * 65536) for number in numbers))


def _profile(tags: dict[bytes, bytes]) -> bytes:
    table, content = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    body = struct.pack(">I", len(tags)) + table + content
    header = bytearray(128)
    header[0:4], header[8:12] = struct.pack(">I", 128 + len(body)), b"\x02\x10\0\0"
    header[12:24], header[36:40] = b"mntrRGB XYZ ", b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    return bytes(header) + body
