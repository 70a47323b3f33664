"""Chips for networks that take aligned faces: by a similarity that brings five points to where they should be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.utils.vectors import Floats

Pixels = npt.NDArray[np.uint8]

#: The places of eyes, nose and corners of the mouth on a chip of 112 pixels (Deng and others 2019).
PLACES = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])


class AlignedChips:
    """Chips of 112 pixels, by MTCNN's five points."""

    side = 112

    def cut(self, pixels: Pixels, corners: Floats, points: Floats) -> Pixels:
        """Cut out faces, given by five points each, (n, 5, 2): shape (n, 112, 112, 3)."""
        image = Image.fromarray(pixels)
        found = np.zeros((len(points), self.side, self.side, 3), np.uint8)
        for number, face in enumerate(points):
            a, b, x, y = _similarity(face.astype(np.float64))
            small, left, top, factor = _around(image, a, b, x, y, self.side)
            if small is not None:
                # Pillow's places are those of corners of pixels, as those of the points are
                back = (a / factor, -b / factor, (x - left) / factor, b / factor, a / factor, (y - top) / factor)
                chip = small.transform((self.side, self.side), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
                found[number] = np.asarray(chip)
        return found


def _similarity(points: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return a, b, x, y, by which a place (u, v) of the chip is (a u - b v + x, b u + a v + y) in the picture.

    Of all similarities it is the one that brings PLACES nearest to the points, in least squares.
    """
    rows = []
    for u, v in PLACES:
        rows += [(u, -v, 1, 0), (v, u, 0, 1)]
    (a, b, x, y), *_ = np.linalg.lstsq(np.array(rows), points.ravel(), rcond=None)
    return float(a), float(b), float(x), float(y)


def _around(
    image: Image.Image, a: float, b: float, x: float, y: float, side: int
) -> tuple[Image.Image | None, int, int, int]:
    """Return what a chip shows of an image, reduced by a whole factor where it is much larger; None for nothing.

    With it come its corner in the image, and the factor.
    """
    ends = [(a * u - b * v + x, b * u + a * v + y) for u in (0, side) for v in (0, side)]
    box = [*np.floor(np.min(ends, axis=0)), *np.ceil(np.max(ends, axis=0))]
    left, top = (max(int(one), 0) for one in box[:2])
    right, bottom = (min(int(one), size) for one, size in zip(box[2:], image.size, strict=True))
    if right <= left or bottom <= top:
        return None, 0, 0, 1
    factor = max(int(np.hypot(a, b)), 1)
    crop = image.crop((left, top, right, bottom))
    return (crop.reduce(factor) if factor > 1 else crop), left, top, factor
