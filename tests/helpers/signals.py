"""Signals as a shell's foreground jobs have them, whatever runs the tests."""

from __future__ import annotations

import signal


def default_signals() -> None:
    """Let a new process end at the signals that end a run: under nohup, or in the background, some are ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
