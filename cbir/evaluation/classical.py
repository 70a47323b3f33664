"""Features of systems from before neural networks, to compare with: colour histograms and oriented gradients.

Both look at the whole picture, squeezed to 128 × 128 pixels, and are compared by their cosine like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from PIL import Image

from cbir.errors import CbirError, ImageReadError
from cbir.images.safely import open_image
from cbir.images.sources.address import Location
from cbir.utils.vectors import Floats, l2_normalize

_SIDE = 128
_HSV_BINS = (8, 4, 4)
_HOG_CELL = 16

_THREADS = 4


def hsv(picture: Image.Image) -> Floats:
    """Return a histogram of hue, saturation and value in 8 × 4 × 4 bins, square roots of the counts; shape (128,).

    The cosine of two square roots is the Bhattacharyya coefficient of the histograms.
    """
    pixels = np.asarray(_small(picture).convert("HSV"), dtype=np.int64).reshape(-1, 3)
    hue, saturation, value = (pixels * _HSV_BINS // 256).T
    bins = (hue * _HSV_BINS[1] + saturation) * _HSV_BINS[2] + value
    return np.sqrt(np.bincount(bins, minlength=int(np.prod(_HSV_BINS))), dtype=np.float32)


def hog(picture: Image.Image) -> Floats:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005), 9 directions in cells of 16 px; shape (1764,).

    Raises CbirError where scikit-image is missing.
    """
    check_hog()
    from skimage.feature import hog as compute

    features = compute(
        np.asarray(_small(picture.convert("L"))),
        orientations=9,
        pixels_per_cell=(_HOG_CELL, _HOG_CELL),
        cells_per_block=(2, 2),
        block_norm="L2-Hys",
    )
    return np.asarray(features, dtype=np.float32)


def check_hog() -> None:
    """CbirError where what `hog` needs is missing."""
    try:
        import skimage.feature  # noqa: F401
    except ImportError as error:
        raise CbirError("hog needs scikit-image, which is missing: install cbir again with pip.") from error


CLASSICAL: dict[str, Callable[[Image.Image], Floats]] = {"hsv": hsv, "hog": hog}


def extract(names: Sequence[str], paths: Sequence[Location]) -> Iterator[dict[str, Floats] | ImageReadError]:
    """Yield the features `names` of the pictures `paths`, in order, each of length 1; or why one cannot be read."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="classical") as pool:
        yield from pool.map(partial(_extract_one, names), paths)


def _extract_one(names: Sequence[str], path: Location) -> dict[str, Floats] | ImageReadError:
    try:
        picture = open_image(path, apart=True)
    except ImageReadError as error:
        return error
    return {name: l2_normalize(CLASSICAL[name](picture)) for name in names}


def _small(picture: Image.Image) -> Image.Image:
    return picture.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
