"""Decoding in processes of their own: a decoder that crashes or hangs costs one file, not the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.registry import Backbone
from cbir.build import build_index, choose_target
from cbir.errors import ImageReadError
from cbir.images import isolated
from cbir.images.isolated import IsolatedDecoder
from cbir.images.read import decode, read_fitted

# A child whose decoder dies of some contents and never comes back from others, as broken C libraries do.
BROKEN_CHILD = """
import sys
sys.path[:] = sys.argv[1].split("\\n")
import os, time
import cbir.images.isolated as isolated
def broken(real):
    def read(data, *arguments, **options):
        if data == b"crash":
            os.abort()
        if data == b"hang":
            time.sleep(1000)
        return real(data, *arguments, **options)
    return read
isolated.read_fitted = broken(isolated.read_fitted)
isolated.read_fitted_and_thumbnail = broken(isolated.read_fitted_and_thumbnail)
isolated.main(sys.argv[2])
"""


@pytest.fixture
def decoder(bundled: Backbone) -> Iterator[IsolatedDecoder]:
    one = IsolatedDecoder(bundled.preprocessing)
    yield one
    one.close()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_CHILD", BROKEN_CHILD)
    monkeypatch.setattr(isolated, "TIMEOUT_SECONDS", 5)  # a child of a busy machine takes two seconds to begin


def test_it_fits_as_this_process_would(decoder: IsolatedDecoder, photo_folder: Callable, bundled: Backbone) -> None:
    for path in sorted(photo_folder(3).iterdir()):
        data = path.read_bytes()
        here = read_fitted(data, bundled.preprocessing, name="x")
        assert np.array_equal(decoder.fit(data, "x"), here)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut"])
def test_refusals_are_the_same(decoder: IsolatedDecoder, data: bytes) -> None:
    with pytest.raises(ImageReadError) as here:
        decode(data, name="caf\udce9.jpg")
    with pytest.raises(ImageReadError) as there:
        decoder.fit(data, "caf\udce9.jpg")
    assert str(there.value) == str(here.value)
    assert there.value.reason == here.value.reason


@pytest.mark.skipif(sys.platform == "win32", reason="signals have no names there")
def test_a_crash_and_a_hang_cost_one_file_each(decoder: IsolatedDecoder, broken: None, photo_folder: Callable) -> None:
    good = (photo_folder(1) / "img_000.jpg").read_bytes()
    for bad, reason in ((b"crash", "its decoder crashed (SIGABRT)"), (b"hang", "decoding it took more than 5 seconds")):
        with pytest.raises(ImageReadError) as caught:
            decoder.fit(bad, "bad.jpg")
        assert caught.value.reason == reason
        assert decoder.fit(good, "good.jpg").shape == (224, 224, 3)


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
    decoder: IsolatedDecoder, photo_folder: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photo_folder(1)
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    (tmp_path / "numpy.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert decoder.fit((root / "img_000.jpg").read_bytes(), "x").shape == (224, 224, 3)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_the_child_ends_with_a_parent_that_is_killed(photo_folder: Callable) -> None:
    code = """
import sys, time
from cbir.backbones.registry import describe
from cbir.images.isolated import IsolatedDecoder
decoder = IsolatedDecoder(describe("efficientnet_lite0").preprocessing)
decoder.fit(open(sys.argv[1], "rb").read(), "x")
print(decoder._child.pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code, photo_folder(1) / "img_000.jpg"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)  # it is there
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _is_running(child):
        time.sleep(0.02)
    assert not _is_running(child)


def _is_running(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
