"""From a file's bytes to an upright RGB picture."""

from __future__ import annotations

import importlib
import io
import struct
import warnings
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from cbir.errors import ImageReadError, reason_of
from cbir.images import cost
from cbir.images.convert import to_rgb
from cbir.images.fit import Box, Preprocessing, fit
from cbir.images.large import LargePicture, large_picture, size_for_parts
from cbir.images.orientation import forget_other_turns, swaps_sides, turn_of, turn_upright
from cbir.images.thumbnail import Thumbnail, thumbnail

#: Above this a picture is refused before it is decoded; a photo of today's cameras has at most 200 megapixels.
MAX_PIXELS = 250_000_000

#: The formats that are read, by Pillow's names, the likeliest first. All are decoded by Pillow's own code. Never may
#: EPS be among them, for which Pillow starts Ghostscript, nor a container that opens what it holds as anything (IPTC).
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000", "ICO"),
    *("CUR", "DCX", "DDS", "DIB", "MSP", "PCX", "PSD", "QOI", "SGI", "SUN", "XBM", "XPM"),
    *("TGA", "PCD"),  # these two have no mark at the start, and are tried on what nothing else recognises
)

#: File-name endings of what other names stand for in Pillow (.mpo) or an extra reads.
MORE_SUFFIXES = frozenset({".mpo", ".heic", ".heif", ".hif", ".avif"})

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_SHARED_BRANDS = frozenset({b"mif1", b"msf1"})

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF

_NO_PICTURES = {
    b"%!PS": "it is a PostScript document, no picture",
    b"\xc5\xd0\xd3\xc6": "it is a PostScript document, no picture",
    b"%PDF": "it is a PDF document, no picture",
    b"\xff\x0a": "it is a JPEG XL picture, which cbir cannot read",
    b"\x00\x00\x00\x0cJXL ": "it is a JPEG XL picture, which cbir cannot read",
}

# Pillow's limit of 90 megapixels (an error from twice as many on) speaks of attacks. `decode` has its own limit, but
# only Pillow's also guards what lies within a file: a PNG in an icon, the tiles of a TIFF, a WebP's canvas.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2


def read_image(source: str | Path | bytes | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read a picture upright (EXIF orientation applied) as RGB, in the colours of sRGB.

    `source` is a path, the bytes of a file, or a binary stream. A picture of more than `max_pixels` is refused
    before it is decoded.

    Returns a uint8 array of shape (height, width, 3). Transparent pixels are laid over white; of an animation or
    a multi-page file the first frame counts; 16-bit and float greys are brought to 8 bits; embedded colour profiles
    are followed.

    Raises ImageReadError for whatever is no readable picture.
    """
    return np.asarray(open_image(source, max_pixels=max_pixels))


def open_image(source: str | Path | bytes | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Like `read_image`, as a Pillow image in mode RGB."""
    if isinstance(source, (str, Path)):
        return decode(read_bytes(Path(source)), name=str(source), max_pixels=max_pixels)
    data = source if isinstance(source, bytes) else source.read()
    return decode(data, name=str(getattr(source, "name", "the picture")), max_pixels=max_pixels)


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
        raise ImageReadError(str(path), reason_of(error), transient=True) from error


def decode(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of a picture file to an upright Pillow image in mode RGB and sRGB colours.

    `name` is for error messages. A picture of more than `max_pixels` is refused before it is decoded. Raises
    ImageReadError.
    """
    return _decode(data, name, None, max_pixels).image


def decode_reduced(data: bytes, *, name: str, at_least: int, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, Box]:
    """Like `decode`, but a JPEG may come at a half, a quarter or an eighth of its size: most of the work is skipped.

    Both sides keep `at_least` pixels. Returns the image and the box within it that the picture fills, in pixels, left,
    top, right, bottom: where a side is not divided without a rest, the decoder's last pixel shows less than the others,
    and taking it for a whole one would stretch the picture by half a pixel (features at a cosine of 0.996).
    """
    decoded = _decode(data, name, at_least, max_pixels)
    return decoded.image, decoded.box


def read_thumbnail(
    data: bytes, side: int, *, name: str, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, tuple[int, int]]:
    """The bytes of a picture file as an upright RGB image of at most `side` pixels in width and height.

    Returns it and the picture's own width and height, upright, in pixels. A smaller picture keeps its size. Raises
    ImageReadError.
    """
    decoded = _decode(data, name, side, max_pixels)
    width, height = decoded.size
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = decoded.image
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS, box=decoded.box, reducing_gap=3.0)
    return image, decoded.size


def read_fitted(
    data: bytes, preprocessing: Preprocessing, *, name: str, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """The bytes of a picture file as a network takes them: uint8 of shape (crop, crop, 3). Raises ImageReadError."""
    image, box = decode_reduced(data, name=name, at_least=preprocessing.decode_at_least, max_pixels=max_pixels)
    return fit(image, preprocessing, box)


def read_fitted_and_thumbnail(
    data: bytes, preprocessing: Preprocessing, *, name: str, max_pixels: int = MAX_PIXELS
) -> tuple[npt.NDArray[np.uint8], Thumbnail]:
    """What `read_fitted` returns, and the picture's thumbnail; it is decoded once. Raises ImageReadError."""
    image, box, size = _decode(data, name, preprocessing.decode_at_least, max_pixels)
    return fit(image, preprocessing, box), thumbnail(image, box, size)


def read_fitted_thumbnail_and_large(
    data: bytes, preprocessing: Preprocessing, *, name: str, max_pixels: int = MAX_PIXELS
) -> tuple[npt.NDArray[np.uint8], Thumbnail, LargePicture]:
    """What `read_fitted_and_thumbnail` returns, and the picture as its parts are read. Raises ImageReadError.

    A large JPEG is decoded twice: features must not depend on whether parts are wanted too.
    """
    decoded = _decode(data, name, preprocessing.decode_at_least, max_pixels)
    image, box, size = decoded
    fitted, made = fit(image, preprocessing, box), thumbnail(image, box, size)
    at_least = min(size_for_parts(size))
    if min(image.size) < min(at_least, *size):
        image, box, _ = _decode(data, name, at_least, max_pixels)
    return fitted, made, large_picture(image, box, size)


class _Decoded(NamedTuple):
    """A picture, perhaps reduced, the box within `image` that it fills, and its upright width and height."""

    image: Image.Image
    box: Box
    size: tuple[int, int]


def _decode(data: bytes, name: str, at_least: int | None, max_pixels: int) -> _Decoded:
    if not data:
        raise ImageReadError(name, "the file is empty")
    limit = f"{max_pixels / 10**6:g} megapixels"
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and palettes that it goes on to read well
            with _open(data, name) as image:
                for width, height in (image.size, _tile(image)):
                    if width * height > max_pixels:
                        raise ImageReadError(name, f"{width} x {height} pixels are more than {limit}")
                width, height = image.size
                extent = None
                if at_least is not None and image.format in ("JPEG", "MPO"):
                    extent = _reduce(image, at_least)
                cost.check(image, (width, height), name)
                forget_other_turns(image)
                image.load()
                turn = turn_of(image)  # not before: Pillow turns some formats itself, and finds EXIF after the pixels
                box = (0.0, 0.0, *(extent or image.size))
                rgb = to_rgb(image, data)
                if rgb is not image:
                    image.close()  # as large as what was made of it
                rgb, box = turn_upright(rgb, box, turn)
                return _Decoded(rgb, box, (height, width) if swaps_sides(turn) else (width, height))
    except MemoryError as error:
        raise ImageReadError(name, "it does not fit into memory") from error
    except ImageReadError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageReadError(name, f"its pixels are more than {limit}") from error
    except Exception as error:  # a broken file makes decoders raise nearly anything: SyntaxError, struct.error …
        raise ImageReadError(name, f"it is damaged ({_one_line(error)})") from error


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    """The picture in `data`, its pixels not decoded yet, whatever its file's name ends in.

    Does what `Image.open(formats=FORMATS)` does, which however neither says what is wrong with a file whose format
    it recognises, nor lets a picture's size be known where it is above Pillow's own limit.
    """
    formats: tuple[str, ...] = FORMATS
    if _is_heic(data):
        if not _register_heic():
            raise ImageReadError(name, "HEIC pictures need an extra: install cbir[heic]")
        formats = ("HEIF",)
    problem = ""
    for format_ in formats:
        if format_ not in Image.OPEN:
            Image.init()
        if format_ not in Image.OPEN:
            continue  # an older Pillow
        factory, accept = Image.OPEN[format_]
        accepted: bool | str = False
        try:
            accepted = accept(data[:16]) if accept else True
            if accepted and not isinstance(accepted, str):
                return factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            if accept and accepted:
                problem = problem or f"as {format_}: {_one_line(error)}"
        if isinstance(accepted, str):  # the format is known, but not built in
            problem = problem or accepted
    if problem:
        raise ImageReadError(name, f"it is damaged or of a kind that cannot be read ({problem})")
    for mark, reason in _NO_PICTURES.items():
        if data.startswith(mark):
            raise ImageReadError(name, reason)
    raise ImageReadError(name, "it is no picture in a known format")


def _is_heic(data: bytes) -> bool:
    """Whether a file says of itself that it is HEIC, the format of iPhones, and not AVIF, which has the same frame."""
    if data[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(data[:4], "big"), 512)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, length - 3, 4))}
    return data[8:12] in _HEIC_BRANDS or (data[8:12] in _SHARED_BRANDS and not brands & _AVIF_BRANDS)


@cache
def _register_heic() -> bool:
    """Have Pillow read HEIC from now on; False where the extra is missing. It takes too long to do it for nothing."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener(thumbnails=False)
    except ImportError:
        return False
    return True


def _tile(image: Image.Image) -> tuple[int, int]:
    """The sides of a TIFF's tiles, which may be larger than the picture, and are decoded as a whole; else 0, 0."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_LENGTH, 0))


def _reduce(image: Image.Image, at_least: int) -> tuple[float, float] | None:
    """Have a JPEG decoded at the smallest of its sizes whose sides have `at_least` pixels.

    Returns how many of its then pixels the picture is wide and high, None where it is decoded at its own size.
    """
    width, height = image.size
    for divisor in (8, 4, 2):
        if min(width, height) // divisor >= at_least:
            drafted = image.draft(None, (width // divisor, height // divisor))
            return None if drafted is None else drafted[1][2:]
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
