"""The date at which a photo was taken, whatever its EXIF holds."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from cbir.images.facts import facts_of
from cbir.images.notes import Taken, camera_of, moment_of, parse_date
from cbir.images.pipe import Wanted
from cbir.images.read import read_views
from cbir.images.views import Notes

MOMENT = 1_117_802_096  # 2005-06-03 12:34:56


def photo(
    fields: dict[int, str], further: dict[int, str] | None = None, kind: str = "JPEG", **options: object
) -> bytes:
    """Return a picture of 40 x 30 pixels with these fields of EXIF."""
    exif = Image.Exif()
    for tag, text in fields.items():
        exif[tag] = text
    if further:
        exif[0x8769] = further
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, kind, exif=exif.tobytes(), **options)
    return file.getvalue()


def taken(data: bytes) -> int | None:
    """Return what the view says of a picture."""
    seconds = read_views(data, [Taken()], name="photo").arrays["taken"]["seconds"]
    return int(seconds[0]) if seconds.size else None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_all_formats_tell_when_a_photo_was_taken(kind: str) -> None:
    assert taken(photo({}, {0x9003: "2005:06:03 12:34:56"}, kind)) == MOMENT


def test_heic_tells_it_too() -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener(thumbnails=False)
    assert taken(photo({}, {0x9003: "2005:06:03 12:34:56"}, "HEIF")) == MOMENT


def test_the_shutter_goes_before_the_scanner_and_the_program() -> None:
    late, later = "2010:01:01 00:00:00", "2020:01:01 00:00:00"
    assert taken(photo({0x0132: later}, {0x9003: "2005:06:03 12:34:56", 0x9004: late})) == MOMENT
    assert taken(photo({0x0132: later}, {0x9004: "2005:06:03 12:34:56"})) == MOMENT
    assert taken(photo({0x0132: "2005:06:03 12:34:56"})) == MOMENT
    assert taken(photo({0x0132: "2005:06:03 12:34:56"}, {0x9003: "0000:00:00 00:00:00", 0x9004: "    "})) == MOMENT


def test_xmp_and_the_text_of_a_png_count_where_exif_says_nothing() -> None:
    xmp = b'<x:xmpmeta><rdf:Description xmp:CreateDate="2005-06-03T12:34:56.78+02:00"/></x:xmpmeta>'
    assert taken(photo({}, xmp=xmp)) == MOMENT
    assert taken(photo({}, kind="WEBP", xmp=xmp)) == MOMENT
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Creation Time", "2005:06:03 12:34:56")
    assert taken(photo({}, kind="PNG", pnginfo=texts)) == MOMENT


def test_exif_behind_the_pixels_of_a_png_counts() -> None:
    data = photo({}, {0x9003: "2005:06:03 12:34:56"}, "PNG")
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    last = data.index(b"IEND") - 4
    assert taken(data[:at] + data[end:last] + data[at:end] + data[last:]) == MOMENT


@pytest.mark.parametrize(
    "text",
    ["", "0000:00:00 00:00:00", "0000:01:01 00:00:00", "9999:12:31 23:59:59", "2005:13:01 00:00:00", "2005:02:30 1:1:1",
     "2005:02:29 10:00:00", "2005:06:03 25:00:00", "x" * 200, "\x1b[2J", "2005:06:03", "1825:01:01 00:00:00"],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_date(text) is None
    assert taken(photo({0x0132: text}, {0x9003: text})) is None


def test_parts_of_seconds_and_zones_are_left() -> None:
    assert parse_date("2005:06:03 12:34:56.99+02:00") == parse_date("2005-06-03T12:34:56Z") == MOMENT
    assert parse_date("2005:06:03 12:34") == MOMENT - 56
    assert parse_date("2016:12:31 23:59:60") == parse_date("2016:12:31 23:59:59")


def block(entries: list[tuple[int, int, int, int]], count: int | None = None) -> bytes:
    """Return EXIF with one folder of entries: tag, type, length, value."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries) if count is None else count) + packed + bytes(4)


@pytest.mark.parametrize(
    "exif",
    [
        b"", b"I", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x00\x00\x00\x00", b"junk" * 100,
        block([(0x8769, 4, 1, 8)]),  # a folder within itself
        block([(0x8769, 4, 1, 0xFFFFFFFF)]),
        block([(0x0132, 2, 0xFFFFFFFF, 8), (0x9003, 2, 20, 0xFFFFFFF0)]),
        block([(0x0132, 7, 20, 8)]), block([(0x0132, 2, 20, 8)] * 65535), block([], 65535),
    ],
)  # fmt: skip
def test_strangers_exif_says_nothing_and_costs_nothing(exif: bytes) -> None:
    assert moment_of(Notes(exif)) is None
    assert camera_of(Notes(exif)).isascii()


def test_facts_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(photo({0x0112: 6, 0x010F: "Canon", 0x0110: "Canon EOS 5D"}, {0x9003: "2005:06:03 12:34:56"}))  # type: ignore[dict-item]
    facts = facts_of(path)
    assert (facts.taken, facts.camera, facts.format, facts.size) == (MOMENT, "Canon EOS 5D", "JPEG", (30, 40))
    plain = facts_of(photo({0x010F: "Sony", 0x0110: "A" * 200}, kind="PNG"))
    assert (plain.taken, plain.camera, plain.format, plain.size) == (None, "Sony " + "A" * 91, "PNG", (40, 30))


def test_a_view_of_notes_decodes_nothing() -> None:
    data = photo({}, {0x9003: "2005:06:03 12:34:56"})
    broken = data[:-20]  # its pixels are gone
    assert taken(broken) == MOMENT
    assert Wanted.load(Wanted((Taken(),)).encoded).views == (Taken(),)
