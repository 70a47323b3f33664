"""What a picture costs is known before it is decoded, and one that costs too much is not."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, features

from cbir.errors import ImageReadError
from cbir.images import cost
from cbir.images.read import decode, read_image
from tests.helpers.sample_files import drawing, encode, heic_writer, png_chunk

SIDE = 2400

# Prints the bytes by which the memory of a process grows at most when it decodes a file; before, it has decoded a small
# one of the same kind, so that libraries and tables do not count.
MEASURE = """
import sys
from cbir.images.read import decode
small, large = (open(path, "rb").read() for path in sys.argv[1:])
decode(small, name="small")
def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
open("/proc/self/clear_refs", "w").write("5")
before = peak()
decode(large, name="large")
print(peak() - before)
"""


def with_alpha(image):
    made = image.copy()
    made.putalpha(128)
    return made


KINDS = {
    "JPEG, progressive": lambda image: encode(image, "JPEG", progressive=True, subsampling=0),
    "PNG": lambda image: encode(image, "PNG", compress_level=1),
    "PNG, alpha": lambda image: encode(with_alpha(image), "PNG", compress_level=1),
    "PNG, 16 bits": lambda image: encode(
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG", compress_level=1
    ),
    "TIFF, CMYK": lambda image: encode(image.convert("CMYK"), "TIFF"),
    "TIFF, float": lambda image: encode(image.convert("F"), "TIFF"),
    "WebP": lambda image: encode(image, "WEBP", quality=40, method=0),
    "WebP, alpha": lambda image: encode(with_alpha(image), "WEBP", lossless=True, method=0),
}
if features.check("avif"):
    KINDS["AVIF, alpha"] = lambda image: encode(with_alpha(image), "AVIF", quality=40, speed=10)
if features.check("jpg_2000"):
    KINDS["JPEG 2000"] = lambda image: encode(image, "JPEG2000", irreversible=True, quality_layers=[80])
if heic_writer():
    KINDS["HEIC"] = lambda image: encode(image, "HEIF", quality=30)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks of memory are read from Linux's /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_that_a_picture_takes_is_foretold(kind, tmp_path):
    paths = []
    for side in (64, SIDE):
        path = tmp_path / str(side)
        path.write_bytes(KINDS[kind](drawing((side, side))))
        paths.append(path)
    with Image.open(paths[1]) as image:
        foretold = cost.memory_needed(image)
    measured = int(subprocess.run([sys.executable, "-c", MEASURE, *paths], check=True, capture_output=True).stdout)
    assert 0.9 * measured <= foretold <= 1.7 * measured + cost._ALWAYS


def webp_of_one_colour(width, height):
    """A WebP without loss of one colour: each of its five codes has one symbol, so that pixels take no bits at all."""
    data = bytearray(encode(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    rest = int.from_bytes(data[at : at + 4], "little") >> 28
    data[at : at + 4] = (rest << 28 | (height - 1) << 14 | width - 1).to_bytes(4, "little")
    return bytes(data)


def test_a_small_file_of_a_large_picture_is_refused_before_it_takes_the_memory():
    data = webp_of_one_colour(16383, 8000)
    assert len(data) < 200
    assert not read_image(webp_of_one_colour(700, 500)).any()
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageReadError, match=r"decoding it would take 2\.\d GB of memory, more than 2\.1 GB"):
        read_image(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB (bytes on a Mac)


def test_whoever_decodes_several_at_once_is_asked_for_each(monkeypatch):
    asked = []
    monkeypatch.setattr(cost, "reserve", asked.append)
    data = encode(drawing((300, 200)), "PNG")
    read_image(data)
    assert asked == [cost.memory_needed(Image.open(io.BytesIO(data)))]

    def refuse(needed):
        raise MemoryError

    monkeypatch.setattr(cost, "reserve", refuse)
    with pytest.raises(ImageReadError, match="does not fit into memory"):
        read_image(data)


def test_the_limit_is_of_bytes_and_not_of_pixels(monkeypatch):
    grey = encode(Image.new("L", (2000, 2000)), "PNG")
    clear = encode(Image.new("RGBA", (2000, 2000)), "PNG")
    monkeypatch.setattr(cost, "MAX_BYTES", cost._ALWAYS + 6 * 2000 * 2000)
    assert decode(grey, name="grey").size == (2000, 2000)
    with pytest.raises(ImageReadError, match="of memory"):
        decode(clear, name="clear")


def test_a_picture_one_pixel_wide_costs_more_than_its_pixels():
    row = zlib.compress(bytes(2 * 1_000_000))
    header = png_chunk(b"IHDR", (1).to_bytes(4, "big") + (1_000_000).to_bytes(4, "big") + bytes([1, 0, 0, 0, 0]))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", row) + png_chunk(b"IEND", b"")
    assert cost.memory_needed(Image.open(io.BytesIO(data))) > cost._ALWAYS + 16 * 1_000_000
    assert read_image(data).shape == (1_000_000, 1, 3)
