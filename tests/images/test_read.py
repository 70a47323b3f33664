"""Whatever lies in a folder of photos becomes an upright RGB picture, or an error that says why not."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image

from cbir.errors import ImageReadError
from cbir.images import contents
from cbir.images.read import decode, decode_reduced, open_image, read_bytes, read_image
from tests.helpers.waiting import GUARD_SECONDS

ORIENTATION = 0x0112

# How an upright picture is stored under each EXIF orientation: tag 1 to 8 tells where row 0 and column 0 are, as
# the standard's table has it (6: row 0 is the right-hand side, column 0 the top).
STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


def encode(image, format_, **options):
    """The bytes of `image` as a file."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def stored_with_orientation(upright, orientation, format_, **options):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = np.ascontiguousarray(STORED[orientation](np.asarray(upright)))
    return encode(Image.fromarray(pixels), format_, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_every_exif_orientation_gives_the_same_upright_picture(draw_picture, orientation, format_):
    upright = draw_picture(1, (40, 24))
    data = stored_with_orientation(upright, orientation, format_)
    assert np.array_equal(read_image(data), np.asarray(upright))


@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_of_a_jpeg_is_upright_after_a_reduced_decode_too(draw_picture, orientation):
    upright = draw_picture(2, (640, 416))
    data = stored_with_orientation(upright, orientation, "JPEG", quality=95, subsampling=0)
    whole = read_image(data)
    assert whole.shape == (416, 640, 3)
    assert np.abs(whole.astype(int) - np.asarray(upright)).mean() < 5
    image, box = decode_reduced(data, name="x.jpg", at_least=200)
    assert box == (0, 0, 320, 208)
    reduced = np.asarray(image)
    assert reduced.shape == (208, 320, 3)
    assert np.abs(reduced.astype(int) - np.asarray(upright.resize((320, 208), Image.Resampling.BOX))).mean() < 5


def test_exif_that_makes_no_sense_does_not_spoil_a_good_picture(draw_picture):
    picture = draw_picture(3)
    data = encode(picture, "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff nonsense", quality=95)
    assert read_image(data).shape == (120, 160, 3)


@pytest.mark.parametrize("orientation", [0, 9, 400])
def test_an_orientation_outside_the_standard_is_ignored(draw_picture, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = draw_picture(3, (30, 20))
    assert np.array_equal(read_image(encode(picture, "PNG", exif=exif)), np.asarray(picture))


def palette_picture():
    """Two columns: palette entry 0 is blue, entry 1 is red."""
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.putdata([0, 1])
    return image


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (Image.new("RGBA", (2, 2), (255, 0, 0, 0)), {}, (255, 255, 255)),
        (Image.new("RGBA", (2, 2), (255, 0, 0, 255)), {}, (255, 0, 0)),
        (Image.new("RGBA", (2, 2), (255, 0, 0, 51)), {}, (255, 204, 204)),
        (Image.new("LA", (2, 2), (0, 0)), {}, (255, 255, 255)),
        (Image.new("LA", (2, 2), (0, 51)), {}, (204, 204, 204)),
        (Image.new("RGB", (2, 2), (1, 2, 3)), {"transparency": (1, 2, 3)}, (255, 255, 255)),
        (Image.new("L", (2, 2), 7), {"transparency": 7}, (255, 255, 255)),
        (palette_picture(), {"transparency": 0}, (255, 255, 255)),
        (palette_picture(), {"transparency": bytes([51, 255])}, (204, 204, 255)),
    ],
)
def test_transparent_pixels_lie_over_white(image, options, expected):
    pixel = read_image(encode(image, "PNG", **options))[0, 0]
    assert np.abs(pixel.astype(int) - expected).max() <= 1


def test_the_opaque_part_of_a_transparent_palette_keeps_its_colour():
    assert read_image(encode(palette_picture(), "PNG", transparency=0))[0, 1].tolist() == [255, 0, 0]
    assert read_image(encode(palette_picture(), "GIF", transparency=0)).tolist() == [[[255, 255, 255], [255, 0, 0]]]


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(format_):
    grey = np.linspace(0, 65535, 256 * 4).astype(np.uint16).reshape(4, 256)
    picture = read_image(encode(Image.fromarray(grey), format_))
    assert picture.shape == (4, 256, 3)
    assert np.abs(picture[..., 0] - grey / 257).max() <= 1
    assert np.array_equal(picture[..., 0], picture[..., 2])


def test_16_bit_grey_of_the_other_byte_order_is_scaled_alike():
    grey = (np.arange(6).reshape(2, 3) * 10_000).astype(np.uint16)
    image = Image.frombytes("I;16B", (3, 2), grey.astype(">u2").tobytes())
    assert np.abs(read_image(encode(image, "TIFF"))[..., 0] - grey / 257).max() <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),
        ([0.0, 10.0, 100.0, 255.0], [0, 10, 100, 255]),
        ([0.0, 257.0, 25700.0, 65535.0], [0, 1, 100, 255]),
        ([-100.0, 0.0, 50.0, 100.0], [0, 128, 191, 255]),
        ([float("nan"), 0.5, float("inf"), 1.0], [0, 128, 0, 255]),
        ([-5.0, -5.0, -5.0, -5.0], [0, 0, 0, 0]),
        ([1e6, 1e6, 1e6, 1e6], [0, 0, 0, 0]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_float_greys_become_8_bits(values, expected):
    image = Image.fromarray(np.array([values], dtype=np.float32))
    picture = read_image(encode(image, "TIFF"))
    assert picture.shape == (1, 4, 3)
    assert np.abs(picture[0, :, 0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("mode", "format_"), [("1", "PNG"), ("L", "JPEG"), ("P", "PNG"), ("YCbCr", "TIFF")])
def test_other_modes_become_rgb(draw_picture, mode, format_):
    if mode == "YCbCr" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow before 13 writes such TIFFs cut short")
    picture = draw_picture(4, (32, 16)).convert(mode)
    read = open_image(encode(picture, format_, **({"quality": 95} if format_ == "JPEG" else {})))
    assert (read.mode, read.size) == ("RGB", (32, 16))
    assert np.abs(np.asarray(read).astype(int) - np.asarray(picture.convert("RGB"))).mean() < 4


def test_a_cmyk_jpeg_keeps_its_colours(draw_picture):
    picture = draw_picture(5, (64, 48))
    read = read_image(encode(picture.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(read.astype(int) - np.asarray(picture)).mean() < 8


@pytest.mark.parametrize("format_", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_frame_of_several_counts(format_):
    first, second = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 200))
    pixel = read_image(encode(first, format_, save_all=True, append_images=[second]))[4, 4]
    assert np.abs(pixel.astype(int) - (200, 0, 0)).max() <= 4


def test_a_path_a_string_bytes_and_a_stream_give_the_same_picture(tmp_path, draw_picture):
    path = tmp_path / "a.png"
    draw_picture(6, (20, 10)).save(path)
    expected = np.asarray(draw_picture(6, (20, 10)))
    with path.open("rb") as stream:
        for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), stream):
            picture = read_image(source)
            assert picture.dtype == np.uint8
            assert np.array_equal(picture, expected)


def damaged_contents():
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    jpeg, png = encode(noise, "JPEG"), encode(noise, "PNG")
    return {
        "empty": (b"", "empty"),
        "truncated jpeg": (jpeg[: len(jpeg) // 2], "damaged"),
        "truncated png": (png[: len(png) // 2], "damaged"),
        "a jpeg's first bytes": (jpeg[:20], ""),
        "random": (random.bytes(3000), "no picture"),
        "text": (b"This is not a picture at all.\n" * 20, "no picture"),
        "zeros": (bytes(5000), "no picture"),
    }


@pytest.mark.parametrize(("data", "reason"), damaged_contents().values(), ids=damaged_contents().keys())
def test_a_file_that_is_no_picture_is_named_with_its_reason(tmp_path, data, reason):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageReadError) as raised:
        read_image(path)
    assert reason in raised.value.reason
    assert str(path) in str(raised.value)
    assert raised.value.reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not raised.value.transient


def test_a_stream_that_is_no_picture_is_named_too(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_bytes(b"words")
    with path.open("rb") as stream, pytest.raises(ImageReadError, match=r"notes\.jpg"):
        read_image(stream)
    with pytest.raises(ImageReadError, match="the picture"):
        read_image(b"words")


def test_a_missing_file_is_no_damage(tmp_path):
    with pytest.raises(ImageReadError, match=r"gone\.jpg: there is no such file") as raised:
        read_image(tmp_path / "gone.jpg")
    assert raised.value.transient


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ImageReadError, match="it is a folder") as raised:
        read_image(tmp_path)
    assert not raised.value.transient


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    raised = []

    def read():
        try:
            read_image(pipe)
        except ImageReadError as error:
            raised.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(GUARD_SECONDS)
    assert not reader.is_alive()
    assert "not a regular file" in str(raised[0])


def test_a_file_that_may_not_be_read_is_told_from_a_damaged_one(tmp_path, monkeypatch):
    path = tmp_path / "private.jpg"
    path.write_bytes(b"x")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(contents, "open_regular", refuse)
    with pytest.raises(ImageReadError, match="permission denied") as raised:
        read_bytes(path)
    assert raised.value.transient


def test_more_pixels_than_the_limit_are_refused():
    assert read_image(encode(Image.new("L", (1000, 1000)), "PNG"), max_pixels=1_000_000).shape == (1000, 1000, 3)
    with pytest.raises(ImageReadError, match="1001 x 1000 pixels are more than 1 megapixels"):
        read_image(encode(Image.new("L", (1001, 1000)), "PNG"), max_pixels=1_000_000)
    with pytest.raises(ImageReadError, match=r"40 x 30 pixels are more than 0\.001 megapixels"):
        open_image(encode(Image.new("L", (40, 30)), "PNG"), max_pixels=1_000)


def png_without_pixels(width, height):
    """A grey PNG that promises pixels and has none."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_header_that_promises_gigabytes_is_refused_before_they_are_taken():
    with pytest.raises(ImageReadError, match="100000 x 100000 pixels are more than 250 megapixels"):
        read_image(png_without_pixels(100_000, 100_000))


def test_the_limit_of_pillow_itself_is_not_in_the_way():
    with pytest.raises(ImageReadError) as raised:  # for want of pixels; Pillow sees an attack in that many
        read_image(png_without_pixels(15_000, 12_500))
    assert "bomb" not in str(raised.value)
    assert "megapixels" not in str(raised.value)


@pytest.mark.parametrize(
    ("size", "at_least", "expected"),
    [
        ((1600, 1200), 512, (800, 600)),
        ((1600, 1200), 300, (400, 300)),
        ((1600, 1200), 150, (200, 150)),
        ((1600, 1200), 151, (400, 300)),
        ((1600, 1200), 601, (1600, 1200)),
        ((1600, 1200), 5000, (1600, 1200)),
        ((1200, 1600), 300, (300, 400)),
        ((1602, 1200), 150, (201, 150)),  # the last column shows a quarter of the others
        ((1600, 1201), 512, (800, 601)),
    ],
)
def test_a_reduced_decode_keeps_the_pixels_that_were_asked_for(draw_picture, size, at_least, expected):
    data = encode(draw_picture(7).resize(size), "JPEG")
    image, box = decode_reduced(data, name="x.jpg", at_least=at_least)
    assert image.size == expected
    divisor = round(size[0] / expected[0])
    assert box == (0, 0, size[0] / divisor, size[1] / divisor)
    assert decode(data, name="x.jpg").size == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_turns_with_the_picture(orientation):
    """Of 1003 x 805 pixels decoded at a quarter, the outermost right column and lowest row are only part of one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.new("RGB", (1003, 805)), "JPEG", exif=exif.tobytes())
    image, box = decode_reduced(data, name="x.jpg", at_least=200)
    far, low = 1003 / 4, 805 / 4
    right, down = (251 - far, 0, 251, low), (0, 202 - low, far, 202)
    both = (251 - far, 202 - low, 251, 202)
    stored = {1: (0, 0, far, low), 2: right, 3: both, 4: down, 5: (0, 0, far, low), 6: down, 7: both, 8: right}
    expected = stored[orientation]
    if orientation > 4:
        expected = (expected[1], expected[0], expected[3], expected[2])
    assert box == expected
    assert image.size == ((251, 202) if orientation <= 4 else (202, 251))


def test_only_jpeg_is_decoded_at_a_reduced_size(draw_picture):
    data = encode(draw_picture(8, (800, 600)), "PNG")
    image, box = decode_reduced(data, name="x.png", at_least=64)
    assert (image.size, box) == ((800, 600), (0, 0, 800, 600))
