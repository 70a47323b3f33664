"""Ctrl-C in the middle of a commit, and of taking a lock: the cases of other files, in a process of their own.

They send signals to their own process, which the libraries that other tests load into this one do not all survive.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.waiting import GUARD_SECONDS


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize(("name", "least"), [("interrupt_cases.py", 11), ("lock_cases.py", 1)])
def test_an_interrupted_commit_loses_and_doubles_nothing(name: str, least: int) -> None:
    cases = Path(__file__).with_name(name)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)]
    result = subprocess.run(
        command, capture_output=True, check=False, text=True, timeout=2 * GUARD_SECONDS, cwd=cases.parents[2]
    )
    assert result.returncode == 0, result.stdout + result.stderr
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed, result.stdout
    assert int(passed[1]) >= least
