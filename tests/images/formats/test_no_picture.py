"""What downloads, copies and recovery leave in a folder of photos is told for what it is."""

from __future__ import annotations

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, features

from cbir.errors import ImageReadError
from cbir.images.read import read_image
from tests.helpers.sample_files import drawing, encode, heic_writer

SIZE = (320, 240)


def noisy():
    """A picture that takes some thousands of bytes in every format."""
    noise = np.random.default_rng(5).integers(-40, 40, (*SIZE[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(drawing(SIZE)).astype(int) + noise, 0, 255).astype(np.uint8))


def reason(data):
    with pytest.raises(ImageReadError) as raised:
        read_image(data)
    assert "\n" not in str(raised.value)
    return raised.value.reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n", "HTML page"),
        (b"\xef\xbb\xbf\r\n <HTML lang='de'><body>Anmelden</body></HTML>", "HTML page"),
        (b"<!-- saved --><html>" + b" " * 100, "HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9"/>', "SVG drawing"),
        (b'{"error": "quota exceeded"}', "JSON"),
        (b'[{"message": "Not Found", "path": "/a"}]', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (bytes(40_000), "nothing but zeros"),
        (bytes(40_000) + b"something", "begins with zeros"),
        (b"Dear all,\n\nplease find the photos attached.\n", "it is text"),
        ("Grüße aus dem Süden, bis bald!\n".encode(), "it is text"),
        (b"PK\3\4" + bytes(range(256)) * 4, "ZIP archive"),
        (b"\x1f\x8b\x08" + bytes(range(256)) * 4, "gzip"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(range(256)), "a film"),
        (b"\x1aE\xdf\xa3" + bytes(range(256)), "a film"),
    ],
)
def test_what_is_no_picture_is_told_for_what_it_is(data, words):
    assert words in reason(data)


def test_bytes_that_mean_nothing_are_no_picture_in_a_known_format():
    data = bytes((i * 7919 + (i >> 3)) % 251 for i in range(30_000))
    assert reason(data) == "it is no picture in a known format"


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"]
FORMATS += ["AVIF"] if features.check("avif") else []
FORMATS += ["JPEG2000"] if features.check("jpg_2000") else []
FORMATS += ["HEIF"] if heic_writer() else []


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("format_", FORMATS)
def test_a_picture_that_is_cut_short_is_told(format_, share):
    data = encode(noisy(), format_)
    words = reason(data[: int(len(data) * share)])
    assert "damaged" in words
    if format_ in ("JPEG", "PNG", "WEBP", "GIF"):
        assert "ends too early" in words


def filled(data, share, filling=b"\0"):
    kept = int(len(data) * share)
    return data[:kept] + filling * (len(data) - kept)


ENCODINGS = {
    "JPEG": lambda: encode(noisy(), "JPEG", quality=90),
    "JPEG, progressive": lambda: encode(noisy(), "JPEG", quality=90, progressive=True),
    "JPEG, restarts": lambda: encode(noisy(), "JPEG", quality=90, restart_marker_rows=1),
    "JPEG with a thumbnail": lambda: encode(noisy(), "JPEG", quality=90, exif=exif_with_thumbnail()),
    "PNG": lambda: encode(noisy(), "PNG"),
    "PNG, palette": lambda: encode(noisy().quantize(64), "PNG"),
    "WebP": lambda: encode(noisy(), "WEBP", quality=90),
    "WebP without loss": lambda: encode(noisy(), "WEBP", lossless=True),
}
if features.check("avif"):
    ENCODINGS["AVIF"] = lambda: encode(noisy(), "AVIF", quality=90)
if heic_writer():
    ENCODINGS["HEIC"] = lambda: encode(noisy(), "HEIF", quality=90)


def exif_with_thumbnail():
    exif = Image.Exif()
    exif[0x010E] = encode(drawing((60, 40)), "JPEG").decode("latin-1")
    return exif


@pytest.mark.parametrize("filling", [b"\0", b"\xff"], ids=["zeros", "ones"])
@pytest.mark.parametrize("share", [0.4, 0.7])
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_picture_whose_end_was_never_filled_in_is_told(name, share, filling):
    words = reason(filled(ENCODINGS[name](), share, filling))
    assert "damaged" in words
    if "JPEG" in name or "PNG" in name:
        assert f"{100 - 100 * share:.0f} % of the file" in words


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize(
    "more", [bytes(5000), bytes(5000) + b"<html>", b"\0\0\0\x18ftypmp42" + bytes(30_000), b"\xff" * 3000]
)
def test_what_stands_behind_a_whole_picture_costs_nothing(name, more):
    data = ENCODINGS[name]()
    if name == "HEIC" and more[:1] == b"\xff":
        pytest.skip("boxes go on to the end of the file")
    assert np.array_equal(read_image(data + more), read_image(data))


@pytest.mark.parametrize("junk", [b"\r\n\r\n", b"\n", b"\xef\xbb\xbf", b"\0\0\0\0"])
def test_a_few_bytes_before_a_jpeg_cost_nothing(junk):
    data = encode(noisy(), "JPEG")
    assert np.array_equal(read_image(junk + data), read_image(data))


def test_a_plain_picture_is_not_taken_for_one_that_broke_off():
    """Of one colour, or nearly: coders write little else than zeros."""
    for format_ in ("JPEG", "PNG", "WEBP", "GIF"):
        for image in (Image.new("RGB", (1500, 1500)), Image.new("RGB", (1500, 1500), (255, 255, 255))):
            assert read_image(encode(image, format_)).shape == (1500, 1500, 3)


def scans(image, times):
    """A progressive JPEG whose second scan comes `times` times."""
    data = encode(image, "JPEG", progressive=True)
    at = [n for n in range(len(data) - 1) if data[n : n + 2] == b"\xff\xda"]
    return data[: at[1]] + data[at[1] : at[2]] * times + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once():
    data = scans(Image.new("L", (2000, 2000), 128), 3000)
    start = time.process_time()
    assert reason(data) == "its pixels come in 3,001 scans, more than 500"
    assert time.process_time() - start < 0.5
    assert read_image(scans(drawing(SIZE), 20)).shape == (*SIZE[::-1], 3)


def test_an_mpo_is_decoded_at_a_reduced_size_like_a_jpeg():
    from cbir.images.read import decode_reduced

    image = drawing((1600, 1200))
    data = encode(image, "MPO", save_all=True, append_images=[Image.new("RGB", (1600, 1200))], quality=90)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    reduced, box = decode_reduced(data, name="x.mpo", at_least=300)
    assert (reduced.size, box) == ((400, 300), (0, 0, 400, 300))
    assert np.abs(np.asarray(reduced).astype(int) - np.asarray(image.resize((400, 300)))).mean() < 3


@pytest.mark.parametrize(
    "data",
    [
        b"P3\n9000 9000\n255\n" + b"0 " * 3_000_000,
        b"P1\n9000 9000\n" + b"0" * 3_000_000,
        b"qoif" + (9000).to_bytes(4, "big") * 2 + b"\4\0" + b"\xfe\1\2\3" * 200_000,
        b"DDS "
        + struct.pack("<7I", 124, 0x1007, 9000, 9000, 0, 0, 0)
        + bytes(44)
        + struct.pack("<8I", 32, 0x41, 0, 32, 0xFF0001, 0xFF03, 0xFF05, 0xFF000007)
        + struct.pack("<5I", 0x1000, 0, 0, 0, 0)
        + bytes(4_000_000),
    ],
    ids=["PPM in words", "PBM in words", "QOI", "DDS"],
)
def test_what_promises_more_than_it_holds_is_told_before_a_slow_decoder_begins(data):
    start = time.process_time()
    assert "ends too early" in reason(data)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("comment", [b"#" + b"x" * 20_000_000 + b"\n", b"# again\n" * 200_000, b"# by hand\r\n"])
@pytest.mark.parametrize("kind", ["PPM", "PGM", "PBM"])
def test_comments_in_a_ppm_cost_nothing(kind, comment):
    image = drawing(SIZE).convert({"PPM": "RGB", "PGM": "L", "PBM": "1"}[kind])
    data = encode(image, "PPM")
    start = time.process_time()
    assert np.array_equal(read_image(data[:3] + comment + data[3:]), np.asarray(image.convert("RGB")))
    assert time.process_time() - start < 1
