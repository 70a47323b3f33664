"""OpenVINO's core, opened so that signals go on to be handled as Python handles them."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Iterator

import openvino

# Address space that OpenVINO takes to begin with. Where its threads find none they wait for each other for good.
_ROOM = 256 << 20


class SignalStack(ctypes.Structure):
    """The stack on which a thread's signal handlers run, as Linux's `sigaltstack` has it."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def open_core() -> openvino.Core:
    """Open a core, with what it computes by on a CPU. MemoryError where the process may not have enough for it."""
    _check_room()
    core = openvino.Core()
    with _same_signal_stack():
        core.get_property("CPU", "FULL_DEVICE_NAME")  # loads it
    return core


def signal_stack() -> SignalStack | None:
    """Return the stack on which this thread's signal handlers run; None where there is no telling."""
    found = SignalStack()
    return found if _sigaltstack(None, found) else None


def _check_room() -> None:
    if sys.platform.startswith("linux"):
        try:
            mmap.mmap(-1, _ROOM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except OSError as error:
            raise MemoryError from error


@contextlib.contextmanager
def _same_signal_stack() -> Iterator[None]:
    """Leave the thread with the stack for signal handlers that it had.

    Where a processor has AMX, OpenVINO gives the thread that loads it a stack that holds the registers and nothing
    else. Python's handlers run there, and a Ctrl-C would end the process by a fault every other time, or write over
    whatever lies below.
    """
    before = signal_stack()
    try:
        yield
    finally:
        if before is not None:
            _sigaltstack(before, None)


def _sigaltstack(new: SignalStack | None, old: SignalStack | None) -> bool:
    """Call the function of that name, and tell whether it did it."""
    if not sys.platform.startswith("linux"):
        return False
    as_pointers = [None if stack is None else ctypes.byref(stack) for stack in (new, old)]
    return bool(ctypes.CDLL(None).sigaltstack(*as_pointers) == 0)
