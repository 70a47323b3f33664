"""An end within two seconds for a run that is told to stop, by Ctrl-C (SIGINT), SIGTERM or a closed terminal (SIGHUP).

The first signal raises KeyboardInterrupt in the main thread, and whoever has something to commit does it then. But
Python calls a handler only between two steps of its own: while a network computes, or a thread that is waited for
reads from a disk that hangs, there is none. So a thread of its own takes notice too, and ends the process when the time
is over. It waits for what is done with `kept`, and does itself what is left to be done.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cbir.utils.drafts import remove_drafts

if TYPE_CHECKING:
    import subprocess

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

#: The exit code of a run that was told to stop, by whatever signal.
INTERRUPTED = 130

#: Seconds that the main thread has to end by itself, and those that it may take for a commit that has begun.
SECONDS, SECONDS_OF_COMMIT = 1.2, 60.0

#: Held while something is changed that a forced end must not find halfway. It may be taken again by the same thread.
kept = threading.RLock()

#: Child processes, none of which outlives the run.
children: set[subprocess.Popen[bytes]] = set()

_asked = threading.Event()
_deferring = threading.Event()
_at_forced_end: list[Callable[[], None]] = []


def install(message: bytes = b"\nInterrupted. What was committed is kept.\n") -> None:
    """Let the signals end this process, whatever it does. A signal that is ignored, as by nohup, stays so.

    To be called in the main thread, once its streams are open. Where the process is ended by force, the message is
    written to stderr.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _stop_after_all
    if sys.platform == "win32":  # a pipe wakes nobody there
        return
    with contextlib.suppress(OSError, RuntimeError):  # few files or threads: then without the thread
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        threading.Thread(target=_force, args=(reading, message), name="stop", daemon=True).start()
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)


def was_asked() -> bool:
    """Tell whether a signal has told this process to stop."""
    return _asked.is_set()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """A signal that comes within this raises KeyboardInterrupt at its end: so what is under way can be told before.

    Whoever begins new work within this asks `is_over` before.
    """
    _deferring.set()
    try:
        yield
    finally:
        _deferring.clear()
    if _asked.is_set():
        raise KeyboardInterrupt


def is_over() -> bool:
    """Tell whether nothing new is to be begun, because a signal came that is deferred."""
    return _deferring.is_set() and _asked.is_set()


@contextlib.contextmanager
def at_forced_end(do: Callable[[], None]) -> Iterator[None]:
    """Call `do` if the process has to be ended by force within this; the innermost is called first."""
    _at_forced_end.append(do)
    try:
        yield
    finally:
        _at_forced_end.remove(do)


def end() -> None:
    """End this process, which was told to stop, without waiting for anything."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # as whatever its other end is may raise
            stream.flush()
    _end_children()
    remove_drafts()
    os._exit(INTERRUPTED)


def _stop(number: int, frame: Any) -> None:
    # a closed terminal sends SIGHUP twice, `timeout` SIGTERM: what the first has begun is not to be disturbed
    if not _asked.is_set():
        _asked.set()
        if not _deferring.is_set():
            raise KeyboardInterrupt


def _stop_after_all(unraisable: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception came in the middle of a finaliser, where Python drops it and the run would go
    on.

    In a moment and from a thread: within this function it would be dropped, too.
    """
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    _asked.clear()
    again = threading.Timer(0.01, _send_again)
    again.daemon = True
    again.start()


def _send_again() -> None:
    if hasattr(signal, "pthread_kill"):  # it ends what the main thread waits for, too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        _thread.interrupt_main(signal.SIGTERM)


def _force(signals: int, message: bytes) -> None:
    """The thread that sees to the end. `signals` is where Python writes the numbers of signals as they come."""
    while (number := os.read(signals, 1)) and number[0] not in SIGNALS:
        pass
    if not number:
        return
    time.sleep(SECONDS)
    end_by_force(INTERRUPTED, message)


def end_by_force(code: int, message: bytes = b"") -> None:
    """End this process from any thread, whatever the others do, once what is `kept` is done."""
    # whoever holds it may never let go of it, on a disk that hangs
    if kept.acquire(timeout=SECONDS_OF_COMMIT):
        for do in reversed(_at_forced_end):
            with contextlib.suppress(Exception):
                do()
    _end_children()
    remove_drafts()
    # not through Python's stream, which a thread that hangs may hold
    with contextlib.suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, message)
    os._exit(code)


def _end_children() -> None:
    for child in list(children):
        with contextlib.suppress(OSError):
            child.kill()
