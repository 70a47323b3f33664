"""Sources of images: files, their bytes, streams, and images in memory."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbir.errors import ImageReadError, reason_of
from cbir.images.sources.address import Address, Location

#: A path, a picture elsewhere, the bytes of an image file, a binary stream of one, a Pillow image, or an array of
#: uint8, of shape (height, width) or (height, width, 3 or 4), upright and in the colours of sRGB.
ImageSource = str | os.PathLike[str] | Address | bytes | IO[bytes] | Image.Image | npt.NDArray[Any]

#: The name of an image that has none.
UNNAMED = "the picture"


@dataclass(frozen=True)
class NamedImage:
    """An image with a name for messages and results, of one from stdin, say."""

    source: ImageSource
    name: str


def is_one(source: object) -> bool:
    """Tell whether something is one image, and not several."""
    if isinstance(source, np.ndarray):
        return source.ndim < 4
    return isinstance(source, (str, bytes, os.PathLike, Address, Image.Image, NamedImage)) or hasattr(source, "read")


def name_of(source: ImageSource | NamedImage) -> str:
    """Return the name of an image: its own, its path, or that of its stream."""
    if isinstance(source, NamedImage):
        return source.name
    if isinstance(source, Address):
        return str(source)
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = None if isinstance(source, (bytes, Image.Image, np.ndarray)) else getattr(source, "name", None)
    return name if isinstance(name, str) else UNNAMED


def open_source(source: ImageSource | NamedImage) -> Location | bytes:
    """Return the place of an image, which is not read, or the bytes of its file, a PNG for an image in memory.

    Raises ImageReadError where an image in memory is none, or a stream cannot be read; TypeError where `source` is no
    ImageSource.
    """
    if isinstance(source, NamedImage):
        source = source.source
    if isinstance(source, (bytes, Address)):
        return source
    if isinstance(source, (str, os.PathLike)):
        return Path(source)
    if isinstance(source, (Image.Image, np.ndarray)):
        file = io.BytesIO()
        image_in_memory(source).save(file, "PNG", compress_level=0)
        return file.getvalue()
    if not hasattr(source, "read"):
        raise TypeError(
            f"an image is a path, bytes, a stream, a Pillow image or an array, and no {type(source).__name__}"
        )
    try:
        data = source.read()
    except OSError as error:
        raise ImageReadError(name_of(source), reason_of(error), transient=True) from error
    if not isinstance(data, bytes):
        raise TypeError("an image's stream must be open in binary mode")
    return data


def image_in_memory(source: Image.Image | npt.NDArray[Any]) -> Image.Image:
    """Return an image in memory as an upright one in mode RGB and sRGB colours. Raises ImageReadError.

    One that Pillow opened from a file is turned as its EXIF says, and has the colours of its profile; others, in mode
    RGB, are taken as they are.
    """
    if isinstance(source, np.ndarray):
        channels = source.shape[2] if source.ndim == 3 else 1
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or channels not in (1, 3, 4) or not source.size:
            raise ImageReadError(
                UNNAMED,
                f"an array of {source.dtype} and shape {source.shape} is no image: those have uint8, and the shape "
                "(height, width) or (height, width, 3)",
            )
        source = Image.fromarray(source[..., 0] if source.ndim == 3 and channels == 1 else source)
    # what is imported here decodes, and a command that reads files alone may need none of it
    from PIL import ImageFile

    from cbir.images.convert import to_rgb
    from cbir.images.orientation import turn_of

    try:
        is_of_file = isinstance(source, ImageFile.ImageFile)
        source.load()
        if source.mode == "RGB" and not is_of_file:
            return source
        image = source.copy()
        turn = turn_of(image) if is_of_file else None
        rgb = to_rgb(image)
    except Exception as error:  # a file that Pillow opened and cannot decode raises nearly anything
        raise ImageReadError(UNNAMED, reason_of(error)) from error
    return rgb if turn is None else rgb.transpose(turn)
