"""Decoding in processes of their own: a decoder that crashes or hangs costs one file, not the run."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.cli import cli
from cbir.errors import DecodersError, ImageReadError
from cbir.images import isolated, safely
from cbir.images.budget import Budget
from cbir.images.fitted import Fitted
from cbir.images.isolated import Decoders
from cbir.images.pipe import Wanted
from cbir.images.previews import thumbnails
from cbir.images.read import decode, decode_with_size, read_views
from cbir.images.views import Viewed
from cbir.images.watch import Watch
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from cbir.utils import stopping
from tests.helpers.graph_files import write as write_detector
from tests.helpers.waiting import GUARD_SECONDS, wait_for

Fit = Callable[[bytes, str], np.ndarray]

# A child whose decoder dies of some contents and never comes back from others, as broken C libraries do.
BROKEN_CHILD = """
import sys
sys.path[:] = sys.argv[1].split("\\n")
import os, time
import cbir.images.child as child
def broken(real):
    def read(data, *arguments, **options):
        if data == b"crash":
            os.abort()
        if data == b"hang":
            time.sleep(1000)
        if data == b"compute":
            while True:
                pass
        return real(data, *arguments, **options)
    return read
child.read_views = broken(child.read_views)
child.decode_with_size = broken(child.decode_with_size)
child.main()
"""


def pixels_of(viewed: Viewed) -> np.ndarray:
    return viewed.arrays["fitted"]["pixels"]


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    some = Decoders(1, Budget(1 << 30))
    yield some
    some.close()


@pytest.fixture
def fit(decoders: Decoders, bundled: Backbone) -> Fit:
    return lambda data, name: pixels_of(decoders.view(data, name, Wanted((Fitted(bundled.preprocessing),))))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_CHILD", BROKEN_CHILD)
    monkeypatch.setattr(isolated, "TIMEOUT_SECONDS", 5)  # a child of a busy machine takes two seconds to begin


def test_it_fits_as_this_process_would(fit: Fit, photo_folder: Callable, bundled: Backbone) -> None:
    for path in sorted(photo_folder(3).iterdir()):
        data = path.read_bytes()
        here = pixels_of(read_views(data, [Fitted(bundled.preprocessing)], name="x"))
        assert np.array_equal(fit(data, "x"), here)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut"])
def test_refusals_are_the_same(fit: Fit, data: bytes) -> None:
    with pytest.raises(ImageReadError) as here:
        decode(data, name="caf\udce9.jpg")
    with pytest.raises(ImageReadError) as there:
        fit(data, "caf\udce9.jpg")
    assert str(there.value) == str(here.value)
    assert there.value.reason == here.value.reason


@pytest.mark.skipif(sys.platform == "win32", reason="signals have no names there")
def test_a_crash_and_a_hang_cost_one_file_each(fit: Fit, broken: None, photo_folder: Callable) -> None:
    good = (photo_folder(1) / "img_000.jpg").read_bytes()
    overdue = "decoding it took more than 5 seconds"
    for bad, reason in ((b"crash", "its decoder crashed (SIGABRT)"), (b"hang", overdue), (b"compute", overdue)):
        with pytest.raises(ImageReadError) as caught:
            fit(bad, "bad.jpg")
        assert caught.value.reason == reason
        assert fit(good, "good.jpg").shape == (224, 224, 3)


def test_a_run_goes_on_past_files_that_kill_or_stall_a_decoder(broken: None, photo_folder: Callable) -> None:
    root = photo_folder(30)
    for number in range(4):
        (root / f"img_00{number}.crash.jpg").write_bytes(b"crash")
    (root / "img_010.hang.jpg").write_bytes(b"hang")
    report, _ = build_index(choose_target(root))
    assert report.added == report.total == 30
    # the same content is not tried again and again, but each of its files is told
    assert [path for path, reason in report.skipped if "crashed" in reason or "took more" in reason] == [
        *(f"img_00{number}.crash.jpg" for number in range(4)),
        "img_010.hang.jpg",
    ]


def test_a_module_in_the_current_folder_is_not_imported(
    fit: Fit, photo_folder: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(1)
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    (tmp_path / "numpy.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert fit((root / "img_000.jpg").read_bytes(), "x").shape == (224, 224, 3)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_the_child_ends_with_a_parent_that_is_killed(photo_folder: Callable) -> None:
    code = """
import sys, time
from cbir.backbones.backbone import describe
from cbir.images.budget import Budget
from cbir.images.fitted import Fitted
from cbir.images.pipe import Wanted
from cbir.images.isolated import Decoders
from cbir.utils import stopping
decoders = Decoders(1, Budget(1 << 30))
decoders.view(open(sys.argv[1], "rb").read(), "x", Wanted((Fitted(describe("efficientnet_lite0").preprocessing),)))
print(*[child.pid for child in stopping.children], flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code, photo_folder(1) / "img_000.jpg"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)  # it is there
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not _is_running(child))


def _is_running(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def hanging(broken: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file on which a decoder never comes back; and whatever commands started for it is ended."""
    monkeypatch.setattr(isolated, "TIMEOUT_SECONDS", 2)
    path = tmp_path / "hang.jpg"
    path.write_bytes(b"hang")
    # those of an earlier test have decoders that are whole
    _end_decoders()
    yield path
    _end_decoders()


def _end_decoders() -> None:
    while safely._decoders:
        safely._decoders.pop().close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "{bad}", "--index", "photos"),
        ("search", "{good}", "--unlike", "{bad}", "--index", "photos"),
        ("search", "{bad}", "--region", "1,1,9,9", "--index", "photos"),
        ("tags", "{bad}"),
        ("segment", "{bad}", "{good}", "--out", "{out}"),
        ("locate", "{bad}", "{good}"),
        ("locate", "{good}", "{bad}"),
        ("detect", "{bad}", "--weights", "{detector}"),
        ("detect", "{good}", "{bad}", "--weights", "{detector}"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_every_command_has_the_limit(
    hanging: Path, photo_folder: Callable, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    root = photo_folder(3)
    build_index(choose_target(root, "photos"))
    names = {"bad": hanging, "good": root / "img_000.jpg", "out": tmp_path / "out", "detector": tmp_path / "some.onnx"}
    write_detector(names["detector"], "yolox")
    result = CliRunner().invoke(cli, [argument.format(**names) for argument in arguments])
    assert result.exit_code == 1, result.output
    assert f"Cannot read {hanging}: decoding it took more than 2 seconds." in result.stderr


def test_a_report_shows_why_a_picture_took_too_long(hanging: Path) -> None:
    ((_, made),) = thumbnails([hanging], 100)
    assert (made.image, made.problem) == (None, "decoding it took more than 2 seconds")


@pytest.mark.parametrize("at_least", [None, 100])
def test_whole_pictures_come_as_they_would_here(
    decoders: Decoders, photo_folder: Callable, at_least: int | None
) -> None:
    data = (photo_folder(1, size=(1201, 901)) / "img_000.jpg").read_bytes()
    image, box, size = decoders.picture(data, "x", Wanted(at_least=at_least))
    here = decode_with_size(data, name="x", at_least=at_least)
    assert (box, size) == here[1:]
    assert np.array_equal(np.asarray(image), np.asarray(here[0]))


def test_pictures_for_which_there_is_no_memory_cost_none(decoders: Decoders, fit: Fit, photo_folder: Callable) -> None:
    good = (photo_folder(1) / "img_000.jpg").read_bytes()
    buffer = io.BytesIO()
    Image.new("RGB", (9000, 9000)).save(buffer, "PNG", compress_level=1)
    fit(good, "good.jpg")
    children = set(stopping.children)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoders._budget, "total", 200 << 20)
        with pytest.raises(ImageReadError, match=r"it would take 0.\d+ GB of memory, and there are 0.21 GB") as caught:
            fit(buffer.getvalue(), "large.png")
    assert caught.value.transient
    assert fit(good, "good.jpg").shape == (224, 224, 3)
    assert set(stopping.children) == children  # the same process goes on
    assert fit(buffer.getvalue(), "large.png").shape == (224, 224, 3)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_a_process_that_is_stopped_is_not_overdue() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        watch = Watch(busy, 1.0)
        try:
            with watch:
                busy.send_signal(signal.SIGSTOP)
                time.sleep(3)
                assert not watch.is_overdue
                busy.send_signal(signal.SIGCONT)
                assert busy.wait(GUARD_SECONDS) == -signal.SIGKILL
            assert watch.is_overdue
        finally:
            watch.stop()
            busy.kill()


def test_where_no_process_can_be_had_a_sentence_says_so(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_CHILD", "raise SystemExit(7)")
    with pytest.raises(DecodersError, match=r"No process can be started .*\(exit code 7\).*ulimit"):
        fit(b"x", "x.jpg")


def test_fewer_processes_do_the_work_where_the_system_allows_no_more(
    photo_folder: Callable, bundled: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, started = isolated._start_process, []

    def start() -> subprocess.Popen[bytes]:
        started.append(True)
        if len(started) > 1:
            raise DecodersError("no more")
        return real()

    monkeypatch.setattr(isolated, "_start_process", start)
    files = [path.read_bytes() for path in sorted(photo_folder(12).iterdir())]
    some, wanted = Decoders(4, Budget(1 << 30)), Wanted((Fitted(bundled.preprocessing),))
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda data: pixels_of(some.view(data, "x", wanted)).shape, files))
    finally:
        some.close()
    assert found == [(224, 224, 3)] * 12
    assert 2 <= len(started) <= 4
