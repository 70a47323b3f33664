"""Picture files in every format that cbir reads, made of one drawing; those that Pillow cannot write, by hand."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageCms, features

from tests.helpers.tiff_files import joined, tiff_page

SIZE = (40, 30)

# Adam7: where each pass of an interlaced PNG begins, and its steps (left, top, across, down).
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def drawing(size: tuple[int, int] = SIZE) -> Image.Image:
    """A smooth picture in mode RGB without a symmetry, that lossy formats keep well."""
    width, height = size
    down, across = np.mgrid[0:height, 0:width].astype(np.float64)
    across, down = across / max(width - 1, 1), down / max(height - 1, 1)
    channels = 30 + 200 * across, 220 - 180 * down, 40 + 100 * across * down + 60 * down
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encode(image: Image.Image, format_: str, **options) -> bytes:
    """The bytes of `image` as a file."""
    buffer = io.BytesIO()
    # copies, since an image keeps settings of a format that the next stumbles over
    if "append_images" in options:
        options["append_images"] = [other.copy() for other in options["append_images"]]
    image.copy().save(buffer, format_, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(samples: np.ndarray, depth: int, colour: int, *, interlaced: bool = False, chunks: bytes = b"") -> bytes:
    """A PNG file of `samples`, shape (height, width, channels), of `depth` bits each.

    `colour` is the standard's type (0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA); `chunks` go before the data.
    """
    height, width = samples.shape[:2]
    rows = b""
    for left, top, across, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::across]
        for row in part if part.size else ():
            flat = row.reshape(-1)
            if depth == 16:
                packed = flat.astype(">u2").tobytes()
            else:
                bits = (flat[:, np.newaxis] >> np.arange(depth - 1, -1, -1)) & 1
                packed = np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()
            rows += b"\0" + packed
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced)))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + data + png_chunk(b"IEND", b"")


def png_header(width: int, height: int) -> bytes:
    """A grey PNG that promises pixels and has none."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")


def tiled_tiff(tile: tuple[int, int]) -> bytes:
    """A grey TIFF of 40 x 30 pixels, white, in tiles of this width and height, compressed by Deflate."""
    columns, rows = -(-SIZE[0] // tile[0]), -(-SIZE[1] // tile[1])
    data = zlib.compress(b"\xff" * min(tile[0] * tile[1], 4_000_000))
    count = columns * rows
    directory = 8 + len(data)
    lists = directory + 2 + 12 * 10 + 4
    fields = [(256, SIZE[0]), (257, SIZE[1]), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile[0]), (323, tile[1])]
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    for tag, value, at in ((324, 8, lists), (325, len(data), lists + 4 * count)):
        packed += struct.pack("<HHII", tag, 4, count, value if count == 1 else at)
    values = (struct.pack("<I", 8) * count + struct.pack("<I", len(data)) * count) if count > 1 else b""
    return struct.pack("<2sHI", b"II", 42, directory) + data + struct.pack("<H", 10) + packed + bytes(4) + values


def tiff(samples: np.ndarray, *, bits: int, sample_format: int) -> bytes:
    """An uncompressed little-endian TIFF of `samples`, shape (height, width, channels).

    `sample_format` is the standard's: 1 unsigned, 2 signed, 3 float.
    """
    height, width, channels = samples.shape
    data = samples.tobytes()
    per_channel = {258: bits, 339: sample_format}
    beyond = 8 + len(data)
    extra = b"".join(struct.pack("<H", value) * channels for value in per_channel.values())
    where = {tag: beyond + 2 * channels * i for i, tag in enumerate(per_channel)}
    entries = {256: width, 257: height, 259: 1, 262: 2 if channels == 3 else 1, 273: 8, 277: channels, 278: height}
    entries |= {279: len(data), 284: 1}
    fields = []
    for tag in sorted({*entries, *per_channel}):
        if tag in entries:
            fields.append(struct.pack("<HHII", tag, 4, 1, entries[tag]))
        else:
            fields.append(struct.pack("<HHII", tag, 3, channels, where[tag] if channels > 2 else per_channel[tag]))
    directory = struct.pack("<H", len(fields)) + b"".join(fields) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, beyond + len(extra)) + data + extra + directory


def ycck_jpeg(image: Image.Image, quality: int = 95) -> bytes:
    """`image` as a JPEG in YCCK, which is what Photoshop writes of a picture in CMYK.

    The inks C, M and Y are taken for R, G and B and made Y, Cb and Cr; Pillow writes them inverted and as they are,
    and the Adobe marker says what they stand for.
    """
    *inks, black = image.convert("CMYK").split()
    channels = [255 - np.asarray(channel) for channel in Image.merge("RGB", inks).convert("YCbCr").split()]
    data = encode(Image.merge("CMYK", [*map(Image.fromarray, channels), black]), "JPEG", quality=quality)
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    return data[:transform] + b"\x02" + data[transform + 1 :]


def twelve_bit_jpeg() -> bytes:
    """A JPEG whose header says that its samples have 12 bits."""
    data = bytearray(encode(drawing(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    assert data[frame + 4] == 8
    data[frame + 4] = 12
    return bytes(data)


def icon_of(content: bytes) -> bytes:
    """An ICO file that says 40 x 30 of itself and holds the file `content`."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 40, 30, 0, 0, 1, 32, len(content), 22) + content


def wide_gamut_profile(kind: bytes = b"RGB ") -> bytes:
    """A matrix profile with the primaries of Adobe RGB (1998) and its gamma of 2.2; `kind` is its colour space."""
    red, green, blue = (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)
    primaries = {b"rXYZ": _xyz(*red), b"gXYZ": _xyz(*green), b"bXYZ": _xyz(*blue)}
    return _profile(kind, b"XYZ ", primaries | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(2.19921875)))


def linear_grey_profile() -> bytes:
    """A profile of greys whose numbers are amounts of light."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _gamma(1)})


def colourless_ink_profile() -> bytes:
    """A profile of CMYK in which no ink has a colour: a grey, the darker the more there is of the strongest ink."""
    corners = b"".join(bytes([0 if any(inks) else 255, 128, 128]) for inks in np.ndindex(2, 2, 2, 2))
    table = struct.pack(">4sIBBBB9i", b"mft1", 0, 4, 3, 2, 0, 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table += bytes(range(256)) * 4 + corners + bytes(range(256)) * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table})


def _xyz(*numbers: float) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def _gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)


def _profile(kind: bytes, between: bytes, own_tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2 from the colour space `kind` to `between`."""
    text = b"Made for a test\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"None\0",
        b"wtpt": _xyz(0.9505, 1.0, 1.0891),
        **own_tags,
    }
    table, content = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    use = b"prtr" if kind == b"CMYK" else b"mntr"
    header = bytearray(128)
    header[8:12], header[12:16], header[16:20], header[20:24] = b"\x02\x10\0\0", use, kind, between
    header[36:40], header[68:80] = b"acsp", struct.pack(">iii", 63190, 65536, 54061)
    body = struct.pack(">I", len(tags)) + table + content
    header[0:4] = struct.pack(">I", 128 + len(body))
    return bytes(header) + body


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def psd(samples: np.ndarray) -> bytes:
    """A Photoshop file of 8 bits in RGB, unpacked and without layers; shape (height, width, channels)."""
    height, width, channels = samples.shape
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, 8, 3) + bytes(12) + bytes(2)
    return head + np.ascontiguousarray(samples.transpose(2, 0, 1)).tobytes()


def exif(orientation: int = 6) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F] = "A camera"
    return made


def grey16() -> np.ndarray:
    """The drawing's greys with 16 bits, shape (height, width, 1)."""
    return (np.asarray(drawing().convert("L")).astype(np.uint16) * 257)[..., np.newaxis]


def heic_writer() -> bool:
    """Whether HEIC can be written here."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return "HEIF" in Image.SAVE


@cache
def sample_files() -> dict[str, bytes]:
    """A small file of every format, by a name for it."""
    rgb = drawing()
    rgba = rgb.copy()
    rgba.putalpha(200)
    grey, second = rgb.convert("L"), Image.new("RGB", SIZE, (0, 0, 200))
    pixels = np.asarray(rgb)
    several: dict[str, object] = {"save_all": True, "append_images": [second]}
    makers: dict[str, Callable[[], bytes]] = {
        "JPEG": lambda: encode(rgb, "JPEG", quality=90),
        "JPEG, progressive, EXIF, profile": lambda: encode(
            rgb, "JPEG", progressive=True, exif=exif(), icc_profile=wide_gamut_profile()
        ),
        "JPEG, grey": lambda: encode(grey, "JPEG", icc_profile=linear_grey_profile()),
        "JPEG, CMYK": lambda: encode(rgb.convert("CMYK"), "JPEG", icc_profile=colourless_ink_profile()),
        "JPEG, YCCK": lambda: ycck_jpeg(rgb),
        "JPEG, 12 bits": twelve_bit_jpeg,
        "MPO": lambda: encode(rgb, "MPO", **several),
        "PNG": lambda: encode(rgb, "PNG", exif=exif(), icc_profile=wide_gamut_profile()),
        "PNG, 1 bit": lambda: encode(grey.convert("1"), "PNG"),
        "PNG, palette": lambda: encode(rgb.quantize(16), "PNG", transparency=3),
        "PNG, RGBA": lambda: encode(rgba, "PNG"),
        "PNG, 12 bits in 16, colours told": lambda: png(
            np.asarray(rgba).astype(np.uint16) * 16,
            16,
            6,
            chunks=png_chunk(b"cICP", bytes((9, 16, 0, 1))) + png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b" * 9999)),
        ),
        "PNG, light and primaries told": lambda: png(
            pixels,
            8,
            2,
            chunks=png_chunk(b"gAMA", struct.pack(">I", 100_000))
            + png_chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)),
        ),
        "PNG, 16 bits, interlaced": lambda: png(pixels.astype(np.uint16) * 257, 16, 2, interlaced=True),
        "APNG": lambda: encode(rgb, "PNG", **several),
        "GIF": lambda: encode(rgb, "GIF"),
        "GIF, blank first": lambda: encode(second, "GIF", save_all=True, append_images=[rgb, second]),
        "PSD": lambda: psd(np.dstack([pixels, grey])),
        "GIF, animated": lambda: encode(rgb, "GIF", **several),
        "WebP": lambda: encode(rgb, "WEBP", quality=90),
        "WebP, lossless, alpha, EXIF": lambda: encode(rgba, "WEBP", lossless=True, exif=exif()),
        "WebP, animated": lambda: encode(rgb, "WEBP", **several),
        "TIFF": lambda: encode(rgb, "TIFF", exif=exif(), icc_profile=wide_gamut_profile()),
        "TIFF, LZW, several pages": lambda: encode(rgb, "TIFF", compression="tiff_lzw", **several),
        "TIFF, Deflate": lambda: encode(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF, JPEG": lambda: encode(rgb, "TIFF", compression="jpeg"),
        "TIFF, tiles": lambda: tiled_tiff((16, 16)),
        "TIFF, fax": lambda: encode(grey.convert("1"), "TIFF", compression="group4"),
        "TIFF, 16 bits": lambda: encode(Image.fromarray(grey16()[..., 0]), "TIFF"),
        "TIFF, 16 bits, RGB": lambda: tiff(pixels.astype("<u2") * 257, bits=16, sample_format=1),
        "TIFF, float": lambda: encode(grey.convert("F"), "TIFF"),
        "TIFF, 16 bits, planes, tiles, predictor": lambda: tiff_page(
            pixels.astype(np.uint16) * 257, 2, planar=True, tile=(16, 16), deflate=True, predictor=2
        ),
        "TIFF, 12 bits, white is zero": lambda: tiff_page(4095 - (grey16() >> 4), 0, bits=12),
        "TIFF, float, colours, predictor": lambda: tiff_page(
            pixels.astype(np.float32) / 255, 2, deflate=True, predictor=3, order=">"
        ),
        "TIFF, Lab, 16 bits, BigTIFF": lambda: tiff_page(pixels.astype(np.uint16) * 200, 8, big=True),
        "TIFF, blank page first": lambda: joined(
            tiff_page(np.full_like(pixels, 255), 2), tiff_page(np.dstack([pixels, pixels]), 2, extra=(1, 0, 0))
        ),
        "BMP": lambda: encode(rgb, "BMP"),
        "BMP, palette": lambda: encode(rgb.quantize(16), "BMP"),
        "PPM": lambda: encode(rgb, "PPM"),
        "PGM": lambda: encode(grey, "PPM"),
        "PBM": lambda: encode(grey.convert("1"), "PPM"),
        "PFM": lambda: encode(grey.convert("F"), "PPM"),
        "PPM, in words": lambda: b"P3\n40 30\n255\n" + b" ".join(b"%d" % value for value in pixels.reshape(-1)) + b"\n",
        "ICO": lambda: encode(rgba, "ICO", sizes=[SIZE]),
        "ICO, bitmap": lambda: encode(rgba, "ICO", sizes=[SIZE], bitmap_format="bmp"),
        "TGA": lambda: encode(rgb, "TGA"),
        "TGA, run lengths": lambda: encode(rgba, "TGA", compression="tga_rle"),
        "PCX": lambda: encode(rgb, "PCX"),
        "SGI": lambda: encode(rgb, "SGI"),
        "DDS": lambda: encode(rgb, "DDS"),
        "QOI": lambda: b"qoif" + struct.pack(">IIBB", *SIZE, 3, 0) + qoi_pixels(pixels) + bytes(7) + b"\1",
        "MSP": lambda: encode(grey.convert("1"), "MSP"),
        "XBM": lambda: encode(grey.convert("1"), "XBM"),
    }
    if features.check("jpg_2000"):
        makers["JPEG 2000"] = lambda: encode(rgb, "JPEG2000", irreversible=True)
        makers["JPEG 2000, codestream"] = lambda: encode(rgb, "JPEG2000", no_jp2=True)
    if features.check("avif"):
        makers["AVIF"] = lambda: encode(rgb, "AVIF", quality=95)
        makers["AVIF, several"] = lambda: encode(rgb, "AVIF", quality=95, **several)
        makers["AVIF, EXIF"] = lambda: encode(rgb, "AVIF", quality=95, exif=exif())
    if heic_writer():
        makers["HEIC"] = lambda: encode(rgb, "HEIF", quality=95)
        makers["HEIC, EXIF, profile"] = lambda: encode(
            rgb, "HEIF", exif=exif().tobytes(), icc_profile=wide_gamut_profile()
        )
    return {name: make() for name, make in makers.items()}


def qoi_pixels(pixels: np.ndarray) -> bytes:
    """Each pixel of `pixels` by QOI's plainest code."""
    return b"".join(b"\xfe" + bytes(pixel) for pixel in pixels.reshape(-1, 3).tolist())
