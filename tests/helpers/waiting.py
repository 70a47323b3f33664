"""Waiting for what a test is about, instead of sleeping for a while and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Long enough for a machine that does ten other things; only what hangs takes so long.
GUARD_SECONDS = 120.0

#: What is to come within two seconds comes within these on such a machine; benchmarks hold the two.
SOON_SECONDS = 15.0


def wait_for(what: Callable[[], object], *, while_: Callable[[], object] = lambda: True, told: str = "") -> None:
    """Return when `what` is true, or `while_` no more; AssertionError with what was `told` where nothing happens."""
    deadline = time.monotonic() + GUARD_SECONDS
    while not what() and while_():
        assert time.monotonic() < deadline, told or "waited in vain"
        time.sleep(0.005)
