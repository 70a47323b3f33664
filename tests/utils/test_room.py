"""Room in a process's address space is asked for before libraries that fault without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.waiting import GUARD_SECONDS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is asked for on Linux alone")

_CHILD = """
import resource, sys
from pathlib import Path
from cbir.utils import room
room.usable_cores = lambda: int(sys.argv[2])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
try:
    room.check_room(int(sys.argv[1]) << 20, on_all_cores=len(sys.argv) > 3)
except MemoryError:
    print("none")
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("100", "8"), ""),
        (("250", "1"), "none\n"),
        (("100", "2", "all"), ""),
        (("100", "8", "all"), "none\n"),
    ],
)
def test_what_a_limit_leaves_is_enough_or_not(arguments: tuple[str, ...], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, check=False, timeout=GUARD_SECONDS
    )
    assert (done.stdout, done.returncode) == (told, 0), done.stderr
