"""Scans, measurements and renderings of more than 8 bits look like the picture's plain 8-bit twin, or are refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from cbir.errors import ImageReadError
from cbir.images.read import read_image
from tests.helpers.sample_files import drawing, encode, png, png_chunk
from tests.helpers.tiff_files import tiff_page

SIZE = (70, 50)


def rgb():
    return np.asarray(drawing(SIZE))


def grey():
    """Reaches from black to white, as photos do: shape (rows, columns, 1)."""
    plain = np.asarray(drawing(SIZE).convert("L")).astype(float)
    return np.round((plain - plain.min()) * 255 / (plain.max() - plain.min())).astype(np.uint8)[..., np.newaxis]


def deep(samples, bits=16):
    """8 bits as the upper ones of 16 of which `bits` are used."""
    return np.round(samples.astype(float) * (2**bits - 1) / 255).astype(np.uint16)


def beside(*parts):
    return np.concatenate(parts, axis=-1)


def alpha(of=255):
    return np.full((*SIZE[::-1], 1), of, dtype=np.uint8)


def cmyk():
    return np.asarray(drawing(SIZE).convert("CMYK"))


def lab():
    made = ImageCms.profileToProfile(
        drawing(SIZE), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    return np.asarray(made)  # a and b with a sign, as photometric 8 has them


def lab16():
    made = lab().astype(np.uint16)
    return np.where(np.arange(3) == 0, made * 257, made << 8)


def difference(data, expected):
    picture = read_image(data)
    expected = np.asarray(expected)
    assert picture.shape == (*expected.shape[:2], 3)
    return np.abs(picture.astype(int) - expected).mean()


GREYS = {
    "16 bits": lambda: tiff_page(deep(grey()), 1),
    "14 bits in 16": lambda: tiff_page(deep(grey(), 14), 1),
    "13 bits in 16": lambda: tiff_page(deep(grey(), 13), 1),
    "12 bits in 16": lambda: tiff_page(deep(grey(), 12), 1),
    "10 bits in 16": lambda: tiff_page(deep(grey(), 10), 1),
    "8 bits in 16": lambda: tiff_page(grey().astype(np.uint16), 1),
    "12 bits, packed": lambda: tiff_page(deep(grey(), 12), 1, bits=12),
    "10 bits, packed": lambda: tiff_page(deep(grey(), 10), 1, bits=10),
    "14 bits, packed, other order": lambda: tiff_page(deep(grey(), 14), 1, bits=14, order=">"),
    "16 bits, white is zero": lambda: tiff_page(65535 - deep(grey()), 0),
    "12 bits in 16, white is zero": lambda: tiff_page(4095 - deep(grey(), 12), 0),
    "8 bits, white is zero": lambda: tiff_page(255 - grey(), 0),
    "float, white is zero": lambda: tiff_page(1 - grey().astype(np.float32) / 255, 0),
    "16 bits, white is zero, tiles": lambda: tiff_page(65535 - deep(grey()), 0, tile=(16, 32)),
    "16 bits, other order": lambda: tiff_page(deep(grey()), 1, order=">"),
    "16 bits, BigTIFF": lambda: tiff_page(deep(grey()), 1, big=True),
    "16 bits, strips of 7 rows": lambda: tiff_page(deep(grey()), 1, rows_per_strip=7),
    "signed 16": lambda: tiff_page((deep(grey()).astype(int) - 32768).astype(np.int16), 1),
    "signed 16, none below 0": lambda: tiff_page(deep(grey(), 12).astype(np.int16), 1),
    "signed 8": lambda: tiff_page((grey().astype(int) - 128).astype(np.int8), 1),
    "signed 32": lambda: tiff_page(deep(grey()).astype(np.int32), 1),
    "unsigned 32": lambda: tiff_page(grey().astype(np.uint32) * 16843009, 1),
    "unsigned 32, Deflate, predictor": lambda: tiff_page(
        grey().astype(np.uint32) * 16843009, 1, deflate=True, predictor=2
    ),
    "float 0 to 1": lambda: tiff_page(grey().astype(np.float32) / 255, 1),
    "float 0 to 255": lambda: tiff_page(grey().astype(np.float32), 1),
    "float 0 to 4095": lambda: tiff_page(grey().astype(np.float32) * 16, 1),
    "float 0 to 65535": lambda: tiff_page(grey().astype(np.float32) * 257, 1),
    "float, far below 0": lambda: tiff_page(grey().astype(np.float32) * 1000 - 100_000, 1),
    "half floats": lambda: tiff_page(grey().astype(np.float16) / np.float16(255), 1),
    "double floats": lambda: tiff_page(grey() / 255, 1, order=">"),
    "float, predictor": lambda: tiff_page(grey().astype(np.float32) / 255, 1, deflate=True, predictor=3),
    "float, predictor, tiles": lambda: tiff_page(
        grey().astype(np.float32) / 255, 1, deflate=True, predictor=3, tile=(32, 48)
    ),
    "with alpha, 8": lambda: tiff_page(beside(grey(), alpha()), 1, extra=(2,)),
    "with alpha, 16": lambda: tiff_page(deep(beside(grey(), alpha())), 1, extra=(2,)),
    "with alpha, 16, planes, white is zero": lambda: tiff_page(
        beside(65535 - deep(grey()), deep(alpha())), 0, extra=(2,), planar=True
    ),
    "with two further channels, 16": lambda: tiff_page(deep(beside(grey(), alpha(9), alpha(0))), 1, extra=(0, 0)),
    "PGM of 10 bits": lambda: b"P5\n70 50\n1023\n" + deep(grey(), 10).astype(">u2").tobytes(),
    "PGM of 12 bits": lambda: b"P5\n70 50\n4095\n" + deep(grey(), 12).astype(">u2").tobytes(),
    "PGM of 16 bits": lambda: b"P5\n70 50\n65535\n" + deep(grey()).astype(">u2").tobytes(),
    "PGM of 12 bits in words": lambda: b"P2\n70 50\n4095\n" + b" ".join(b"%d" % n for n in deep(grey(), 12).flat),
    "PFM": lambda: b"Pf\n70 50\n-1.0\n" + (grey()[::-1] / 255).astype("<f4").tobytes(),
    "PNG of 16 bits": lambda: png(deep(grey()), 16, 0),
    "PNG of 12 bits in 16": lambda: png(deep(grey(), 12), 16, 0),
    "PNG of 16 bits with alpha": lambda: png(deep(beside(grey(), alpha())), 16, 4),
    "SGI of 16 bits": lambda: sgi16(deep(grey())),
}
if features.check("jpg_2000"):
    GREYS["JPEG 2000 of 16 bits"] = lambda: encode(Image.fromarray(deep(grey())[..., 0]), "JPEG2000")


def sgi16(samples):
    head = struct.pack(">hBBHHHHII", 474, 0, 2, 2, *SIZE, 1, 0, 65535)
    return head.ljust(512, b"\0") + samples[::-1].astype(">u2").tobytes()


@pytest.mark.parametrize("name", GREYS)
def test_a_deep_grey_picture_looks_like_its_8_bit_twin(name):
    assert difference(GREYS[name](), grey().repeat(3, axis=-1)) <= 1.2


COLOURS = {
    "16 bits": lambda: tiff_page(deep(rgb()), 2),
    "16 bits, other order": lambda: tiff_page(deep(rgb()), 2, order=">"),
    "16 bits, planes": lambda: tiff_page(deep(rgb()), 2, planar=True),
    "8 bits, planes": lambda: tiff_page(rgb(), 2, planar=True),
    "8 bits, planes, strips of 7 rows": lambda: tiff_page(rgb(), 2, planar=True, rows_per_strip=7),
    "8 bits, planes, tiles, Deflate": lambda: tiff_page(rgb(), 2, planar=True, tile=(16, 32), deflate=True),
    "8 bits, BigTIFF": lambda: tiff_page(rgb(), 2, big=True),
    "16 bits, BigTIFF, planes": lambda: tiff_page(deep(rgb()), 2, big=True, planar=True),
    "16 bits, Deflate, predictor": lambda: tiff_page(deep(rgb()), 2, deflate=True, predictor=2),
    "16 bits, Deflate, predictor, other order": lambda: tiff_page(deep(rgb()), 2, deflate=True, predictor=2, order=">"),
    "16 bits, Deflate, predictor, tiles": lambda: tiff_page(deep(rgb()), 2, deflate=True, predictor=2, tile=(16, 48)),
    "float 0 to 1": lambda: tiff_page(rgb().astype(np.float32) / 255, 2),
    "float 0 to 1, predictor": lambda: tiff_page(rgb().astype(np.float32) / 255, 2, deflate=True, predictor=3),
    "half floats": lambda: tiff_page((rgb() / 255).astype(np.float16), 2),
    "unsigned 32": lambda: tiff_page(rgb().astype(np.uint32) * 16843009, 2),
    "with alpha, 16": lambda: tiff_page(deep(beside(rgb(), alpha())), 2, extra=(2,)),
    "with alpha of 0, 16": lambda: tiff_page(deep(beside(rgb(), alpha(0))), 2, extra=(2,)),
    "with near infrared, 16": lambda: tiff_page(deep(beside(rgb(), alpha(0))), 2, extra=(0,)),
    "with near infrared, 12 bits in 16": lambda: tiff_page(
        beside(deep(rgb(), 12), deep(alpha(), 12)), 2, extra=(0,), tags={281: (3, [4095] * 4)}
    ),
    "with near infrared, 8": lambda: tiff_page(beside(rgb(), alpha(0)), 2, extra=(0,)),
    "with a channel that nobody explains": lambda: tiff_page(beside(rgb(), alpha(0)), 2),
    "with 3 further channels": lambda: tiff_page(beside(rgb(), alpha(), alpha(7), alpha(0)), 2, extra=(0, 0, 0)),
    "with 6 further channels": lambda: tiff_page(beside(rgb(), *[alpha(7)] * 6), 2, extra=(0,) * 6),
    "with alpha behind another channel": lambda: tiff_page(beside(rgb(), alpha(0), alpha()), 2, extra=(0, 2)),
    "multiplied by alpha, 16": lambda: tiff_page(deep(beside(rgb(), alpha())), 2, extra=(1,)),
    "CMYK": lambda: tiff_page(cmyk(), 5),
    "CMYK 16": lambda: tiff_page(deep(cmyk()), 5),
    "CMYK, planes": lambda: tiff_page(cmyk(), 5, planar=True),
    "CMYK with a spot colour": lambda: tiff_page(beside(cmyk(), alpha(0)), 5, extra=(0,)),
    "CMYK 16 with a spot colour": lambda: tiff_page(deep(beside(cmyk(), alpha(9))), 5, extra=(0,)),
    "Lab 8": lambda: tiff_page(lab(), 8),
    "Lab 8, planes": lambda: tiff_page(lab(), 8, planar=True),
    "Lab 16": lambda: tiff_page(lab16(), 8),
    "ICC Lab 8": lambda: tiff_page(lab() ^ np.array([0, 128, 128], np.uint8), 9),
    "PPM of 10 bits": lambda: b"P6\n70 50\n1023\n" + deep(rgb(), 10).astype(">u2").tobytes(),
    "PPM of 16 bits": lambda: b"P6\n70 50\n65535\n" + deep(rgb()).astype(">u2").tobytes(),
    "PNG of 16 bits": lambda: png(deep(rgb()), 16, 2),
    "PNG of 12 bits in 16": lambda: png(deep(rgb(), 12), 16, 2),
    "PNG of 10 bits in 16 with alpha": lambda: png(beside(deep(rgb(), 10), deep(alpha(), 10)), 16, 6),
    "PNG of 16 bits with alpha": lambda: png(deep(beside(rgb(), alpha())), 16, 6),
}
if features.check("jpg_2000"):
    COLOURS["JPEG 2000"] = lambda: encode(drawing(SIZE), "JPEG2000")


@pytest.mark.parametrize("name", COLOURS)
def test_a_deep_colour_picture_looks_like_its_8_bit_twin(name):
    assert difference(COLOURS[name](), rgb()) <= 1.5


def test_12_bits_in_16_are_told_from_the_channels_together():
    """A blue picture's red has few bits in use, and must not be brightened for it."""
    blue = np.stack([rgb()[..., 0] // 20, rgb()[..., 1] // 20, rgb()[..., 2]], axis=-1)
    assert difference(tiff_page(deep(blue), 2), blue) <= 1
    assert difference(tiff_page(deep(blue, 12), 2), blue) <= 1


def test_a_dark_picture_of_16_bits_stays_dark():
    dark = grey().astype(float) * 40 / 255  # 8 bits would have at most 40
    data = tiff_page(np.round(dark * 257).astype(np.uint16), 1)
    assert difference(data, dark.repeat(3, axis=-1)) <= 1
    black = np.round(grey() / 25.5).astype(np.uint8)  # at most 10, and 16 bits made of 8
    assert difference(tiff_page(black.astype(np.uint16) * 257, 1), black.repeat(3, axis=-1)) <= 1


def test_what_a_file_says_of_its_largest_number_counts():
    half = grey() // 2
    data = tiff_page(deep(half, 12), 1, tags={281: (3, [4095])})
    assert difference(data, half.repeat(3, axis=-1)) <= 1
    data = tiff_page(deep(half, 14), 1, tags={281: (3, [16383])})
    assert difference(data, half.repeat(3, axis=-1)) <= 1


@pytest.mark.parametrize("beyond", [1.5, 40.0, 3000.0])
def test_lights_beyond_1_do_not_darken_the_rest(beyond):
    values = rgb().astype(np.float32) / 255
    values[:3, :3] = beyond
    expected = rgb().copy()
    expected[:3, :3] = 255
    assert difference(tiff_page(values, 2), expected) <= 1


def test_a_little_below_0_is_black():
    values = grey().astype(np.float32) / 255
    values[0, :5] = -0.2
    expected = grey().repeat(3, axis=-1).copy()
    expected[0, :5] = 0
    assert difference(tiff_page(values, 1), expected) <= 1


def test_one_hot_pixel_does_not_make_the_rest_black():
    values = grey().astype(np.float32) * 1000
    values[0, 0] = 1e12
    assert difference(tiff_page(values, 1), grey().repeat(3, axis=-1)) <= 2


def test_numbers_that_are_none_are_black_and_spoil_nothing():
    values = grey().astype(np.float32) / 255
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    picture = read_image(tiff_page(values, 1))
    assert picture[0, :3].max() == 0
    assert np.abs(picture[1:].astype(int) - grey()[1:]).mean() <= 1


def test_transparent_greys_of_16_bits_in_a_png_lie_on_white():
    values = deep(grey())
    values[0] = 4660
    data = png(values, 16, 0, chunks=png_chunk(b"tRNS", struct.pack(">H", 4660)))
    picture = read_image(data)
    assert (picture[0] == 255).all()
    assert np.abs(picture[1:].astype(int) - grey()[1:]).mean() <= 1


def test_a_transparent_colour_of_16_bits_in_a_png_lies_on_white():
    values = deep(rgb())
    values[0] = (0x1200, 0x3400, 0x5600)
    data = png(values, 16, 2, chunks=png_chunk(b"tRNS", struct.pack(">3H", 0x1200, 0x3400, 0x5600)))
    picture = read_image(data)
    assert (picture[0] == 255).all()
    assert np.abs(picture[1:].astype(int) - rgb()[1:]).mean() <= 1


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("samples", [rgb, lambda: deep(rgb())], ids=["8 bits", "16 bits"])
def test_a_tiff_is_turned_as_it_says_once(turn, samples):
    flat = read_image(tiff_page(samples(), 2, tags={274: (3, [1])}))
    turned = read_image(tiff_page(samples(), 2, tags={274: (3, [turn])}))
    undone = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: np.rot90,
    }
    assert np.array_equal(turned, undone[turn](flat))


@pytest.mark.parametrize(
    "make",
    [
        lambda: tiff_page(grey().astype(np.float32), 1, kind=6),
        lambda: tiff_page(deep(rgb()), 32845),
        lambda: tiff_page(deep(rgb()), 32803),
        lambda: tiff_page(deep(beside(rgb(), alpha(), alpha())), 5, tags={332: (3, [2])}),
        lambda: tiff_page(deep(rgb()), 2, tags={266: (3, [2])}),
        lambda: tiff_page(deep(grey()), 2),
        lambda: tiff_page(deep(rgb()), 2, tags={258: (3, [16, 16, 8])}),
        lambda: tiff_page(rgb().astype(np.uint64), 2),
        lambda: tiff_page(deep(rgb()), 2, tile=(16, 32), tags={322: (4, [1])}),
        lambda: tiff_page(deep(rgb()), 2, tags={259: (3, [34887])}),
        lambda: tiff_page(deep(rgb()), 2, tags={273: (4, [10**9])}),
    ],
    ids=[
        "complex",
        "LogLuv",
        "a sensor's raw",
        "other inks",
        "bits from the right",
        "too few channels",
        "channels of different depth",
        "64 bits",
        "tiles a pixel wide",
        "LERC",
        "a strip elsewhere",
    ],
)
def test_what_cannot_be_understood_is_refused_and_not_guessed(make):
    with pytest.raises(ImageReadError, match="damaged"):
        read_image(make())


def test_a_deep_tiff_is_held_to_the_limits_before_its_pixels_are_unpacked():
    data = tiff_page(np.zeros((50, 70, 3), np.uint16), 2, tags={256: (4, [40_000]), 257: (4, [40_000])})
    with pytest.raises(ImageReadError, match="40000 x 40000 pixels are more than 250 megapixels"):
        read_image(data)
    data = tiff_page(np.zeros((50, 70, 3), np.float64), 2, tags={256: (4, [15_000]), 257: (4, [15_000])})
    with pytest.raises(ImageReadError, match="of memory"):
        read_image(data)


def test_pillow_reads_what_it_reads_right_itself():
    """Byte for byte: nothing of ordinary TIFFs goes another way than before."""
    for data in (tiff_page(rgb(), 2), tiff_page(grey(), 1), tiff_page(cmyk(), 5)):
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(read_image(data), np.asarray(image.convert("RGB")))
