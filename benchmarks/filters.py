"""Filters for photos, as programs have them: what `benchmarks.treatment` does to pictures, with Pillow and NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

#: A filter: an RGB picture in, one of the same size out.
Filter = Callable[[Image.Image], Image.Image]


def _grey(image: Image.Image) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB")


def _sepia(image: Image.Image) -> Image.Image:
    return _mixed(image, [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def _blur(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 120))


def _posterise(image: Image.Image) -> Image.Image:
    return ImageOps.posterize(image, 2)


def _sketch(image: Image.Image) -> Image.Image:
    """Pencil: the photo divided by its blurred negative, in grey."""
    grey = ImageOps.grayscale(image)
    soft = ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(max(image.size) / 60))
    base, divisor = np.asarray(grey, np.float32), 255 - np.asarray(soft, np.float32)
    return _image(np.repeat((base / np.maximum(divisor, 1) * 255)[..., np.newaxis], 3, axis=2))


def _emboss(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.EMBOSS)


def _solarise(image: Image.Image) -> Image.Image:
    return ImageOps.solarize(image, 128)


def _warm(image: Image.Image) -> Image.Image:
    return _mixed(image, [[1.2, 0, 0], [0, 1.02, 0], [0, 0, 0.75]])


def _vignette(image: Image.Image) -> Image.Image:
    """Dark corners, and more contrast."""
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in (image.height, image.width))
    far = np.hypot(*np.meshgrid(x, y))
    pixels = np.asarray(ImageEnhance.Contrast(image).enhance(1.3), np.float32)
    return _image(pixels * np.clip(1.15 - 0.75 * far**2, 0, 1)[..., np.newaxis])


def _negative(image: Image.Image) -> Image.Image:
    return ImageOps.invert(image)


def _cool(image: Image.Image) -> Image.Image:
    return _mixed(image, [[0.75, 0, 0], [0, 0.98, 0], [0, 0, 1.2]])


def _mosaic(image: Image.Image) -> Image.Image:
    small = image.resize((max(image.width // 8, 1), max(image.height // 8, 1)), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


def _grain(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(image.width * 8191 + image.height).normal(0, 28, (image.height, image.width, 1))
    return _image(np.asarray(image, np.float32) + noise)


def _stencil(image: Image.Image) -> Image.Image:
    """Black and white, nothing between."""
    grey = ImageOps.autocontrast(ImageOps.grayscale(image))
    return grey.point(lambda value: 255 * (value > 127)).convert("RGB")


def _faded(image: Image.Image) -> Image.Image:
    pale = ImageEnhance.Color(image).enhance(0.5)
    return _image(np.asarray(pale, np.float32) * 0.55 + 90)


def _oil(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.ModeFilter(9))


def _contours(image: Image.Image) -> Image.Image:
    """Bright edges on black, in colour."""
    return image.filter(ImageFilter.FIND_EDGES)


def _vivid(image: Image.Image) -> Image.Image:
    return ImageEnhance.Sharpness(ImageEnhance.Color(image).enhance(2.2)).enhance(4)


def _green(image: Image.Image) -> Image.Image:
    return _mixed(image, [[0.85, 0, 0], [0, 1.15, 0], [0, 0, 0.85]])


def _duotone(image: Image.Image) -> Image.Image:
    grey = np.asarray(ImageOps.grayscale(image), np.float32)[..., np.newaxis] / 255
    return _image(grey * np.array([150, 205, 255]) + (1 - grey) * np.array([10, 20, 60]))


def _mono(image: Image.Image) -> Image.Image:
    """Black and white film behind a red glass."""
    return ImageOps.autocontrast(image.getchannel("R"), cutoff=2).convert("RGB")


def _pale(image: Image.Image) -> Image.Image:
    return ImageEnhance.Color(image).enhance(0.35)


def _bright(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.5)


def _dark(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(0.5)


def _frame(image: Image.Image) -> Image.Image:
    pixels, border = np.array(image), max(min(image.size) // 9, 1)
    pixels[:border] = pixels[-border:] = 255
    pixels[:, :border] = pixels[:, -border:] = 255
    return Image.fromarray(pixels)


def _motion(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    return _image(np.mean([np.roll(pixels, step, axis=1) for step in range(-5, 6)], axis=0))


def _crossed(image: Image.Image) -> Image.Image:
    """Cross-processed film."""
    red, green, blue = np.moveaxis(np.asarray(image, np.float32) / 255, -1, 0)
    return _image(255 * np.stack([red * red * (3 - 2 * red), green**0.9, 0.25 + 0.5 * blue], axis=-1))


#: The filters that figures are reported of.
REPORTED: dict[str, Filter] = {
    "greyscale": _grey,
    "sepia": _sepia,
    "blur": _blur,
    "posterise": _posterise,
    "sketch": _sketch,
    "emboss": _emboss,
    "solarise": _solarise,
    "warm": _warm,
    "vignette": _vignette,
}

#: Those by which the constants of `cbir.search.treatment` were chosen.
TUNED_ON: dict[str, Filter] = {
    "negative": _negative,
    "cool": _cool,
    "mosaic": _mosaic,
    "grain": _grain,
    "stencil": _stencil,
    "faded": _faded,
    "oil": _oil,
    "contours": _contours,
    "vivid": _vivid,
    "green": _green,
    "duotone": _duotone,
    "mono": _mono,
    "pale": _pale,
    "bright": _bright,
    "dark": _dark,
    "frame": _frame,
    "motion": _motion,
    "equalised": ImageOps.equalize,
    "crossed": _crossed,
}


def _mixed(image: Image.Image, matrix: list[list[float]]) -> Image.Image:
    return _image(np.asarray(image, np.float32) @ np.array(matrix, np.float32).T)


def _image(pixels: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
