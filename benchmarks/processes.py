"""The memory of processes, as Linux counts it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Peaks:
    """The most private memory (RssAnon) of a command, in MB: of its own process, and of it and all below it at once."""

    own: float
    tree: float
    seconds: float


def is_supported() -> bool:
    """Whether this system tells the memory of processes."""
    return memory("self", "RssAnon") > 0


def memory(process: int | str, kind: str, file: str = "status") -> float:
    """A line of a process's status in MB, such as RssAnon (private), VmRSS (resident) or VmHWM (the most resident).

    Another `file` may be named. Zero where there is no such process any more.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / str(process) / file).read_text().splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def memory_of_tree(process: int, kind: str) -> float:
    """Such a line of a process and of all below it, in MB, added up; Pss shares a page out among who has it mapped."""
    file = "smaps_rollup" if kind == "Pss" else "status"
    return sum(memory(one, kind, file) for one in (process, *descendants(process)))


def peak_memory(arguments: Sequence[str | Path], interval: float = 0.005) -> Peaks:
    """Run a command to its end and watch its private memory; RuntimeError where the command fails."""
    started = time.perf_counter()
    child = subprocess.Popen(
        list(map(str, arguments)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    own = tree = 0.0
    words: list[bytes] = []
    assert child.stderr is not None
    # somebody has to read, or a command with much to say would wait for ever
    reader = threading.Thread(target=lambda: words.append(child.stderr.read() if child.stderr else b""))
    reader.start()
    while child.poll() is None:
        mine = memory(child.pid, "RssAnon")
        own = max(own, mine)
        tree = max(tree, mine + sum(memory(below, "RssAnon") for below in descendants(child.pid)))
        time.sleep(interval)
    reader.join()
    if child.returncode:
        raise RuntimeError(f"{arguments[0]} exited with {child.returncode}: {words[0][-800:].decode(errors='replace')}")
    return Peaks(own, tree, time.perf_counter() - started)


def peak_while(process: int, action: Callable[[], object], interval: float = 0.005) -> tuple[float, float]:
    """The private memory of a process before `action`, and the most of it meanwhile, in MB.

    `action` lets that process do something, and is called in a thread of this one.
    """
    before = most = memory(process, "RssAnon")
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(action)
        while not under_way.done():
            most = max(most, memory(process, "RssAnon"))
            time.sleep(interval)
        under_way.result()
    return before, most


def descendants(process: int) -> Iterator[int]:
    """Yield the processes below one."""
    # each thread has the children that it started
    for listing in (_PROC / str(process) / "task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in listing.read_text().split():
                yield int(child)
                yield from descendants(int(child))


def processor_seconds(process: int) -> float:
    """Return the seconds that processors have worked for a process; zero where there is no such process any more."""
    with contextlib.suppress(OSError):
        user, system = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def title(process: int) -> str:
    """Return how a process was called, or calls itself; nothing where there is no such process any more."""
    with contextlib.suppress(OSError):
        return (_PROC / str(process) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def with_variable(value: str) -> list[str]:
    """Return the names of processes that were started with a value somewhere in their environment, zombies left out."""
    found = []
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if value.encode() in (entry / "environ").read_bytes():
                found.append((entry / "comm").read_text().strip())
    return found
