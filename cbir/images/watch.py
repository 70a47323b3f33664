"""Seeing that a process does not work at one thing for too long."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path


class Watch:
    """Kills a child that takes more than `limit` seconds over what is done within its `with`.

    What counts is the time in which the child computed, or waited for something. While it was stopped, as by Ctrl-Z or
    with the whole machine, or could not run because others did, it had no chance. Where the system does not tell, the
    time counts in which this process could run.
    """

    def __init__(self, child: subprocess.Popen[bytes], limit: float) -> None:
        self.is_overdue = False
        self._child = child
        self._limit = limit
        self._began = 0
        self._is_on = False
        self._stopped = threading.Event()
        # one for the child's whole life: a timer for each picture would be a thread for each picture
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def __enter__(self) -> None:
        self._began += 1
        self._is_on = True

    def __exit__(self, *exception: object) -> None:
        self._is_on = False

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self) -> None:
        tick = min(1.0, self._limit / 4)
        watched, charged = 0, 0.0
        before, last = used(self._child.pid), time.monotonic()
        while not self._stopped.wait(tick):
            now, after = time.monotonic(), used(self._child.pid)
            # where this process was stopped itself, nothing is known of the time between
            elapsed, last = min(now - last, 2 * tick), now
            if not self._is_on or self._began != watched:
                watched, charged = self._began, 0.0
            elif before is None or after is None:
                charged += elapsed
            elif after.seconds > before.seconds:
                charged += after.seconds - before.seconds
            elif after.state == "S":
                charged += elapsed
            before = after
            if charged > self._limit:
                self.is_overdue = True
                self._child.kill()
                return


class Used:
    """A process's use so far: seconds of processors; and its `state`, a letter of Linux's."""

    def __init__(self, seconds: float, state: str) -> None:
        self.seconds = seconds
        self.state = state


def used(process: int) -> Used | None:
    """Return a process's use so far; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return Used((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0])
    except (OSError, ValueError, IndexError, AttributeError):
        return None
