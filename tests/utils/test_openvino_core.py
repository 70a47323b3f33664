"""A processor with AMX has OpenVINO ask for a stack of its own for signals, on which Python's handlers have no room."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import openvino
import pytest
from openvino import opset14

from cbir.utils import openvino_core
from cbir.utils.openvino_core import compile_network, open_core, signal_stack
from tests.helpers.waiting import GUARD_SECONDS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signal stacks are told by Linux alone")


def test_the_stack_of_signals_is_as_it_was() -> None:
    before = signal_stack()
    core = open_core()
    after = signal_stack()
    assert before is not None
    assert after is not None
    assert (before.start, before.flags, before.size) == (after.start, after.flags, after.size)
    assert core.available_devices


def test_a_network_that_does_not_fit_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.zeros((1 << 20, 4), dtype=np.float32)
    images = opset14.parameter([1, 4], np.float32)
    model = openvino.Model([opset14.matmul(images, numbers, False, True)], [images], "large")
    core = open_core()
    asked: list[int] = []
    monkeypatch.setattr(openvino_core, "check_room", asked.append)
    compile_network(core, model, {})
    assert asked[-1] >= 3 * numbers.nbytes

    def refuse(needed: int, **others: object) -> None:
        raise MemoryError

    monkeypatch.setattr(openvino_core, "check_room", refuse)
    with pytest.raises(MemoryError):
        compile_network(core, model, {})


def test_a_process_without_room_for_it_is_told_so() -> None:
    child = """
import resource
import openvino
from pathlib import Path
from cbir.utils.openvino_core import open_core
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (150 << 20), resource.RLIM_INFINITY))
try:
    open_core()
except MemoryError:
    print("no room")
"""
    done = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, check=False, timeout=GUARD_SECONDS
    )
    assert (done.stdout, done.returncode) == ("no room\n", 0), done.stderr
