"""Transparency lies on a ground that shows the picture, and what only seems to be transparency is opaque."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, features

from cbir.images.colour import alpha
from cbir.images.read import read_image
from tests.helpers.sample_files import drawing, encode, png, png_chunk
from tests.helpers.tiff_files import tiff_page

SIZE = (48, 36)
WHITE, DARK = (255, 255, 255), alpha.DARK_BACKGROUND


def rgb():
    return np.asarray(drawing(SIZE))


def bgra(of=0):
    return np.dstack([rgb()[..., ::-1], np.full(SIZE[::-1], of, np.uint8)])


def bmp(header, compression, masks, pixels=None, bits=32):
    pixels = bgra()[::-1].tobytes() if pixels is None else pixels
    info = struct.pack("<IiiHHIIiiII", header, *SIZE, 1, bits, compression, len(pixels), 2835, 2835, 0, 0) + masks
    info = info.ljust(header, b"\0") if header > 40 else info
    return struct.pack("<2sIHHI", b"BM", 14 + len(info) + len(pixels), 0, 0, 14 + len(info)) + info + pixels


def tga(bits_of_alpha, kind=None, pixels=None, bits=32):
    """A TGA of 32 bits; `kind` is what its extension area says of the fourth: 0 nothing, 3 alpha."""
    data = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, *SIZE, bits, 0x20 | bits_of_alpha)
    data += bgra().tobytes() if pixels is None else pixels
    if kind is not None:
        extension = struct.pack("<H", 495).ljust(494, b"\0") + bytes([kind])
        data += extension + struct.pack("<II", len(data), 0) + b"TRUEVISION-XFILE.\0"
    return data


def icon(of=0, cursor=False):
    """An ICO or CUR of one bitmap of 32 bits, none of which its mask takes away."""
    mask = bytes(-(-SIZE[0] // 32) * 4 * SIZE[1])
    content = struct.pack("<IiiHHIIiiII", 40, SIZE[0], 2 * SIZE[1], 1, 32, 0, 0, 0, 0, 0, 0)
    content += bgra(of)[::-1].tobytes() + mask
    entry = struct.pack("<BBBBHHII", *SIZE, 0, 0, 1, 32, len(content), 22)
    return struct.pack("<HHH", 0, 2 if cursor else 1, 1) + entry + content


def psd(channels, layers, of=0):
    """A Photoshop file of 8 bits in RGB whose further channel is transparency if the number of layers is negative."""
    planes = [rgb()[..., n] for n in range(3)] + [np.full(SIZE[::-1], of, np.uint8)] * (channels - 3)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, SIZE[1], SIZE[0], 8, 3) + bytes(8)
    info = struct.pack(">Ih", 2, layers)
    return head + struct.pack(">I", len(info)) + info + bytes(2) + b"".join(plane.tobytes() for plane in planes)


def dds():
    head = b"DDS " + struct.pack("<7I", 124, 0x1007, SIZE[1], SIZE[0], 0, 0, 0) + bytes(44)
    head += struct.pack("<8I", 32, 0x41, 0, 32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + struct.pack(
        "<5I", 0x1000, *[0] * 4
    )
    return head + bgra().tobytes()


RGB_MASKS, ALPHA_MASK = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF), struct.pack("<I", 0xFF000000)
FIVES = ((rgb().astype(np.uint16) >> 3) @ np.array([1024, 32, 1], np.uint16)).astype("<u2")[::-1].tobytes()

OPAQUE = {
    "BMP, version 3": lambda: bmp(40, 0, b""),
    "BMP, version 3, masks": lambda: bmp(40, 3, RGB_MASKS),
    "BMP, version 4, no mask of alpha": lambda: bmp(108, 3, RGB_MASKS + bytes(4)),
    "BMP, version 4, alpha of 0": lambda: bmp(108, 3, RGB_MASKS + ALPHA_MASK),
    "BMP, version 5, alpha of 0": lambda: bmp(124, 3, RGB_MASKS + ALPHA_MASK),
    "BMP, version 5, plain": lambda: bmp(124, 0, b""),
    "BMP, 16 bits": lambda: bmp(40, 0, b"", FIVES, 16),
    "BMP, 16 bits, a bit of alpha": lambda: bmp(108, 3, struct.pack("<IIII", 0x7C00, 0x3E0, 0x1F, 0x8000), FIVES, 16),
    "TGA without bits of alpha": lambda: tga(0),
    "TGA without bits of alpha, some set": lambda: tga(0, pixels=bgra(77).tobytes()),
    "TGA whose fourth byte is nothing": lambda: tga(8, 0),
    "TGA whose fourth byte is 0": lambda: tga(8),
    "TGA, 16 bits": lambda: tga(0, pixels=np.frombuffer(FIVES, "<u2").reshape(SIZE[::-1])[::-1].tobytes(), bits=16),
    "ICO": lambda: icon(),
    "CUR": lambda: icon(cursor=True),
    "DDS": lambda: dds(),
    "PSD, a saved selection": lambda: psd(4, 1, 77),
    "PSD, two of them": lambda: psd(5, 1),
    "PSD, alpha of 0": lambda: psd(4, -1),
    "TIFF, a channel for no one": lambda: tiff_page(np.dstack([rgb(), rgb()[..., :1] * 0]), 2, extra=(0,)),
    "TIFF, alpha of 0": lambda: tiff_page(np.dstack([rgb(), rgb()[..., :1] * 0]), 2, extra=(2,)),
    "TIFF, alpha of 0, multiplied": lambda: tiff_page(np.dstack([rgb(), rgb()[..., :1] * 0]), 2, extra=(1,)),
    "SGI, alpha of 0": lambda: encode(Image.fromarray(np.dstack([rgb(), rgb()[..., 0] * 0])), "SGI"),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_alpha_that_is_no_transparency_is_opaque(name):
    picture = read_image(OPAQUE[name]())
    assert picture.shape == rgb().shape
    assert np.abs(picture.astype(int) - rgb()).mean() < 5


def halves(of=WHITE):
    """The upper half opaque in one colour, the lower transparent."""
    image = Image.new("RGBA", SIZE, (*of, 0))
    image.paste((*of, 255), (0, 0, SIZE[0], SIZE[1] // 2))
    return image


REAL = {
    "PNG": lambda: encode(halves((200, 0, 0)), "PNG"),
    "BMP": lambda: bmp(
        124, 3, RGB_MASKS + ALPHA_MASK, np.asarray(halves((200, 0, 0)))[::-1][..., [2, 1, 0, 3]].tobytes()
    ),
    "TGA": lambda: encode(halves((200, 0, 0)), "TGA"),
    "ICO": lambda: encode(halves((200, 0, 0)), "ICO", sizes=[SIZE], bitmap_format="bmp"),
    "WebP": lambda: encode(halves((200, 0, 0)), "WEBP", lossless=True),
    "GIF": lambda: encode(halves((200, 0, 0)), "GIF"),
    "TIFF": lambda: encode(halves((200, 0, 0)), "TIFF"),
    "DDS": lambda: encode(halves((200, 0, 0)), "DDS"),
    "PSD": lambda: psd_of(halves((200, 0, 0))),
    "TGA, kind 3": lambda: tga(8, 3, np.asarray(halves((200, 0, 0)))[..., [2, 1, 0, 3]].tobytes()),
}
if features.check("avif"):
    REAL["AVIF"] = lambda: encode(halves((200, 0, 0)), "AVIF", quality=95)
if features.check("jpg_2000"):
    REAL["JPEG 2000"] = lambda: encode(halves((200, 0, 0)), "JPEG2000")


def psd_of(image):
    data = psd(4, -1)
    return data[: -4 * SIZE[0] * SIZE[1]] + b"".join(band.tobytes() for band in image.split())


@pytest.mark.parametrize("name", REAL)
def test_real_transparency_stays(name):
    picture = read_image(REAL[name]()).astype(int)
    assert np.abs(picture[: SIZE[1] // 2 - 2] - (200, 0, 0)).max() <= 6
    assert picture[SIZE[1] // 2 + 2 :].min() >= 250


def palette_with(colour):
    image = Image.new("P", SIZE, 0)
    image.putpalette([0, 0, 0, *colour])
    image.paste(1, (10, 10, 30, 30))
    return image


def grey16_with_alpha():
    samples = np.zeros((*SIZE[::-1], 2), np.uint16)
    samples[10:30, 10:30] = 65535
    return png(samples, 16, 4)


def white_square(image=None):
    image = image or Image.new("RGBA", SIZE, (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (10, 10, 30, 30))
    return image


ON_NOTHING = {
    "PNG": lambda: encode(white_square(), "PNG"),
    "PNG, clear is black": lambda: encode(white_square(Image.new("RGBA", SIZE, (0, 0, 0, 0))), "PNG"),
    "PNG, grey": lambda: encode(white_square().convert("LA"), "PNG"),
    "PNG, 16 bits, grey": grey16_with_alpha,
    "PNG, 16 bits, one grey is clear": lambda: png(
        np.pad(np.full((20, 20, 1), 65535, np.uint16), ((10, 6), (10, 18), (0, 0))),
        16,
        0,
        chunks=png_chunk(b"tRNS", bytes(2)),
    ),
    "PNG, palette": lambda: encode(palette_with(WHITE), "PNG", transparency=0),
    "PNG, one grey is clear": lambda: encode(
        Image.fromarray(np.where(np.asarray(white_square())[..., 3] > 0, 255, 0).astype(np.uint8)),
        "PNG",
        transparency=0,
    ),
    "GIF": lambda: encode(palette_with(WHITE), "GIF", transparency=0),
    "WebP": lambda: encode(white_square(), "WEBP", lossless=True),
    "TIFF": lambda: encode(white_square(), "TIFF"),
    "ICO": lambda: encode(white_square(), "ICO", sizes=[SIZE]),
    "TGA": lambda: encode(white_square(), "TGA"),
    "nearly white": lambda: encode(Image.eval(white_square(), lambda level: min(level, 250)), "PNG"),
}


@pytest.mark.parametrize("name", ON_NOTHING)
def test_white_on_nothing_shows(name):
    picture = read_image(ON_NOTHING[name]())
    assert picture[20, 20].min() > 240
    assert picture[2, 2].tolist() == list(DARK)


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 0, 0), (255, 255, 0), (120, 120, 120), (210, 210, 210), (180, 230, 255)]
)
def test_what_shows_on_white_lies_on_white(colour):
    picture = read_image(encode(halves(colour), "PNG"))
    assert picture[-1, -1].tolist() == list(WHITE)
    assert picture[0, 0].tolist() == list(colour)


def test_a_white_page_with_round_corners_lies_on_white():
    page = Image.new("RGBA", (200, 200), (255, 255, 255, 255))
    page.paste((0, 0, 0, 255), (40, 40, 120, 44))
    for corner in ((0, 0), (196, 0), (0, 196), (196, 196)):
        page.paste((0, 0, 0, 0), (*corner, corner[0] + 4, corner[1] + 4))
    picture = read_image(encode(page, "PNG"))
    assert picture[0, 0].tolist() == list(WHITE)


def test_a_white_logo_with_black_letters_lies_on_white():
    logo = halves()
    logo.paste((0, 0, 0, 255), (4, 4, 20, 12))
    assert read_image(encode(logo, "PNG"))[-1, -1].tolist() == list(WHITE)


def test_a_picture_of_nothing_is_white():
    assert read_image(encode(Image.new("RGBA", SIZE), "PNG")).min() == 255


def test_the_ground_does_not_depend_on_how_large_a_picture_is():
    for size in ((100, 100), (3000, 2000)):
        image = Image.new("RGBA", size)
        image.paste((255, 255, 255, 255), (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
        picture = read_image(encode(image, "PNG", compress_level=1))
        assert picture[0, 0].tolist() == list(DARK)
        assert picture[size[1] // 3, size[0] // 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_hides_nothing_is_as_without_alpha(mode):
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (150, 110, 3), dtype=np.uint8))
    image = noise.convert(mode)
    assert np.array_equal(read_image(encode(image, "PNG")), np.asarray(noise.convert(mode[:-1]).convert("RGB")))


def test_shadows_are_laid_on_in_bands_as_they_are_at_once():
    noise = np.random.default_rng(3).integers(0, 256, (1500, 1100, 4), dtype=np.uint8)
    image = Image.fromarray(noise)
    expected = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    assert np.array_equal(read_image(encode(image, "PNG", compress_level=1)), np.asarray(expected))


@pytest.mark.parametrize("bits", [2, 4])
def test_the_clear_grey_of_a_png_of_few_bits_is_clear(bits):
    samples = np.full((*SIZE[::-1], 1), 2**bits - 1, np.uint16)
    samples[10:20] = 0
    packed = png(samples, bits, 0, chunks=png_chunk(b"tRNS", struct.pack(">H", 2**bits - 1)))
    picture = read_image(packed)
    assert Image.open(io.BytesIO(packed)).mode == "L"
    assert picture[0, 0].tolist() == list(WHITE)
    samples = 2**bits - 1 - samples
    picture = read_image(png(samples, bits, 0, chunks=png_chunk(b"tRNS", struct.pack(">H", 2**bits - 1))))
    assert picture[15, 0].tolist() == list(WHITE)
    assert picture[0, 0].tolist() == [0, 0, 0]
