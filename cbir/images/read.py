"""From a file's bytes to an upright RGB picture."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from cbir.errors import ImageReadError

#: Above this a picture is refused before it is decoded; a photo of today's cameras has at most 200 megapixels.
MAX_PIXELS = 250_000_000

#: The white that stands behind transparent pixels: what a viewer shows, and what logos are drawn for.
BACKGROUND = (255, 255, 255)

# Pillow's own limit warns at 90 and raises at 180 megapixels, by an exception that is no OSError and in words
# that speak of attacks. MAX_PIXELS takes its place, so it is switched off once, here, where pictures are opened.
Image.MAX_IMAGE_PIXELS = None


def read_image(source: str | Path | bytes | IO[bytes]) -> npt.NDArray[np.uint8]:
    """Read a picture upright (EXIF orientation applied) as RGB.

    `source` is a path, the bytes of a file, or a binary stream.

    Returns a uint8 array of shape (height, width, 3). Transparent pixels are laid over white; of an animation or
    a multi-page file the first frame counts; 16-bit and float greys are brought to 8 bits.

    Raises ImageReadError for whatever is no readable picture.
    """
    return np.asarray(open_image(source))


def open_image(source: str | Path | bytes | IO[bytes]) -> Image.Image:
    """Like `read_image`, as a Pillow image in mode RGB."""
    if isinstance(source, (str, Path)):
        return decode(read_bytes(Path(source)), name=str(source))
    data = source if isinstance(source, bytes) else source.read()
    return decode(data, name=str(getattr(source, "name", "the picture")))


def read_bytes(path: Path) -> bytes:
    """The content of a regular file; ImageReadError where it cannot be had.

    Devices and pipes are refused before they are opened, since opening a pipe waits for its other end.
    """
    try:
        if not path.is_file():
            if path.is_dir():
                raise ImageReadError(str(path), "it is a folder")
            reason = "it is not a regular file" if path.exists() else "there is no such file"
            raise ImageReadError(str(path), reason, transient=not path.exists())
        return path.read_bytes()
    except OSError as error:
        raise ImageReadError(str(path), (error.strerror or str(error)).lower(), transient=True) from error


def decode(data: bytes, *, name: str, at_least: int | None = None) -> Image.Image:
    """Decode the bytes of a picture file to an upright Pillow image in mode RGB.

    `name` is for error messages. With `at_least`, a JPEG may be decoded at a half, a quarter or an eighth of its
    size, as long as both sides keep that many pixels and are halved without a rest: the decoder then skips most of
    its work.
    """
    if not data:
        raise ImageReadError(name, "the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and palettes that it goes on to read well
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    reason = f"{width} x {height} pixels are more than {MAX_PIXELS // 10**6} megapixels"
                    raise ImageReadError(name, reason)
                if at_least is not None and image.format == "JPEG":
                    _reduce(image, at_least)
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ImageReadError(name, "it is no picture in a known format") from error
    except MemoryError as error:
        raise ImageReadError(name, "it does not fit into memory") from error
    except ImageReadError:
        raise
    except Exception as error:  # a broken file makes decoders raise nearly anything: SyntaxError, struct.error …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageReadError(name, f"it is damaged ({reason})") from error


def _reduce(image: Image.Image, at_least: int) -> None:
    """Have a JPEG decoded at the smallest of its sizes whose sides are whole and have `at_least` pixels.

    Where a side leaves a rest, the decoder's last pixel is wider than the others. That stretches the picture by half
    a pixel, which changes features to a cosine of 0.996.
    """
    width, height = image.size
    for divisor in (8, 4, 2):
        if width % divisor == height % divisor == 0 and min(width, height) // divisor >= at_least:
            image.draft(None, (width // divisor, height // divisor))
            return


def _to_rgb(image: Image.Image) -> Image.Image:
    """`image` in mode RGB: transparency over white, deep greys scaled to 8 bits."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255, which turns a 16-bit scan white
        return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretch(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        # `convert` twice: RGBa and La go straight to no other mode, and a palette's transparency becomes alpha
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*BACKGROUND, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")


def _stretch(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Greys of unknown range, shape (height, width), as uint8.

    Values of 0 to 1, 255 or 65535 keep that scale; anything else is stretched between its extremes. What is not
    finite counts as 0.
    """
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 65535:
        scale = 1.0 if high <= 1 and not np.array_equal(values, np.round(values)) else 255.0 if high <= 255 else 65535.0
        return np.asarray(np.round(values * (255.0 / scale)), dtype=np.uint8)
    spread = (high - low) or 1.0  # a picture of one grey
    return np.asarray(np.round((values - low) * (255.0 / spread)), dtype=np.uint8)
