"""Every format and variant that turns up in folders of photos is read as it was drawn, or refused in helpful words."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageCms, UnidentifiedImageError, features

from cbir.errors import ImageReadError
from cbir.images import read
from cbir.images.colour import spaces
from cbir.images.formats.known import FORMATS
from cbir.images.read import decode, read_image
from cbir.images.scan import picture_suffixes
from tests.helpers.sample_files import (
    SIZE,
    colourless_ink_profile,
    drawing,
    encode,
    exif,
    grey16,
    heic_writer,
    icon_of,
    linear_grey_profile,
    png,
    png_chunk,
    png_header,
    sample_files,
    srgb_profile,
    tiff,
    tiled_tiff,
    twelve_bit_jpeg,
    wide_gamut_profile,
    ycck_jpeg,
)
from tests.helpers.waiting import GUARD_SECONDS

needs_heic = pytest.mark.skipif(not heic_writer(), reason="pillow-heif, which writes HEIC, is not installed")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
needs_jpeg2000 = pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")

SECOND, THIRD = Image.new("RGB", SIZE, (0, 0, 200)), Image.new("RGB", SIZE, (200, 0, 0))


def difference(data, expected):
    """The mean distance of what is read from what was drawn, in grey levels."""
    picture = read_image(data)
    expected = np.asarray(expected)
    assert picture.shape == expected.shape
    return np.abs(picture.astype(int) - expected).mean()


def grey_drawing():
    return drawing().convert("L").convert("RGB")


@pytest.mark.parametrize(
    ("format_", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 2),
        ("JPEG", {"quality": 95, "progressive": True}, 2),
        ("JPEG", {"quality": 95, "subsampling": 0, "restart_marker_blocks": 2}, 2),
        ("MPO", {"quality": 95}, 2),
        ("PNG", {}, 0),
        ("WEBP", {"quality": 95}, 3),
        ("WEBP", {"lossless": True}, 0),
        ("GIF", {}, 4),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", {"compression": "packbits"}, 0),
        ("TIFF", {"compression": "jpeg", "quality": 95}, 2),
        ("BMP", {}, 0),
        ("PPM", {}, 0),
        ("ICO", {"sizes": [SIZE]}, 0),
        ("TGA", {}, 0),
        ("TGA", {"compression": "tga_rle"}, 0),
        ("PCX", {}, 0),
        ("SGI", {}, 0),
        ("DDS", {}, 0),
        pytest.param("JPEG2000", {"irreversible": True}, 2, marks=needs_jpeg2000),
        pytest.param("JPEG2000", {"no_jp2": True}, 0, marks=needs_jpeg2000),
        pytest.param("AVIF", {"quality": 95}, 2, marks=needs_avif),
        pytest.param("HEIF", {"quality": 95}, 3, marks=needs_heic),
    ],
)
def test_a_colour_picture_is_read_as_it_was_drawn(format_, options, tolerance):
    assert difference(encode(drawing(), format_, **options), drawing()) <= tolerance


@pytest.mark.parametrize(
    ("name", "most"), [("PPM, in words", 0), ("QOI", 0), ("MPO", 3), ("TIFF, 16 bits, RGB", 0), ("JPEG, YCCK", 3)]
)
def test_files_made_by_hand_are_read_as_they_were_drawn(name, most):
    assert difference(sample_files()[name], drawing()) <= most


@pytest.mark.parametrize("name", [name for name in sample_files() if name != "JPEG, 12 bits"])
def test_every_other_sample_file_is_read_too(name):
    assert sorted(read_image(sample_files()[name]).shape) == [3, *sorted(SIZE)]


@pytest.mark.parametrize(
    "make",
    [lambda: encode(drawing().convert("CMYK"), "JPEG", quality=95), lambda: ycck_jpeg(drawing())],
    ids=["CMYK", "YCCK"],
)
def test_cmyk_and_ycck_jpegs_keep_their_colours(make):
    assert Image.open(io.BytesIO(make())).mode == "CMYK"
    assert difference(make(), drawing()) <= 2


def test_an_icon_of_bitmaps_is_read_as_it_was_drawn():
    opaque = drawing()
    opaque.putalpha(255)
    assert difference(encode(opaque, "ICO", sizes=[SIZE], bitmap_format="bmp"), drawing()) == 0


def test_a_jpeg_of_12_bits_is_refused_and_the_reason_says_so():
    with pytest.raises(ImageReadError, match="12-bit") as raised:
        read_image(twelve_bit_jpeg())
    assert "damaged or of a kind that cannot be read" in raised.value.reason


@pytest.mark.parametrize(
    "content",
    [
        b"II*\0\x08\0\0\0",
        b"II*\0\x08\0\0\0" + b"\xff" * 30,
        b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x112, 3, 2**31, 2**31),
        b"XX*\0\x08\0\0\0\0\0",
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_costs_a_picture_nothing(format_, content):
    data = encode(drawing(), format_, exif=b"Exif\0\0" + content)
    assert difference(data, drawing()) <= 3


def samples(channels, depth):
    """Numbers of `depth` bits that use their whole range, shape (30, 40, channels)."""
    random = np.random.default_rng(depth * 10 + channels)
    return random.integers(0, 2**depth, (SIZE[1], SIZE[0], channels), dtype=np.uint32)


def over_white(colour, alpha):
    return colour * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "interlaced"])
@pytest.mark.parametrize(
    ("colour", "depth"), [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16)]
)
def test_a_png_of_every_kind_and_depth(colour, depth, interlaced):
    values = samples({0: 1, 2: 3, 4: 2, 6: 4}[colour], depth)
    scaled = values / (2**depth - 1)
    expected = scaled * 255 if colour in (0, 2) else over_white(scaled[..., :-1] * 255, scaled[..., -1:])
    picture = read_image(png(values, depth, colour, interlaced=interlaced)).astype(float)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(picture - expected).max() <= 2


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "interlaced"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_png_with_a_palette_of_every_depth(depth, interlaced):
    values = samples(1, depth)
    palette = np.random.default_rng(1).integers(0, 256, (2**depth, 3), dtype=np.uint8)
    alpha = np.full(2**depth, 255, dtype=np.uint8)
    alpha[0] = 51
    chunks = png_chunk(b"PLTE", palette.tobytes()) + png_chunk(b"tRNS", alpha.tobytes())
    expected = over_white(palette[values[..., 0]].astype(float), alpha[values] / 255)
    picture = read_image(png(values, depth, 3, interlaced=interlaced, chunks=chunks)).astype(float)
    assert np.abs(picture - expected).max() <= 1


@pytest.mark.parametrize(
    "format_",
    [
        "GIF",
        "PNG",
        "WEBP",
        "TIFF",
        "MPO",
        pytest.param("AVIF", marks=needs_avif),
        pytest.param("HEIF", marks=needs_heic),
    ],
)
def test_the_first_frame_or_page_counts(format_):
    data = encode(drawing(), format_, save_all=True, append_images=[SECOND, THIRD])
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 3
    assert difference(data, drawing()) <= 4


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: encode(drawing().convert("L"), "PPM"), grey_drawing),
        (lambda: encode(drawing().convert("1"), "PPM"), lambda: drawing().convert("1").convert("RGB")),
        (
            lambda: encode(drawing().convert("1"), "TIFF", compression="group4"),
            lambda: drawing().convert("1").convert("RGB"),
        ),
        (lambda: b"P5\n40 30\n65535\n" + grey16().astype(">u2").tobytes(), grey_drawing),
        (lambda: encode(Image.fromarray(grey16()[..., 0]), "TIFF"), grey_drawing),
        (lambda: tiff(grey16().astype("<i4"), bits=32, sample_format=2), grey_drawing),
        (lambda: tiff((grey16() / 65535).astype("<f4"), bits=32, sample_format=3), grey_drawing),
        (lambda: tiff(np.asarray(drawing()).astype("<u2") * 257, bits=16, sample_format=1), drawing),
    ],
    ids=["PGM", "PBM", "fax", "16-bit PGM", "16-bit TIFF", "32-bit TIFF", "float TIFF", "16-bit RGB TIFF"],
)
def test_greys_and_deep_pictures_keep_their_tones(make, expected):
    assert difference(make(), expected()) <= 1


def test_a_float_picture_of_megapixels_is_scaled_as_a_whole():
    values = np.linspace(-1, 3, 1_500_000, dtype=np.float32).reshape(1500, 1000)
    picture = read_image(encode(Image.fromarray(values), "TIFF"))
    assert np.abs(picture[..., 0] - (values + 1) * (255 / 4)).max() <= 1
    falling = read_image(encode(Image.fromarray(values[::-1].copy()), "TIFF"))
    assert np.array_equal(falling, picture[::-1])


@pytest.mark.parametrize("tile", [(16, 16), (64, 64)])
def test_a_tiff_in_tiles_is_read(tile):
    assert difference(tiled_tiff(tile), Image.new("RGB", SIZE, (255, 255, 255))) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1)])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "BMP"])
def test_the_thinnest_pictures_are_read(size, format_):
    picture = read_image(encode(Image.new("RGB", size, (10, 200, 30)), format_))
    assert picture.shape == (size[1], size[0], 3)
    assert np.abs(picture.astype(int) - (10, 200, 30)).max() <= 4


@pytest.mark.parametrize("name", ["holiday.jpg", "holiday", "holiday.heic", "holiday.txt"])
@pytest.mark.parametrize("format_", ["PNG", "WEBP", "GIF", "TGA"])
def test_the_content_counts_and_not_the_name(tmp_path, name, format_):
    path = tmp_path / name
    path.write_bytes(encode(drawing(), format_))
    assert np.abs(read_image(path).astype(int) - np.asarray(drawing())).mean() <= 4


# HEIC


def heic_header(*brands):
    content = brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I", 8 + len(content)) + b"ftyp" + content + bytes(100)


@pytest.fixture
def without_heif(monkeypatch):
    """pillow-heif cannot be imported, and was not before."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    read._register_heic.cache_clear()
    yield
    read._register_heic.cache_clear()


@pytest.mark.parametrize(
    "brands",
    [(b"heic", b"mif1", b"heic"), (b"heix",), (b"hevc",), (b"mif1", b"mif1", b"heic"), (b"msf1",)],
)
def test_without_the_extra_the_reason_names_it(without_heif, brands):
    with pytest.raises(ImageReadError, match=r"install cbir\[heic\]") as raised:
        read_image(heic_header(*brands))
    assert not raised.value.transient


@pytest.mark.parametrize("brands", [(b"avif", b"avif", b"mif1"), (b"mif1", b"mif1", b"avif"), (b"isom", b"mp42")])
def test_what_has_the_same_frame_is_not_taken_for_heic(without_heif, brands):
    with pytest.raises(ImageReadError) as raised:
        read_image(heic_header(*brands))
    assert "heic" not in str(raised.value)


@needs_avif
def test_avif_needs_no_extra(without_heif):
    assert difference(encode(drawing(), "AVIF", quality=95), drawing()) <= 2


@needs_heic
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_read_upright(orientation):
    turned = np.rot90(np.asarray(drawing()), {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    assert difference(encode(drawing(), "HEIF", quality=95, exif=exif(orientation).tobytes()), turned) <= 3


@needs_heic
def test_the_extra_is_loaded_by_the_first_heic_and_not_before(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(drawing(), "JPEG"))
    (tmp_path / "b.heic").write_bytes(encode(drawing(), "HEIF"))
    script = (
        "import sys; from cbir.images.read import read_image; read_image(sys.argv[1])\n"
        "assert 'pillow_heif' not in sys.modules; read_image(sys.argv[2]); assert 'pillow_heif' in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.jpg", tmp_path / "b.heic"], check=True, timeout=GUARD_SECONDS
    )


@needs_heic
def test_a_damaged_heic_is_refused():
    data = encode(drawing(), "HEIF")
    for damaged in (data[:60], data[: len(data) // 2], data[:-20]):
        with pytest.raises(ImageReadError, match="damaged"):
            read_image(damaged)


# Colour profiles


def in_wide_gamut():
    """The drawing's colours by the numbers that the wide-gamut profile has for them."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(wide_gamut_profile()))
    made = ImageCms.profileToProfile(drawing(), ImageCms.createProfile("sRGB"), profile)
    made.info.clear()
    return made


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 97, "subsampling": 0}),
        ("TIFF", {}),
        ("WEBP", {"quality": 97}),
        pytest.param("AVIF", {"quality": 97}, marks=needs_avif),
        pytest.param("HEIF", {"quality": 97}, marks=needs_heic),
    ],
)
def test_a_picture_of_wide_gamut_is_brought_to_srgb(format_, options):
    stored = in_wide_gamut()
    assert np.abs(np.asarray(stored).astype(int) - np.asarray(drawing())).mean() > 8  # the profile matters
    with_profile = encode(stored, format_, icc_profile=wide_gamut_profile(), **options)
    assert difference(with_profile, drawing()) <= 4
    assert difference(encode(stored, format_, **options), drawing()) > 8


def test_a_profile_counts_under_transparency_and_in_palettes_too():
    stored = in_wide_gamut()
    alpha = stored.copy()
    alpha.putalpha(255)
    assert difference(encode(alpha, "PNG", icc_profile=wide_gamut_profile()), drawing()) <= 2
    one_colour = Image.new("RGB", SIZE, stored.getpixel((5, 5)))
    data = encode(one_colour.quantize(4), "PNG", icc_profile=wide_gamut_profile())
    assert difference(data, Image.new("RGB", SIZE, drawing().getpixel((5, 5)))) <= 2


def test_a_profile_of_greys_is_followed():
    light = np.linspace(0, 255, 40).round().astype(np.uint8).repeat(8).reshape(40, 8)
    shares = light / 255  # by the curve of sRGB's standard
    expected = 255 * np.where(shares <= 0.0031308, 12.92 * shares, 1.055 * shares ** (1 / 2.4) - 0.055)
    data = encode(Image.fromarray(light), "PNG", icc_profile=linear_grey_profile())
    assert difference(data, expected[..., np.newaxis].repeat(3, axis=-1)) <= 1.5


def test_a_profile_of_inks_is_followed():
    cyan = Image.new("CMYK", SIZE, (255, 0, 0, 0))
    assert np.abs(read_image(encode(cyan, "TIFF"))[0, 0].astype(int) - (0, 255, 255)).max() <= 1
    read = read_image(encode(cyan, "TIFF", icc_profile=colourless_ink_profile()))[0, 0].astype(int)
    assert read.max() - read.min() <= 3
    assert read.max() <= 40
    paper = Image.new("CMYK", SIZE, (0, 0, 0, 0))
    assert read_image(encode(paper, "TIFF", icc_profile=colourless_ink_profile())).min() >= 250


def test_a_profile_of_a_size_that_no_profile_has_is_not_looked_into():
    stored = in_wide_gamut()
    padded = wide_gamut_profile() + bytes(1_000_000)
    assert difference(encode(stored, "TIFF", icc_profile=padded), drawing()) <= 2
    assert difference(encode(stored, "TIFF", icc_profile=padded + bytes(8_000_000)), stored) == 0


def test_profiles_of_srgb_cost_no_time():
    assert spaces._transform(srgb_profile(), "RGB") is None
    assert spaces._transform(wide_gamut_profile(), "RGB") is not None


def test_a_profile_of_srgb_changes_no_pixel():
    data = encode(drawing(), "PNG", icc_profile=srgb_profile())
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == srgb_profile()
    assert difference(data, drawing()) == 0


@pytest.mark.parametrize(
    "profile",
    [
        b"\0",
        b"no profile at all",
        wide_gamut_profile()[:200],
        wide_gamut_profile(b"CMYK"),
        wide_gamut_profile(b"GRAY"),
        wide_gamut_profile()[:128] + b"\xff" * 300,
    ],
    ids=["a byte", "words", "cut off", "CMYK", "grey", "hostile"],
)
@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_a_profile_that_is_broken_or_of_another_mode_is_ignored(profile, format_):
    options = {"quality": 95} if format_ == "JPEG" else {}
    assert difference(encode(drawing(), format_, icc_profile=profile, **options), drawing()) <= 2


def test_profiles_are_looked_into_once_and_without_littlecms_not_at_all(monkeypatch):
    spaces._transform.cache_clear()
    stored = in_wide_gamut()
    data = encode(stored, "PNG", icc_profile=wide_gamut_profile())
    for _ in range(2):
        assert difference(data, drawing()) <= 2
    assert (spaces._transform.cache_info().misses, spaces._transform.cache_info().hits) == (1, 1)
    spaces._transform.cache_clear()
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", None)
    assert difference(data, stored) == 0
    spaces._transform.cache_clear()


# Bombs


def webp_canvas(width, height):
    data = bytearray(encode(drawing(), "WEBP", save_all=True, append_images=[SECOND]))
    assert data[12:16] == b"VP8X"
    data[24:27], data[27:30] = (width - 1).to_bytes(3, "little"), (height - 1).to_bytes(3, "little")
    return bytes(data)


def jpeg_frame(width, height):
    data = bytearray(encode(drawing(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_screen(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + encode(drawing(), "GIF")[10:]


def dib_header(width, height):
    return struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


BOMBS = {
    "PNG": png_header(100_000, 100_000),
    "JPEG": jpeg_frame(65_000, 65_000),
    "GIF": gif_screen(65_535, 65_535),
    "WebP": webp_canvas(16_384, 16_384),
    "BMP": b"BM" + bytes(8) + struct.pack("<I", 54) + dib_header(60_000, 60_000),
    "PPM": b"P6\n100000 100000\n255\n",
    "PFM": b"Pf\n100000 100000\n-1.0\n",
    "TGA": struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 65_535, 65_535, 24, 0),
    "TIFF": tiff(np.zeros((1, 1, 1), np.uint8), bits=8, sample_format=1).replace(
        struct.pack("<HHII", 256, 4, 1, 1), struct.pack("<HHII", 256, 4, 1, 2_000_000_000)
    ),
    "TIFF's tile": tiled_tiff((16_384, 16_384)),
    "ICO of a PNG": icon_of(png_header(100_000, 100_000)),
    "ICO of a bitmap": icon_of(dib_header(60_000, 60_000) + bytes(100)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_header_that_promises_gigabytes_is_refused_at_once(name):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(ImageReadError, match=r"pixels are more than|damaged") as raised:
        read_image(BOMBS[name])
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 100_000  # KB (bytes on a Mac)
    # the work of this process, which others on the machine do not lengthen; a gigabyte of zeros alone takes as much
    assert after.ru_utime - before.ru_utime < 0.5
    assert "attack" not in raised.value.reason
    if name != "TIFF":  # two thousand million pixels in a row are too many for the decoder's rows, too
        assert "pixels are more than 250 megapixels" in raised.value.reason


def test_a_chunk_of_a_png_that_unpacks_to_gigabytes_is_left_packed():
    packed = zlib.compress(bytes(50_000_000))
    chunks = png_chunk(b"iCCP", b"x\0\0" + packed) + png_chunk(b"zTXt", b"x\0\0" + packed)
    data = png(np.asarray(drawing()), 8, 2, chunks=chunks)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert difference(data, drawing()) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KB (bytes on a Mac)


def test_a_limit_above_the_default_lets_larger_pictures_in(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    icon = icon_of(encode(drawing(), "PNG"))
    with pytest.raises(ImageReadError, match=r"pixels are more than 0\.0006 megapixels"):
        read_image(icon, max_pixels=600)
    assert read_image(icon, max_pixels=1_200).shape == (SIZE[1], SIZE[0], 3)
    assert decode(encode(drawing(), "PNG"), name="x", max_pixels=1_200).size == SIZE


# What is no picture, or of a format that must not be opened


def test_postscript_starts_no_program(tmp_path, monkeypatch):
    trace = tmp_path / "ghostscript was here"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{trace}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    picture = tmp_path / "holiday.jpg"
    picture.write_bytes(encode(drawing(), "EPS"))
    with pytest.raises(ImageReadError, match="PostScript document"):
        read_image(picture)
    assert not trace.exists()
    with pytest.raises((OSError, UnidentifiedImageError)):
        Image.open(picture).load()  # Pillow, asked for any format, starts it
    assert trace.exists()


def test_formats_are_pictures_only():
    assert not {"EPS", "PDF", "WMF", "IPTC", "FITS", "GRIB", "HDF5", "BUFR", "MPEG"} & set(FORMATS)
    assert not {".eps", ".ps", ".pdf", ".wmf", ".emf", ".iim", ".fits"} & picture_suffixes()
    assert {".jpg", ".mpo", ".heic", ".hif", ".avif", ".jp2", ".tga", ".pgm", ".ico", ".webp"} <= picture_suffixes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7\n" + bytes(200), "PDF document"),
        (b"\xff\x0a" + bytes(200), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(200), "JPEG XL"),
        (b"SIMPLE  =                    T" + b" " * 3000, "no picture in a known format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "as PNG"),
        (b"GIF89a", "as GIF"),
    ],
)
def test_the_reason_says_what_a_file_is_instead(data, reason):
    with pytest.raises(ImageReadError) as raised:
        read_image(data)
    assert reason in raised.value.reason


def test_an_orientation_is_followed_in_every_format_that_can_say_one():
    for format_ in ("JPEG", "PNG", "TIFF", "WEBP", *(["AVIF"] if features.check("avif") else [])):
        turned = np.rot90(np.asarray(drawing()), -1)
        assert difference(encode(drawing(), format_, exif=exif(6)), turned) <= 4, format_


@pytest.mark.parametrize("name", sample_files())
def test_the_first_bytes_of_a_file_are_no_picture(name):
    for length in range(1, 20):
        with pytest.raises(ImageReadError, match=r"no picture in a known format|damaged"):
            read_image(sample_files()[name][:length])
