"""Failures that are no CbirError as sentences: of the system's limits, and cbir's own defects."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
import traceback
from types import TracebackType

from cbir.cli.terminal import output
from cbir.errors import CbirError, reason_of

# What libraries say where memory or threads run out, whatever kind of error they make of it.
_MEMORY = re.compile(
    r"bad_alloc|out of memory|(can(no|')t|could not|unable to|failed to|not enough)\W+(\w+\W+){0,2}(alloc|memory|map )",
    re.I,
)
_THREADS = re.compile(r"can't start new thread|resource temporarily unavailable|pthread_create failed", re.I)


def sentence_of(error: BaseException) -> str | None:
    """Return the sentence for an error by which the system says that something is short; None for any other."""
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _MEMORY.search(text):
        return "There is not enough memory for this: end other programs, or raise the limit (`ulimit -v` shows it)."
    if number in (errno.EMFILE, errno.ENFILE):
        return "Too many files are open at once: raise the limit (`ulimit -n` shows it; 64 are enough)."
    if number == errno.EAGAIN or _THREADS.search(text):
        return "No more threads can be started: raise the limit of processes or memory (`ulimit -u -v` shows them)."
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_nowhere():
        return "The current folder is not there any more: go to another one (cd) and try again."
    if isinstance(error, RuntimeError) and "home directory" in text:  # what pathlib makes of it
        return "There is no account whose home folder a path that begins with ~ means: write the whole path."
    if isinstance(error, ImportError) and not isinstance(error, ModuleNotFoundError):
        return f"A library cannot be loaded: {error}. Installing cbir again may help."
    if isinstance(error, OSError) and number is not None:
        return f"The system refused something: {_reason(error)}. `cbir --debug …` shows what."
    return None


def tell_defects() -> None:
    """Let an error that nobody caught be one line on stderr, and not a traceback, from now on."""
    sys.excepthook = _tell
    threading.excepthook = lambda failed: _tell(failed.exc_type, failed.exc_value, failed.exc_traceback)


def show_tracebacks() -> None:
    """Let an error that nobody caught be shown with its traceback again: for `--debug`."""
    sys.excepthook, threading.excepthook = _show, threading.__excepthook__


def _show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    # in colour, as later Pythons have it, codes would be shown as escapes
    sys.stderr.write("".join(traceback.format_exception(kind, error, trace)))


def _tell(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt):
        return
    frames = traceback.extract_tb(trace)
    place = f" in {os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}" if frames else ""
    # what is written before any command begins: what completion offers
    known = str(error) if isinstance(error, CbirError) else sentence_of(error)
    sentence = known or (
        f"cbir has a defect ({kind.__name__}{place}: {error}). `cbir --debug …` shows more; please report it."
    )
    # it is in the log by now, if there is one
    output.tell(f"Error: {sentence}", logged=False)


def _reason(error: OSError) -> str:
    return f"{reason_of(error)} ({os.fsdecode(error.filename)})" if error.filename else reason_of(error)


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
