"""Raw photos and JPEG XL are read with their extras, and told where these are missing."""

from __future__ import annotations

import importlib
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cbir.cli import cli
from cbir.errors import ImageReadError
from cbir.extract.extractor import Extractor
from cbir.images.formats import jxl, suffixes
from cbir.images.formats.raw import is_raw
from cbir.images.read import open_image, read_image
from cbir.images.source import NamedImage
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target

rawpy = pytest.importorskip("rawpy")
pillow_jxl = pytest.importorskip("pillow_jxl")

Draw = Callable[..., Image.Image]

# XYZ to the colours of a camera that sees just what sRGB has
MATRIX = (32405, -15372, -4985, -9693, 18760, 416, 556, -2040, 10572)


def dng(picture: Image.Image, *, turn: int = 1, preview: bytes = b"") -> bytes:
    """A raw photo as a camera writes it, a DNG: what a sensor behind red, green and blue filters sees of a picture.

    With a `preview`, a JPEG, this is the first picture in the file, and the sensor's comes behind it.
    """
    linear = (np.asarray(picture.convert("RGB")) / 255.0) ** 2.2
    seen = (linear * 60_000).astype("<u2")
    height, width = seen.shape[:2]
    mosaic = np.empty((height, width), dtype="<u2")
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = seen[row::2, column::2, colour]
    rational = b"".join(struct.pack("<ii", value, 10_000) for value in MATRIX)
    ones = struct.pack("<IIIIII", *[1, 1] * 3)
    common: dict[int, tuple[int, int, bytes]] = {
        274: (3, 1, struct.pack("<H", turn)),
        50706: (1, 4, bytes([1, 4, 0, 0])),
        50708: (2, 5, b"Made\0"),
        50721: (10, 9, rational),
        50728: (5, 3, ones),
        50778: (3, 1, struct.pack("<H", 21)),
    }
    pixels = mosaic.tobytes()
    own: dict[int, tuple[int, int, bytes]] = {
        254: (4, 1, struct.pack("<I", 0)),
        256: (4, 1, struct.pack("<I", width)),
        257: (4, 1, struct.pack("<I", height)),
        258: (3, 1, struct.pack("<H", 16)),
        259: (3, 1, struct.pack("<H", 1)),
        262: (3, 1, struct.pack("<H", 32803)),
        277: (3, 1, struct.pack("<H", 1)),
        278: (4, 1, struct.pack("<I", height)),
        279: (4, 1, struct.pack("<I", len(pixels))),
        33421: (3, 2, struct.pack("<HH", 2, 2)),
        33422: (1, 4, bytes([0, 1, 1, 2])),
        50717: (4, 1, struct.pack("<I", 60_000)),
    }
    if not preview:
        start = 8
        body, own[273] = pixels, (4, 1, struct.pack("<I", start))
        return _tiff(body, [{**common, **own}])
    small = Image.open(io.BytesIO(preview))
    body = preview + bytes(len(preview) % 2)
    own[273] = (4, 1, struct.pack("<I", 8 + len(body)))
    first: dict[int, tuple[int, int, bytes]] = {
        254: (4, 1, struct.pack("<I", 1)),
        256: (4, 1, struct.pack("<I", small.width)),
        257: (4, 1, struct.pack("<I", small.height)),
        258: (3, 3, struct.pack("<HHH", 8, 8, 8)),
        259: (3, 1, struct.pack("<H", 7)),
        262: (3, 1, struct.pack("<H", 6)),
        273: (4, 1, struct.pack("<I", 8)),
        277: (3, 1, struct.pack("<H", 3)),
        278: (4, 1, struct.pack("<I", small.height)),
        279: (4, 1, struct.pack("<I", len(preview))),
        330: (4, 1, b""),
    }
    return _tiff(body + pixels, [{**common, **first}, own])


def _tiff(body: bytes, folders: list[dict[int, tuple[int, int, bytes]]]) -> bytes:
    """A TIFF whose pixels are `body`, from byte 8 on; the second folder is below the first."""
    written = bytearray(body)
    start = 0
    for folder in reversed(folders):
        if 330 in folder:
            folder[330] = (4, 1, struct.pack("<I", start))
        entries = []
        for tag, (kind, count, value) in sorted(folder.items()):
            if len(value) > 4:
                where = 8 + len(written)
                written += value + bytes(len(value) % 2)
                value = struct.pack("<I", where)
            entries.append(struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0"))
        start = 8 + len(written)
        written += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
        written += bytes(len(written) % 2)
    return b"II*\0" + struct.pack("<I", start) + bytes(written)


def jpeg(picture: Image.Image, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92, **settings)
    return buffer.getvalue()


def jpeg_xl(picture: Image.Image, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JXL", **settings)
    return buffer.getvalue()


def alike(extractor: Extractor, one: bytes, other: Image.Image, name: str = "a") -> float:
    twin = io.BytesIO()
    other.save(twin, "PNG")
    return float(extractor.feature(NamedImage(one, name)) @ extractor.feature(twin.getvalue()))


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that takes extras away."""

    def take_away(*packages: str) -> None:
        real_find, real_import = suffixes.find_spec, importlib.import_module

        def find(name: str) -> Any:
            return None if name in packages else real_find(name)

        def load(name: str, package: str | None = None) -> Any:
            if name in packages:
                raise ModuleNotFoundError(name)
            return real_import(name, package)

        monkeypatch.setattr(suffixes, "find_spec", find)
        monkeypatch.setattr(importlib, "import_module", load)
        suffixes.picture_suffixes.cache_clear()
        jxl._register.cache_clear()

    yield take_away  # type: ignore[misc]
    suffixes.picture_suffixes.cache_clear()
    jxl._register.cache_clear()


def test_a_raw_photo_without_a_preview_is_read_from_its_own_pixels(draw_picture: Draw, extractor: Extractor) -> None:
    picture = draw_picture(3, (800, 600))
    assert open_image(dng(picture)).size == (400, 300)
    assert alike(extractor, dng(picture), picture) > 0.9


@pytest.mark.parametrize(("turn", "how"), [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_270)])
@pytest.mark.parametrize("with_preview", [False, True])
def test_a_raw_photo_stands_upright(
    draw_picture: Draw, extractor: Extractor, turn: int, how: Image.Transpose, with_preview: bool
) -> None:
    picture = draw_picture(4, (1200, 900))
    upright = picture.transpose(how)
    data = dng(picture, turn=turn, preview=jpeg(picture) if with_preview else b"")
    size = upright.size if with_preview else (upright.width // 2, upright.height // 2)
    assert open_image(data).size == size
    assert alike(extractor, data, upright) > 0.9


def test_a_preview_that_was_turned_or_says_so_itself_is_turned_once(draw_picture: Draw) -> None:
    picture = draw_picture(4, (1200, 900))
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    exif = Image.Exif()
    exif[0x0112] = 6
    for preview in (jpeg(upright), jpeg(picture, exif=exif)):
        found = np.asarray(open_image(dng(picture, turn=6, preview=preview)), dtype=float)
        assert np.abs(found - np.asarray(upright, dtype=float)).mean() < 8


def test_a_large_preview_is_taken_and_a_small_one_is_not(draw_picture: Draw) -> None:
    picture, other = draw_picture(1, (2400, 1600)), Image.new("RGB", (1080, 720), "red")
    assert open_image(dng(picture, preview=jpeg(other))).size == (1080, 720)
    assert open_image(dng(picture, preview=jpeg(other.resize((160, 107))))).size == (1200, 800)
    small = draw_picture(1, (300, 200))
    assert open_image(dng(small, preview=jpeg(other.resize((150, 100))))).size == (150, 100)


def test_a_raw_photo_is_known_by_its_content_and_by_its_name(draw_picture: Draw) -> None:
    data = dng(draw_picture(1))
    assert is_raw(data, "photo")
    assert is_raw(b"", "A.NEF")
    assert is_raw(b"II*\0\x10\0\0\0CR\2\0", "photo")
    assert is_raw(b"\0\0\0\x18ftypcrx \0\0", "photo")
    assert not is_raw(jpeg(draw_picture(1)), "a.jpg")
    assert not is_raw(b"II*\0\xff\xff\xff\xff", "a.tif")
    assert not is_raw(b"II*\0", "a.tif")


@pytest.mark.parametrize("name", ["DSC_0001.NEF", "IMG_0002.DNG", "IMG_0003.CR2"])
def test_a_tiff_with_a_raw_photos_name_is_read_as_one(draw_picture: Draw, tmp_path: Path, name: str) -> None:
    picture = draw_picture(7)
    picture.save(tmp_path / name, "TIFF")
    assert np.array_equal(read_image(tmp_path / name), np.asarray(picture))


def test_broken_raw_photos_are_refused_or_read_as_far_as_they_go(draw_picture: Draw) -> None:
    picture = draw_picture(2, (600, 400))
    data = dng(picture, preview=jpeg(picture))
    chance = np.random.default_rng(5)
    for number in range(60):
        broken = bytearray(data if number % 2 else dng(picture))
        for place in (
            chance.integers(0, len(broken), 4) if number % 3 else chance.integers(len(broken) - 600, len(broken), 3)
        ):
            broken[place] = chance.integers(256)
        for cut in (bytes(broken), bytes(broken[: int(chance.integers(8, len(broken)))])):
            try:
                assert min(open_image(cut, max_pixels=10**7).size) > 0
            except ImageReadError:
                continue
    for name in ("a.nef", "a.cr3", "a.raf"):
        with pytest.raises(ImageReadError):
            open_named(b"nothing" * 100, name)


def open_named(data: bytes, name: str) -> Image.Image:
    file = io.BytesIO(data)
    file.name = name  # type: ignore[attr-defined]
    return open_image(file)


def test_a_raw_photo_of_too_many_pixels_is_refused_before_it_is_decoded(draw_picture: Draw) -> None:
    data = dng(draw_picture(2, (800, 600)))
    with pytest.raises(ImageReadError, match="pixels are more than"):
        open_image(data, max_pixels=100_000)


def test_raw_photos_are_indexed_with_the_extra_and_counted_without(
    draw_picture: Draw, tmp_path: Path, without: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    draw_picture(1).save(root / "a.jpg")
    (root / "b.NEF").write_bytes(dng(draw_picture(2, (800, 600))))
    (root / "c.dng").write_bytes(dng(draw_picture(3, (800, 600))))
    (root / "d.jxl").write_bytes(jpeg_xl(draw_picture(4)))
    without("rawpy", "pillow_jxl")
    result = CliRunner().invoke(cli, ["index", str(root)])
    assert "photos: 1 picture (1 added)" in result.stdout
    line = (
        "left out: 2 raw photos (DNG, NEF: install cbir[raw] to have them read), 1 JPEG XL picture (install cbir[jxl]"
    )
    assert line in result.stderr
    # here, where the extra is missing, and not in a process that has it
    monkeypatch.setattr("cbir.images.safely.is_ordinary", lambda data: True)
    query = CliRunner().invoke(cli, ["search", str(root / "d.jxl"), "--index", "photos"])
    assert query.exit_code != 0
    assert "install cbir[jxl]" in query.stderr


def test_with_the_extras_they_are_pictures_like_others(draw_picture: Draw, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    draw_picture(1).save(root / "a.jpg")
    (root / "b.NEF").write_bytes(dng(draw_picture(2, (800, 600))))
    (root / "c.jxl").write_bytes(jpeg_xl(draw_picture(4)))
    (root / "no_ending").write_bytes(jpeg_xl(draw_picture(5)))
    report, _ = build_index(choose_target(root, "photos"), Options())
    assert (report.added, report.skipped, bool(report.left_out)) == (4, [], False)
    found = CliRunner().invoke(cli, ["search", str(root / "b.NEF"), "--index", "photos", "--format", "json"])
    assert {Path(match["path"]).name for match in json.loads(found.stdout)["matches"]} == {
        "a.jpg",
        "c.jxl",
        "no_ending",
    }


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_jpeg_xl_is_read_as_its_twin(draw_picture: Draw, extractor: Extractor, mode: str) -> None:
    picture = draw_picture(6, (300, 200)).convert(mode)
    assert alike(extractor, jpeg_xl(picture, lossless=True), picture) > 0.99


def test_what_exif_says_of_a_turn_that_a_decoder_has_made_does_not_count(draw_picture: Draw) -> None:
    picture = draw_picture(6, (300, 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_image(jpeg_xl(picture, exif=exif.tobytes())).size == (300, 200)


@pytest.mark.parametrize(
    "size",
    [(8, 8), (256, 256), (300, 200), (1, 1), (640, 480), (1920, 1080), (33, 1000), (1000, 33), (9000, 20), (512, 256)],
)
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_a_jpeg_xl_is_known_from_its_header(size: tuple[int, int], container: bool) -> None:
    data = jpeg_xl(Image.new("RGB", size, "green"), effort=1, use_container=container)
    assert jxl.size_of(data) == size


def test_a_jpeg_xl_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    data = jpeg_xl(Image.new("RGB", (3000, 2000), "green"), effort=1)
    with pytest.raises(ImageReadError, match="are more than 1 megapixels"):
        open_image(data, max_pixels=1_000_000)
    # 2^30 by 2^30 pixels in a file of a few bytes
    bits = 0 | 3 << 1 | (2**30 - 1) << 3 | 0 << 33 | 3 << 36 | (2**30 - 1) << 38
    with pytest.raises(ImageReadError, match="pixels are more than"):
        open_image(b"\xff\x0a" + bits.to_bytes(12, "little") + bytes(100))


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n", b"\xff\x0a" + bytes(300)])
def test_broken_jpeg_xl_is_refused(data: bytes) -> None:
    with pytest.raises(ImageReadError):
        open_image(data)
