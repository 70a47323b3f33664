"""Transparency: the colour laid behind it, and pictures that only seem to have it."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

#: The ground that stands behind transparent pixels: what a viewer shows, and what logos are drawn for.
BACKGROUND = (255, 255, 255)

#: The ground of pictures that would vanish on white: white logos, the icons of dark menus.
DARK_BACKGROUND = (0, 0, 0)

MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})

# Formats whose fourth channel is as often left at 0 as it says how transparent a pixel is.
_OFTEN_UNUSED = frozenset({"BMP", "DIB", "TGA", "ICO", "CUR", "DDS", "PSD", "SGI", "SUN", "TIFF", "JPEG2000", "QOI"})

# A picture vanishes on white where all but this share of what is visible of it is that near to white …
_SHARE, _NEAR = 0.03, 32
# … and where more than this share of its pixels is transparent: else the ground shows in corners at most.
_HOLES = 0.05

_SAMPLE = 512  # pixels of each side that are looked at for this


def has_alpha(image: Image.Image) -> bool:
    """Tell whether pixels of `image` may be transparent."""
    return image.mode in MODES or "transparency" in image.info


def is_no_transparency(image: Image.Image, data: bytes) -> bool:
    """Tell whether the fourth channel of a loaded picture is something else than transparency; `data` is its file.

    Either the file says so, or the channel is all 0 in a format in which that is usual: nobody keeps a picture of which
    nothing can be seen.
    """
    if image.format not in _OFTEN_UNUSED or image.mode not in MODES:
        return False
    if image.format == "TGA" and (data[17] & 15) == 0:
        return True
    if image.format == "PSD" and not _psd_is_transparent(data):
        return True
    return image.getchannel("A" if image.mode[-1] == "A" else "a").getextrema() == (0, 0)


def without_alpha(image: Image.Image) -> Image.Image:
    """`image` with all its pixels opaque. Colours stay as they are, not multiplied by anything."""
    if image.mode == "PA":
        image = image.convert("RGBA")
    if image.mode in ("RGBa", "La"):
        colours = Image.merge("RGB" if image.mode == "RGBa" else "L", image.split()[:-1])
    else:
        colours = image.convert("RGB" if image.mode == "RGBA" else "L")
    colours.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return colours


def ground_of(image: Image.Image) -> tuple[int, int, int]:
    """Choose the grey on which transparent pixels show: white, unless the picture is itself nearly white."""
    pixels = np.asarray(to_rgba(sample_of(image)))
    alpha = pixels[..., 3].astype(np.float64)
    seen = alpha.sum()
    if seen == 0 or seen > (1 - _HOLES) * 255 * alpha.size:
        return BACKGROUND
    apart = alpha[pixels[..., :3].min(axis=-1) < 255 - _NEAR].sum()
    return DARK_BACKGROUND if apart < _SHARE * seen else BACKGROUND


def sample_of(image: Image.Image) -> Image.Image:
    """Some pixels of a picture, evenly spread; all of a small one."""
    size = min(image.width, _SAMPLE), min(image.height, _SAMPLE)
    return image if size == image.size else image.resize(size, Image.Resampling.NEAREST)


def is_opaque(image: Image.Image) -> bool:
    """Tell whether a loaded picture has a channel of transparency that hides nothing, as screenshots do."""
    return image.mode in ("RGBA", "LA") and image.getchannel("A").getextrema() == (255, 255)


def to_rgba(image: Image.Image) -> Image.Image:
    """`image` in mode RGBA; what its info says to be transparent, is."""
    return image.convert("RGBA")


def lay_on(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    """`image` in mode RGB, laid on a ground of one colour."""
    rgba = to_rgba(image)
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (*ground, 255)), rgba).convert("RGB")


def _psd_is_transparent(data: bytes) -> bool:
    """Tell whether the fourth channel of a Photoshop file's picture is its transparency, and not a saved selection.

    It is where the number of layers is negative.
    """
    at = 26
    try:
        for _ in range(2):  # the palette, the resources
            at += 4 + int(struct.unpack_from(">I", data, at)[0])
        whole, layers, count = struct.unpack_from(">IIh", data, at)
    except struct.error:
        return False
    return bool(whole and layers and count < 0)
