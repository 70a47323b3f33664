"""What long-running commands ask of the system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Four threads take memory at the same time, then glibc tells its heaps.
_PROGRAM = """
import ctypes, sys, threading
from cbir.cli.terminal.runs import use_one_heap

libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    sys.exit(3)
if sys.argv[1] == "one":
    use_one_heap()
together = threading.Barrier(4)

def work():
    together.wait()
    kept = [bytes(3000) for _ in range(3000)]
    together.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


def heaps(how: str, file: Path) -> int:
    unset = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", _PROGRAM, how, str(file)], check=False, env=unset)
    if done.returncode == 3:
        pytest.skip("this system's memory is not glibc's")
    assert done.returncode == 0
    return file.read_text().count("<heap ")


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_threads_share_one_heap(tmp_path: Path) -> None:
    assert heaps("one", tmp_path / "one") == 1
    assert heaps("many", tmp_path / "many") > 1
