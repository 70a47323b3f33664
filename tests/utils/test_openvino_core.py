"""A processor with AMX has OpenVINO ask for a stack of its own for signals, on which Python's handlers have no room."""

from __future__ import annotations

import sys

import pytest

from cbir.utils.openvino_core import open_core, signal_stack

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signal stacks are told by Linux alone")


def test_the_stack_of_signals_is_as_it_was() -> None:
    before = signal_stack()
    core = open_core()
    after = signal_stack()
    assert before is not None
    assert after is not None
    assert (before.start, before.flags, before.size) == (after.start, after.flags, after.size)
    assert core.available_devices
