"""Colours are those that a file says, by a profile or by other means, whatever its mode, and are brought to sRGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from cbir.images.colour import profiles
from cbir.images.read import read_image
from tests.helpers.sample_files import (
    drawing,
    encode,
    heic_writer,
    linear_grey_profile,
    png,
    png_chunk,
    wide_gamut_profile,
)
from tests.helpers.tiff_files import tiff_page

SIZE = (64, 48)
P3, REC2020, ADOBE = profiles._PRIMARIES[12], profiles._PRIMARIES[9], profiles.ADOBE_RGB


def soft():
    """Colours that every space has."""
    return np.round(np.asarray(drawing(SIZE)).astype(float) * 0.5 + 70).astype(np.uint8)


def light(pixels):
    shares = pixels / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def matrix(primaries):
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])


def seen_in(primaries):
    """The drawing's light by amounts of these primaries."""
    return np.clip(light(soft()) @ (np.linalg.inv(matrix(primaries)) @ matrix(profiles.SRGB)).T, 0, 1)


def srgb_curve(amounts):
    return np.where(amounts <= 0.0031308, amounts * 12.92, 1.055 * amounts ** (1 / 2.4) - 0.055)


def pq(amounts):
    power = (amounts * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(amounts):
    scene = (amounts * 0.203) ** (1 / 1.2)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073)


def levels(shares):
    return np.round(shares * 255).astype(np.uint8)


def chrm(primaries):
    red, green, blue, white = primaries
    return png_chunk(b"cHRM", struct.pack(">8I", *(round(v * 100_000) for xy in (white, red, green, blue) for v in xy)))


def gama(value):
    return png_chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def cicp(primaries, transfer):
    return png_chunk(b"cICP", bytes((primaries, transfer, 0, 1)))


def difference(data, expected=None):
    expected = soft() if expected is None else expected
    picture = read_image(data)
    assert picture.shape == expected.shape
    return np.abs(picture.astype(int) - expected).mean()


TOLD = {
    "gAMA, light itself": lambda: png(levels(light(soft())), 8, 2, chunks=gama(1.0)),
    "gAMA of an old Mac": lambda: png(levels(light(soft()) ** (1 / 1.8)), 8, 2, chunks=gama(1 / 1.8)),
    "gAMA, 16 bits": lambda: png(np.round(light(soft()) * 65535).astype(np.uint16), 16, 2, chunks=gama(1.0)),
    "gAMA and cHRM of Rec. 2020": lambda: png(
        levels(srgb_curve(seen_in(REC2020))), 8, 2, chunks=gama(0.45455) + chrm(REC2020)
    ),
    "gAMA and cHRM of P3": lambda: png(levels(srgb_curve(seen_in(P3))), 8, 2, chunks=gama(0.45455) + chrm(P3)),
    "cICP, P3": lambda: png(levels(srgb_curve(seen_in(P3))), 8, 2, chunks=cicp(12, 13)),
    "cICP, P3, 16 bits": lambda: png(
        np.round(srgb_curve(seen_in(P3)) * 65535).astype(np.uint16), 16, 2, chunks=cicp(12, 13)
    ),
    "cICP before a profile": lambda: png(
        levels(srgb_curve(seen_in(P3))),
        8,
        2,
        chunks=png_chunk(b"iCCP", b"x\0\0" + zlib.compress(wide_gamut_profile())) + cicp(12, 13),
    ),
    "cICP, Rec. 2020 with alpha": lambda: png(
        np.dstack([levels(srgb_curve(seen_in(REC2020))), np.full(SIZE[::-1], 255, np.uint8)]), 8, 6, chunks=cicp(9, 13)
    ),
    "cICP, light itself": lambda: png(levels(light(soft())), 8, 2, chunks=cicp(1, 8)),
    "cICP, PQ": lambda: png(levels(pq(seen_in(REC2020))), 8, 2, chunks=cicp(9, 16)),
    "cICP, HLG": lambda: png(levels(hlg(seen_in(REC2020))), 8, 2, chunks=cicp(9, 18)),
    "profile before gAMA": lambda: png(
        in_profile(), 8, 2, chunks=gama(1.0) + png_chunk(b"iCCP", b"x\0\0" + zlib.compress(wide_gamut_profile()))
    ),
    "sRGB before gAMA": lambda: png(soft(), 8, 2, chunks=png_chunk(b"sRGB", b"\0") + gama(1.0)),
    "a broken profile and gAMA": lambda: png(
        levels(light(soft())), 8, 2, chunks=png_chunk(b"iCCP", b"x\0\0no") + gama(1.0)
    ),
    "gAMA that means sRGB": lambda: png(soft(), 8, 2, chunks=gama(0.45455) + chrm(profiles.SRGB)),
    "cHRM alone": lambda: png(soft(), 8, 2, chunks=chrm(REC2020)),
    "gAMA of 0": lambda: png(soft(), 8, 2, chunks=gama(0)),
    "gAMA beyond sense": lambda: png(soft(), 8, 2, chunks=gama(40_000)),
    "cHRM of nothing": lambda: png(soft(), 8, 2, chunks=gama(0.45455) + png_chunk(b"cHRM", bytes(32))),
    "cICP cut short": lambda: png(soft(), 8, 2, chunks=png_chunk(b"cICP", b"\x0c")),
    "cICP of codes that nobody knows": lambda: png(soft(), 8, 2, chunks=cicp(1, 200)),
    "JPEG, EXIF's R03": lambda: encode(
        Image.fromarray(levels(seen_in(ADOBE) ** (256 / 563))), "JPEG", quality=98, subsampling=0, exif=adobe_exif()
    ),
    "BMP with a profile": lambda: bmp_with(wide_gamut_profile()),
    "TIFF of 16 bits with a profile": lambda: tiff_page(
        in_profile().astype(np.uint16) * 257, 2, tags={34675: (7, list(wide_gamut_profile()))}
    ),
    "TIFF in planes with a profile": lambda: tiff_page(
        in_profile(), 2, planar=True, tags={34675: (7, list(wide_gamut_profile()))}
    ),
}


def in_profile():
    made = ImageCms.profileToProfile(
        Image.fromarray(soft()),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(wide_gamut_profile())),
    )
    return np.asarray(made)


def adobe_exif():
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03", 2: b"0100"}}
    return exif


def bmp_with(profile):
    pixels = np.ascontiguousarray(in_profile()[::-1, :, ::-1]).tobytes()
    info = struct.pack("<IiiHHIIiiII", 124, *SIZE, 1, 24, 0, len(pixels), 0, 0, 0, 0) + bytes(16) + b"DEBM"
    info = info.ljust(108, b"\0") + struct.pack("<IIII", 4, 124 + len(pixels), len(profile), 0)
    return struct.pack("<2sIHHI", b"BM", 138 + len(pixels) + len(profile), 0, 0, 138) + info + pixels + profile


@pytest.mark.parametrize("name", TOLD)
def test_colours_are_what_the_file_says(name):
    assert difference(TOLD[name]()) <= 2.5


@pytest.mark.parametrize(
    ("codes", "stored"), [((12, 13), lambda: srgb_curve(seen_in(P3))), ((9, 16), lambda: pq(seen_in(REC2020)))]
)
@pytest.mark.parametrize(
    "format_",
    [
        pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")),
        pytest.param("HEIF", marks=pytest.mark.skipif(not heic_writer(), reason="pillow-heif is not installed")),
    ],
)
def test_colours_of_avif_and_heic_are_what_their_codes_say(format_, codes, stored):
    data = encode(Image.fromarray(levels(stored())), format_, quality=98)
    if format_ == "HEIF" and b"colrnclx" not in data:
        pytest.skip("this pillow-heif writes no codes of colours: those from 1.5 on do")
    at = data.index(b"colrnclx") + 8
    data = data[:at] + struct.pack(">HH", *codes) + data[at + 4 :]
    assert difference(data) <= 6


def linear_grey():
    return levels(light(np.asarray(Image.fromarray(soft()).convert("L"))))


def grey():
    return np.asarray(Image.fromarray(soft()).convert("L").convert("RGB"))


GREYS = {
    "L, PNG": lambda: encode(Image.fromarray(linear_grey()), "PNG", icc_profile=linear_grey_profile()),
    "L, TIFF": lambda: encode(Image.fromarray(linear_grey()), "TIFF", icc_profile=linear_grey_profile()),
    "L, JPEG": lambda: encode(Image.fromarray(linear_grey()), "JPEG", quality=98, icc_profile=linear_grey_profile()),
    "LA, PNG": lambda: encode(
        Image.fromarray(np.dstack([linear_grey(), linear_grey() * 0 + 255])), "PNG", icc_profile=linear_grey_profile()
    ),
    "16 bits, PNG": lambda: encode(
        Image.fromarray(linear_grey().astype(np.uint16) * 257), "PNG", icc_profile=linear_grey_profile()
    ),
    "float, TIFF": lambda: tiff_page(
        (linear_grey() / 255).astype(np.float32)[..., np.newaxis], 1, tags={34675: (7, list(linear_grey_profile()))}
    ),
    "grey with a clear level": lambda: encode(
        Image.fromarray(linear_grey()), "PNG", icc_profile=linear_grey_profile(), transparency=0
    ),
}


@pytest.mark.parametrize("name", GREYS)
def test_a_profile_counts_in_every_mode_of_grey(name):
    assert difference(GREYS[name](), grey()) <= 2.5


def test_a_profile_of_rgb_counts_for_greys_too():
    stored = np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(grey()),
            ImageCms.createProfile("sRGB"),
            ImageCms.ImageCmsProfile(io.BytesIO(profiles.of_gamma(1.0))),
        )
    )[..., 0]
    data = encode(Image.fromarray(stored), "PNG", icc_profile=profiles.of_gamma(1.0))
    assert difference(data, grey()) <= 2.5


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_a_profile_counts_for_palettes(mode):
    stored = Image.fromarray(in_profile()).quantize(256, dither=Image.Dither.NONE)
    options = {"transparency": bytes([255] * 255 + [254])} if mode == "PA" else {}
    assert difference(encode(stored, "PNG", icc_profile=wide_gamut_profile(), **options)) <= 6


@pytest.mark.parametrize("large", [1_500_000, 20_000_000])
def test_a_large_profile_costs_nothing(large):
    """1.5 MB more than it needs are followed; what is larger than any profile in use is not looked into."""
    profile = wide_gamut_profile()
    padded = struct.pack(">I", len(profile) + large) + profile[4:] + bytes(large)
    chunk = png_chunk(b"iCCP", b"press\0\0" + zlib.compress(padded))
    data = png(in_profile(), 8, 2, chunks=chunk)
    assert difference(data, soft() if large < 8_000_000 else in_profile()) <= 2


@pytest.mark.parametrize(
    "chunks",
    [
        png_chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"a lighthouse at dusk, " * 200_000)),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>" * 1_000_000)),
        png_chunk(b"tEXt", b"args\0" + b"x" * 5_000_000),
        b"".join(png_chunk(b"tEXt", b"key%d\0value" % n) for n in range(20_000)),
        png_chunk(b"caBX", bytes(3_000_000)),
        png_chunk(b"zTXt", b"broken\0\0nothing that unpacks"),
        png_chunk(b"iTXt", b"broken"),
    ],
    ids=["zTXt", "iTXt", "tEXt", "many", "another program's", "broken zTXt", "broken iTXt"],
)
def test_words_in_a_png_cost_nothing(chunks):
    data = png(soft(), 8, 2, chunks=chunks)
    assert difference(data, soft()) == 0
    end = len(data) - 12
    assert difference(png(soft(), 8, 2)[:-12] + chunks + data[end:], soft()) == 0


def test_codes_and_gammas_of_srgb_cost_no_transform():
    assert profiles.of_codes(1, 13) is None
    assert profiles.of_codes(1, 1) is None
    assert profiles.of_gamma(2.2) is None
    assert profiles.of_gamma(1 / 0.45455, ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.329))) is None
    assert profiles.of_gamma(float("inf")) is None
    assert profiles.of_gamma(1.0, ((0.3, 0.3), (0.3, 0.3), (0.3, 0.3), (0.3, 0.3))) is None
    assert profiles.of_gamma(1.0, ((0.64, 0.0), (0.3, 0.6), (0.15, 0.06), (0.31, 0.33))) is None


# The turn


def with_xmp(format_):
    words = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if format_ == "PNG":
        return png(soft(), 8, 2, chunks=png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + words))
    if format_ == "TIFF":
        return tiff_page(soft(), 2, tags={700: (1, list(words))})
    return encode(Image.fromarray(soft()), format_, xmp=words)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_words_of_xmp_turn_nothing(format_):
    """No browser turns a picture by them."""
    assert read_image(with_xmp(format_)).shape == (*SIZE[::-1], 3)


def test_exif_in_words_of_a_png_turns_nothing():
    exif = Image.Exif()
    exif[0x0112] = 6
    words = b"\nexif\n%8d\n" % len(exif.tobytes()) + exif.tobytes().hex().encode()
    data = png(soft(), 8, 2, chunks=png_chunk(b"tEXt", b"Raw profile type exif\0" + words))
    assert difference(data, soft()) == 0


def test_exif_behind_the_pixels_of_a_png_turns_it():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png(soft(), 8, 2)
    data = data[:-12] + png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[-12:]
    assert difference(data, np.rot90(soft(), -1)) == 0


def test_an_mpo_is_turned_by_its_first_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    first, second = Image.fromarray(soft()), Image.new("RGB", SIZE, (0, 0, 200))
    data = encode(first, "MPO", save_all=True, append_images=[second], exif=exif, quality=98)
    assert difference(data, np.rot90(soft(), -1)) <= 3
