"""A blank first frame or page does not stand for the picture, nor a thumbnail that comes first."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from cbir.images.formats import frames
from cbir.images.read import decode_reduced, read_image
from tests.helpers.sample_files import drawing, encode, heic_writer
from tests.helpers.tiff_files import joined, tiff_page

SIZE = (96, 64)
BLACK, WHITE = Image.new("RGB", SIZE), Image.new("RGB", SIZE, (255, 255, 255))

FORMATS = [
    ("GIF", {}),
    ("PNG", {}),
    ("WEBP", {"quality": 95}),
    ("TIFF", {}),
    pytest.param(
        "AVIF", {"quality": 95}, marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
    ),
    pytest.param(
        "HEIF", {"quality": 95}, marks=pytest.mark.skipif(not heic_writer(), reason="pillow-heif is not installed")
    ),
]


def difference(data, expected):
    picture = read_image(data)
    expected = np.asarray(expected.convert("RGB"))
    assert picture.shape == expected.shape
    return np.abs(picture.astype(int) - expected).mean()


def series(format_, first, *others, **options):
    return encode(first, format_, save_all=True, append_images=list(others), **options)


def shaded(share):
    return Image.blend(BLACK, drawing(SIZE), share)


@pytest.mark.parametrize("blank", [BLACK, WHITE, Image.new("RGB", SIZE, (0, 90, 200))], ids=["black", "white", "blue"])
@pytest.mark.parametrize(("format_", "options"), FORMATS)
def test_a_blank_first_frame_gives_way_to_the_next(format_, options, blank):
    assert difference(series(format_, blank, drawing(SIZE), **options), drawing(SIZE)) <= 6


@pytest.mark.parametrize(("format_", "options"), FORMATS[:3])
def test_of_a_picture_that_fades_in_the_whole_one_counts(format_, options):
    faded = [shaded(share) for share in (0, 0.02, 0.3, 0.7, 1, 1, 0.5)]
    assert difference(series(format_, *faded, **options), drawing(SIZE)) <= 6


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP"])
def test_a_transparent_first_frame_gives_way(format_):
    clear = Image.new("RGBA", SIZE)
    data = series(format_, clear, drawing(SIZE).convert("RGBA"), **({"lossless": True} if format_ == "WEBP" else {}))
    assert difference(data, drawing(SIZE)) <= 6


@pytest.mark.parametrize(("format_", "options"), FORMATS)
def test_a_first_frame_with_something_on_it_counts(format_, options):
    faint = Image.new("RGB", SIZE, (240, 240, 240))
    ImageDraw.Draw(faint).rectangle((10, 10, 50, 40), fill=(200, 200, 190))
    assert difference(series(format_, faint, drawing(SIZE), **options), faint) <= 4


@pytest.mark.parametrize(("format_", "options"), FORMATS)
def test_where_all_frames_are_blank_the_first_counts(format_, options):
    assert difference(series(format_, BLACK, WHITE, BLACK, **options), BLACK) <= 3


def test_the_still_picture_of_an_animated_png_counts():
    data = encode(
        drawing(SIZE), "PNG", save_all=True, default_image=True, append_images=[Image.new("RGB", SIZE), WHITE]
    )
    assert difference(data, drawing(SIZE)) == 0


def test_a_blank_still_picture_of_an_animated_png_gives_way():
    data = encode(WHITE, "PNG", save_all=True, default_image=True, append_images=[drawing(SIZE), WHITE])
    assert difference(data, drawing(SIZE)) == 0


def test_the_later_frames_of_an_mpo_are_not_looked_at():
    assert difference(series("MPO", WHITE, drawing(SIZE), quality=95), WHITE) <= 1


def test_a_blank_page_of_a_fax_gives_way():
    page = Image.new("1", (200, 280), 1)
    ImageDraw.Draw(page).text((20, 20), "To whom it may concern:\n" * 12, fill=0)
    blank = Image.new("1", (200, 280), 1)
    data = encode(blank, "TIFF", compression="group4", save_all=True, append_images=[page])
    assert difference(data, page) == 0


def samples(size=SIZE):
    return np.asarray(drawing(size))


def small():
    """A thumbnail that is squeezed, as cameras' are."""
    return np.asarray(drawing(SIZE).resize((40, 40)).transpose(Image.Transpose.FLIP_TOP_BOTTOM))


@pytest.mark.parametrize(
    "make",
    [
        lambda: joined(tiff_page(small(), 2, tags={254: (4, [1])}), tiff_page(samples(), 2)),
        lambda: joined(tiff_page(samples(), 2), tiff_page(small(), 2, tags={254: (4, [1])})),
        lambda: joined(tiff_page(small()[:20, :20], 2), tiff_page(samples(), 2)),
        lambda: joined(tiff_page(small(), 2, tags={254: (4, [1])}), tiff_page(samples().astype(np.uint16) * 257, 2)),
        lambda: joined(tiff_page(255 * np.ones_like(samples()), 2), tiff_page(samples().astype(np.uint16) * 257, 2)),
        lambda: joined(
            tiff_page(255 * np.ones_like(samples()), 2),
            tiff_page(small(), 2, tags={254: (4, [1])}),
            tiff_page(samples(), 2, planar=True),
        ),
        lambda: joined(tiff_page(np.zeros((64, 96, 1), np.uint16), 1), tiff_page(samples(), 2)),
    ],
    ids=[
        "a thumbnail that says so",
        "the picture before its thumbnail",
        "a thumbnail that does not say so",
        "a thumbnail before 16 bits",
        "a blank page before 16 bits",
        "a blank page and a thumbnail before planes",
        "a blank page of 16 bits",
    ],
)
def test_the_page_of_a_tiff_that_stands_for_it(make):
    assert difference(make(), drawing(SIZE)) <= 1


def test_a_tiff_of_thumbnails_only_is_read():
    data = tiff_page(samples(), 2, tags={254: (4, [1])})
    assert difference(data, drawing(SIZE)) == 0


def test_each_page_is_turned_as_it_says_itself():
    blank = tiff_page(255 * np.ones_like(samples()), 2)
    page = tiff_page(samples(), 2, tags={274: (3, [6])})
    image, _ = decode_reduced(joined(blank, page), name="x.tif", at_least=500)
    assert image.size == SIZE[::-1]


def test_a_broken_later_frame_costs_the_first_nothing():
    data = series("GIF", BLACK, drawing(SIZE))
    assert difference(data[: len(data) - 400], BLACK) == 0
    data = joined(tiff_page(255 * np.ones_like(samples()), 2), tiff_page(samples(), 2, tags={273: (4, [10**8])}))
    assert difference(data, WHITE) == 0


def test_pages_that_point_in_a_circle_have_an_end():
    data = bytearray(tiff_page(255 * np.ones_like(samples()), 2))
    begin = int.from_bytes(data[4:8], "little")
    link = begin + 2 + 12 * int.from_bytes(data[begin : begin + 2], "little")
    data[link : link + 4] = data[4:8]
    assert difference(bytes(data), WHITE) == 0


def test_an_animation_of_thousands_of_blank_frames_takes_no_longer_than_some():
    head = b"GIF89a" + (400).to_bytes(2, "little") * 2 + bytes([0x80, 0, 0]) + bytes(6)
    frame = b"\x2c" + bytes(4) + (1).to_bytes(2, "little") * 2 + b"\0\x02\x02\x44\x01\0"
    data = head + frame * 50_000 + b";"
    start = time.process_time()
    assert read_image(data).max() == 0
    assert time.process_time() - start < 2


def test_large_animations_are_not_looked_through(monkeypatch):
    monkeypatch.setattr(frames, "_LARGE", SIZE[0] * SIZE[1] - 1)
    assert difference(series("PNG", BLACK, drawing(SIZE)), BLACK) == 0


def test_all_ways_of_reading_take_the_same_frame():
    data = series("GIF", BLACK, drawing(SIZE))
    image, box = decode_reduced(data, name="x.gif", at_least=20)
    assert box == (0, 0, *SIZE)
    assert np.array_equal(np.asarray(image), read_image(data))
    assert Image.open(io.BytesIO(data)).n_frames == 2
