"""What is looked at before a picture file is read, and what is no ordinary picture."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cbir.errors import ImageReadError
from cbir.images import budget, contents
from cbir.images.budget import Budget, Share
from cbir.images.contents import read_bytes
from cbir.images.ordinary import is_ordinary
from tests.helpers.waiting import GUARD_SECONDS

Draw = Callable[..., Image.Image]


@pytest.mark.parametrize(
    ("name", "head", "size", "reason"),
    [
        ("film.jpg", b"\0\0\0\x18ftypmp42", 900_000_000, "it is no picture in a known format"),
        ("film.jpg", b"\0\0\0\x18ftypmp42", 2_000_000_000, "its 2.0 GB are more than a picture file may have (1 GB)"),
        ("slide.tif", b"II*\0\x08\0\0\0", 2_000_000_000, "its 2.0 GB are more than a picture file may have (1 GB)"),
        ("giant.jpg", b"\xff\xd8\xff\xe0", (4 << 30) + 4096, "its 4.3 GB are more than a picture file may have (1 GB)"),
        ("sparse.png", b"\x89PNG\r\n\x1a\n", 20 << 30, "its 21.5 GB are more than a picture file may have (1 GB)"),
    ],
)
def test_what_is_no_picture_or_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: bytes, size: int, reason: str
) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    opened, real = [], contents.open_regular

    def counted(path: Path) -> io.BytesIO:
        opened.append(_Counted(real(path)))
        return opened[-1]

    monkeypatch.setattr(contents, "open_regular", counted)
    with pytest.raises(ImageReadError) as caught:
        read_bytes(path)
    assert (caught.value.reason, caught.value.transient) == (reason, False)
    assert sum(one.count for one in opened) <= 100


class _Counted:
    """A file, and how many bytes were asked of it."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self.count = file, 0

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, count: int) -> bytes:
        self.count += count
        return self._file.read(count)

    def seek(self, place: int) -> int:
        return self._file.seek(place)


def test_a_large_file_without_a_mark_is_read_where_its_name_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_LARGE", 10)
    picture = io.BytesIO()
    Image.new("RGB", (9, 9)).save(picture, "TGA")
    (tmp_path / "a.tga").write_bytes(picture.getvalue())
    (tmp_path / "a.jpg").write_bytes(picture.getvalue())
    assert read_bytes(tmp_path / "a.tga") == picture.getvalue()
    with pytest.raises(ImageReadError, match="no picture in a known format"):
        read_bytes(tmp_path / "a.jpg")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux's /proc")
@pytest.mark.parametrize("target", ["/proc/self/pagemap", "/proc/self/mem", "/proc/kmsg"])
def test_files_of_proc_that_never_end_are_not_begun(tmp_path: Path, target: str) -> None:
    (tmp_path / "a.jpg").symlink_to(target)
    with contextlib.suppress(ImageReadError):  # not everybody may open them
        assert read_bytes(tmp_path / "a.jpg") == b""


def test_a_file_that_grows_is_read_as_long_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "a.jpg", contents.open_regular
    path.write_bytes(b"begin")

    def grow(path: Path) -> object:
        file = real(path)
        status = os.stat(path)
        monkeypatch.setattr(contents.os, "fstat", lambda number: status)
        with path.open("ab") as more:
            more.write(b"and on")
        return file

    monkeypatch.setattr(contents, "open_regular", grow)
    assert read_bytes(path) == b"begin"


def test_a_budget_is_never_overdrawn_and_all_have_their_turn() -> None:
    whole, running, most = Budget(100), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        with Share(whole) as share:
            share.take(40, "x")
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.01)
            with lock:
                running[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert most == [2]
    with pytest.raises(ImageReadError, match="memory") as caught, Share(whole) as share:
        share.take(101, "x")
    assert caught.value.transient


def test_a_closed_budget_lets_nobody_wait() -> None:
    whole, ended = Budget(100), []

    def work() -> None:
        with pytest.raises(ImageReadError), Share(whole) as share:
            share.take(80, "x")
        ended.append(True)

    with Share(whole) as share:
        share.take(80, "y")
        thread = threading.Thread(target=work)
        thread.start()
        whole.close()
        thread.join(GUARD_SECONDS)
    assert ended == [True]


def test_the_memory_that_is_free_is_the_least_of_all_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget.available() > 0
    for name, value in (("_of_machine", 3 << 30), ("_of_group", 2 << 30), ("_of_process", None)):
        monkeypatch.setattr(budget, name, lambda value=value: value)
    assert budget.available() == 2 << 30
    for_decoding, for_contents = budget.budgets()
    assert for_decoding.total == 1 << 30
    assert for_contents.total < for_decoding.total


def jpeg(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def png(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_photos_are_ordinary(draw_picture: Draw) -> None:
    picture = draw_picture(1, (160, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert is_ordinary(jpeg(picture, exif=exif, icc_profile=b"x" * 70_000))
    assert is_ordinary(jpeg(picture, progressive=True))
    assert is_ordinary(jpeg(picture.convert("L")))
    assert is_ordinary(png(picture))
    assert is_ordinary(png(picture.convert("P"), transparency=3))


def test_what_may_take_long_is_not_ordinary(draw_picture: Draw) -> None:
    picture = draw_picture(1, (160, 120))
    photo, drawn = jpeg(picture), png(picture)
    frame = photo.index(b"\xff\xc0")
    large = photo[: frame + 5] + struct.pack(">HH", 60_000, 60_000) + photo[frame + 9 :]
    scan = photo.index(b"\xff\xda")
    assert not is_ordinary(large)
    assert not is_ordinary(jpeg(picture.convert("CMYK")))
    assert not is_ordinary(photo[:-2] + photo[scan:-2] * 100)
    assert not is_ordinary(photo[:2] + b"\xff\xe1\xff\xff" + bytes(0xFFFD) + (b"\xff\xe1\xff\xff" + bytes(0xFFFD)) * 80)
    assert not is_ordinary(photo[:2] + b"\xff" * 100_000)
    assert not is_ordinary(drawn[:16] + struct.pack(">II", 60_000, 60_000) + drawn[24:])
    assert not is_ordinary(drawn[:33] + struct.pack(">I4s", 4, b"zTXt") + bytes(8) + drawn[33:])
    assert not is_ordinary(drawn[:-12])
    for format_ in ("WEBP", "TIFF", "GIF", "BMP"):
        buffer = io.BytesIO()
        picture.save(buffer, format_)
        assert not is_ordinary(buffer.getvalue())
    for length in range(0, len(photo), 7):
        is_ordinary(photo[:length])
        is_ordinary(drawn[:length])
    assert not is_ordinary(b"")
