"""Reading a file's bytes as an upright RGB picture."""

from __future__ import annotations

import importlib
import io
import logging
import struct
import warnings
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from cbir.errors import ImageReadError
from cbir.images import cost
from cbir.images.contents import read_bytes as read_bytes
from cbir.images.convert import to_rgb
from cbir.images.fit import Extent
from cbir.images.formats import frames, no_picture, png, ppm, tiff
from cbir.images.formats.jxl import is_jxl, open_jxl
from cbir.images.formats.known import FORMATS
from cbir.images.formats.raw import is_raw, open_raw
from cbir.images.formats.suffixes import reads_raw
from cbir.images.notes import notes_of
from cbir.images.orientation import forget_other_turns, swaps_sides, turn_of, turn_upright
from cbir.images.pipe import MAX_PIXELS as MAX_PIXELS
from cbir.images.source import ImageSource, image_in_memory, name_of, open_source
from cbir.images.views import AnyView, Arrays, Notes, Viewed, is_of_notes, needs_pixels

logger = logging.getLogger("cbir")


_FIRST_WITHOUT_MARK = "TGA"


_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_SHARED_BRANDS = frozenset({b"mif1", b"msf1"})

# A progressive JPEG is decoded anew for each scan; encoders write at most some dozens, files made to last, thousands.
_MAX_SCANS = 500

# What Pillow says of a file that ends before its pixels do.
_ENDS_EARLY = ("truncated", "not enough image data", "unexpected end of file", "buffer is not large enough")

# Pillow's limit of 90 megapixels (an error from twice as many on) speaks of attacks. `decode` has its own limit, but
# only Pillow's also guards what lies within a file: a PNG in an icon, the tiles of a TIFF, a WebP's canvas.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read a picture upright (EXIF orientation applied) as RGB, in the colours of sRGB.

    `source` is a path, the bytes of a file, a binary stream, a Pillow image or an array. A picture of more than
    `max_pixels` is refused before it is decoded.

    Returns a uint8 array of shape (height, width, 3). Transparent pixels are laid over white; of an animation or a
    multi-page file the first frame counts; 16-bit and float greys are brought to 8 bits; embedded colour profiles are
    followed.

    Raises ImageReadError where `source` is no readable picture.
    """
    return np.asarray(open_image(source, max_pixels=max_pixels))


def open_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture as `read_image` does, as a Pillow image in mode RGB."""
    if isinstance(source, (Image.Image, np.ndarray)):
        return image_in_memory(source)
    content = open_source(source)
    data = content if isinstance(content, bytes) else read_bytes(content)
    return decode(data, name=name_of(source), max_pixels=max_pixels)


def decode(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of a picture file to an upright Pillow image in mode RGB and sRGB colours.

    `name` is for error messages. A picture of more than `max_pixels` is refused before it is decoded. Raises
    ImageReadError.
    """
    return _decode(data, name, None, max_pixels).image


def decode_reduced(
    data: bytes, *, name: str, at_least: int, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, Extent]:
    """Decode as `decode` does, but a JPEG may come at 1/2, 1/4 or 1/8 of its size, which saves most of the work.

    Both sides keep `at_least` pixels. Returns the image and the box within it that the picture fills, in pixels, left,
    top, right, bottom: where a side is not divided without a rest, the decoder's last pixel shows less than the others,
    and taking it for a whole one would stretch the picture by half a pixel (features at a cosine of 0.996).
    """
    decoded = _decode(data, name, at_least, max_pixels)
    return decoded.image, decoded.box


def decode_with_size(
    data: bytes, *, name: str, at_least: int | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, Extent, tuple[int, int]]:
    """Decode as `decode_reduced` does, or as `decode` without `at_least`.

    Returns the image, the box, and the picture's own width and height. Raises ImageReadError.
    """
    decoded = _decode(data, name, at_least, max_pixels)
    return decoded.image, decoded.box, decoded.size


def read_thumbnail(
    data: bytes, side: int, *, name: str, max_pixels: int = MAX_PIXELS
) -> tuple[Image.Image, tuple[int, int]]:
    """Read the bytes of a picture file as an upright RGB image of at most `side` pixels in width and height.

    Returns it and the picture's own width and height, upright, in pixels. A smaller picture keeps its size. Raises
    ImageReadError.
    """
    return thumbnail_of(*decode_with_size(data, name=name, at_least=side, max_pixels=max_pixels), side)


def thumbnail_of(
    image: Image.Image, box: Extent, own_size: tuple[int, int], side: int
) -> tuple[Image.Image, tuple[int, int]]:
    """Make the result of `read_thumbnail` from that of `decode_with_size`."""
    width, height = own_size
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return image, own_size


def read_views(data: bytes, views: Sequence[AnyView], *, name: str, max_pixels: int = MAX_PIXELS) -> Viewed:
    """Make `views`, of which there is one at least, of the bytes of a picture file. Raises ImageReadError.

    Each is made of the pixels that the first view had decoded, or, where a large JPEG's are too few for it, of pixels
    decoded anew: so none depends on the others, nor the first on any. If all are of notes, nothing is decoded.
    """
    of_pixels = [view for view in views if needs_pixels(view)]
    first = of_pixels[0].at_least(None) if of_pixels else None
    decoded = _decode(data, name, first, max_pixels, load=bool(of_pixels))
    at_least = {first: decoded}
    arrays: dict[str, Arrays] = {view.name: view.read(decoded.notes) for view in views if is_of_notes(view)}
    for view in of_pixels:
        wanted, size = view.at_least(decoded.size), decoded.size
        if wanted is None or min(decoded.image.size) >= min(wanted, *size):
            its = decoded
        else:
            if wanted not in at_least:
                at_least[wanted] = _decode(data, name, wanted, max_pixels)
            its = at_least[wanted]
        arrays[view.name] = view.make(its.image, its.box, size)
    return Viewed(decoded.size, arrays)


class _Decoded(NamedTuple):
    """A picture, perhaps reduced, the box of `image` that it fills, its upright width and height, and its notes."""

    image: Image.Image
    box: Extent
    size: tuple[int, int]
    notes: Notes = Notes()


def _decode(data: bytes, name: str, at_least: int | None, max_pixels: int, *, load: bool = True) -> _Decoded:
    """Decode a picture; unless it is to `load`, its pixels are left out."""
    if not data:
        raise ImageReadError(name, "the file is empty")
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and palettes that it goes on to read well
            photo = open_raw(data, name) if is_raw(data, name) else None
            if photo is not None and not load:
                return _opened(photo.image, data, name, max_pixels)
            if photo is not None:
                notes = notes_of(photo.image, data)
                return _load(photo.image, photo.data, name, at_least, max_pixels)._replace(notes=notes)
            with _open(data, name) as image:
                if not load:
                    return _opened(image, data, name, max_pixels)
                several = frames.may_be_several(image)
                decoded = _load(image, data, name, at_least, max_pixels, keep=several)
                if several and frames.is_blank(decoded.image):
                    return _best_frame(decoded, image, data, name, max_pixels)
                return decoded
    except MemoryError as error:
        raise ImageReadError(name, "it does not fit into memory") from error
    except ImageReadError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageReadError(name, f"its pixels are more than {max_pixels / 10**6:g} megapixels") from error
    except Exception as error:  # a broken file makes decoders raise nearly anything: SyntaxError, struct.error …
        raise ImageReadError(name, _damage(error, data)) from error


def _load(
    image: Image.Image, data: bytes, name: str, at_least: int | None, max_pixels: int, *, keep: bool = False
) -> _Decoded:
    """Decode what is opened, upright and in sRGB. Unless it is to `keep`, it may not be used any more."""
    _check_size(image, name, max_pixels)
    width, height = image.size
    extent = None
    if at_least is not None and image.format in ("JPEG", "MPO"):
        extent = _reduce(image, at_least)
    if (
        image.format in ("JPEG", "MPO")
        and _is_in_scans(image, data)
        and (scans := data.count(b"\xff\xda")) > _MAX_SCANS
    ):
        raise ImageReadError(name, f"its pixels come in {scans:,} scans, more than {_MAX_SCANS}")
    cost.check(image, (width, height), name)
    if no_picture.promises_more(image, data):
        raise ImageReadError(name, "it is damaged: it ends too early, as after a copy or download that broke off")
    if (missing := no_picture.missing_end(data, image.format)) is not None:
        raise ImageReadError(name, f"it is damaged: {missing}")
    notes = notes_of(image, data)
    forget_other_turns(image)
    image.load()
    if image.format == "PNG" and not notes.exif:  # it may come after the pixels
        notes = notes._replace(exif=notes_of(image).exif)
    turn = turn_of(image)  # not before: Pillow turns some formats itself, and finds EXIF after the pixels
    box = (0.0, 0.0, *(extent or image.size))
    if image.format == "PNG":
        png.add_lower_bytes(image, data)
    rgb = to_rgb(image, data)
    if rgb is not image and not keep:
        image.close()  # as large as what was made of it
    rgb, box = turn_upright(rgb, box, turn)
    return _Decoded(rgb, box, (height, width) if swaps_sides(turn) else (width, height), notes)


def _opened(image: Image.Image, data: bytes, name: str, max_pixels: int) -> _Decoded:
    """Return what can be told of an opened picture whose pixels are not decoded."""
    _check_size(image, name, max_pixels)
    if image.format == "PNG" and "exif" not in image.info:
        image.info["exif"] = png.exif_of(data)
    notes = notes_of(image, data)
    width, height = image.size
    return _Decoded(
        image, (0.0, 0.0, width, height), (height, width) if swaps_sides(turn_of(image)) else (width, height), notes
    )


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    for width, height in (image.size, tiff.tile_of(image)):
        if width * height > max_pixels:
            raise ImageReadError(name, f"{width} x {height} pixels are more than {max_pixels / 10**6:g} megapixels")


def _best_frame(first: _Decoded, image: ImageFile.ImageFile, data: bytes, name: str, max_pixels: int) -> _Decoded:
    """Return the frame with the most on it of those that are looked at, `first` where there is nothing on any."""
    best, most = first._replace(image=first.image.copy()), frames.LEAST_CONTRAST
    try:
        for frame in frames.others(image, data):
            decoded = _load(frame, data, name, None, max_pixels, keep=True)
            if (found := frames.contrast(decoded.image)) > most:
                best, most = decoded._replace(image=decoded.image.copy()), found
    except Exception as error:  # a broken frame ends the search: the first was sound
        logger.debug("%s: a later frame cannot be read (%s)", name, error)
    return best


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    """Return the picture in `data`, its pixels not decoded yet, whatever its file's name ends in.

    Does what `Image.open(formats=FORMATS)` does, which however neither says what is wrong with a file whose format
    it recognises, nor lets a picture's size be known where it is above Pillow's own limit.
    """
    if is_jxl(data):
        return open_jxl(data, name)
    formats: tuple[str, ...] = FORMATS
    if _is_heic(data):
        if not _register_heic():
            raise ImageReadError(name, "HEIC pictures need an extra: install cbir[heic]")
        formats = ("HEIF",)
    problem = ""
    for format_ in formats:
        if format_ == _FIRST_WITHOUT_MARK and is_raw(data, name) and not reads_raw():
            raise ImageReadError(name, "raw photos need an extra: install cbir[raw]")
        if format_ == _FIRST_WITHOUT_MARK and not problem:
            if (instead := no_picture.what_instead(data)) is not None:
                raise ImageReadError(name, instead)
            if (at := no_picture.jpeg_within(data)) > 0:
                return _open(data[at:], name)
        if format_ not in Image.OPEN:
            Image.preinit()  # JPEG and some more, in a fifth of the time that all take
        if format_ not in Image.OPEN:
            Image.init()
        if format_ not in Image.OPEN:
            continue  # an older Pillow
        factory, accept = Image.OPEN[format_]
        accepted: bool | str = False
        try:
            accepted = accept(data[:16]) if accept else True
            if accepted and not isinstance(accepted, str):
                if format_ == "TIFF":
                    return tiff.open_page(data, tiff.pages(data)[0])
                if format_ == "PNG":
                    return png.open_png(data)
                return factory(io.BytesIO(ppm.without_comments(data) if format_ == "PPM" else data), "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            if accept and accepted:
                problem = problem or f"as {format_}: {_one_line(error)}"
        if isinstance(accepted, str):  # the format is known, but not built in
            problem = problem or accepted
    if problem:
        raise ImageReadError(name, f"it is damaged or of a kind that cannot be read ({problem})")
    raise ImageReadError(name, "it is no picture in a known format")


def _is_heic(data: bytes) -> bool:
    """Tell whether a file says that it is HEIC, the format of iPhones, and not AVIF, which has the same frame."""
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


def _is_in_scans(image: Image.Image, data: bytes) -> bool:
    """Tell whether an opened JPEG, with Pillow standing before its first scan, has pixels in later scans too."""
    channels = len(image.getbands())
    file = getattr(image, "fp", None)
    begin = (file.tell() if file else 0) - 8 - 2 * channels
    return bool(image.info.get("progressive")) or begin < 0 or data[begin : begin + 2] != b"\xff\xda"


def _damage(error: Exception, data: bytes) -> str:
    """Return the reason for which a file could not be decoded."""
    words = _one_line(error)
    is_short = data[:4] == b"RIFF" and len(data) < 8 + int.from_bytes(data[4:8], "little")
    if is_short or any(word in words.lower() for word in _ENDS_EARLY):
        return f"it is damaged: it ends too early, as after a copy or download that broke off ({words})"
    return f"it is damaged ({words})"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
