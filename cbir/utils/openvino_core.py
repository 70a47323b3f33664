"""OpenVINO's core, opened so that signals go on to be handled as Python handles them."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator, Mapping

import openvino
from openvino import op

from cbir.utils.room import check_room

# Address space that OpenVINO and what is loaded beside it take, without a network. Where its threads find none they
# wait for each other for good, or end the process by a fault.
_ROOM = 384 << 20

# What a network takes of it while it is compiled, besides copies of its numbers: the graph's own, those in the order in
# which they are computed with, and the file's.
_ROOM_FOR_GRAPHS, _COPIES = 64 << 20, 3


class SignalStack(ctypes.Structure):
    """The stack on which a thread's signal handlers run, as Linux's `sigaltstack` has it."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def open_core() -> openvino.Core:
    """Open a core, with what it computes by on a CPU. MemoryError where the process may not have enough for it."""
    check_room(_ROOM, on_all_cores=True)
    core = openvino.Core()
    with _same_signal_stack():
        core.get_property("CPU", "FULL_DEVICE_NAME")  # loads it
    return core


def compile_network(
    core: openvino.Core, model: openvino.Model, properties: Mapping[str, str]
) -> openvino.CompiledModel:
    """Compile a graph for this processor. MemoryError where the process may not have enough for it."""
    constants = (one for one in model.get_ops() if isinstance(one, op.Constant))
    check_room(_ROOM_FOR_GRAPHS + _COPIES * sum(one.get_byte_size() for one in constants))
    return core.compile_model(model, "CPU", properties)


def signal_stack() -> SignalStack | None:
    """Return the stack on which this thread's signal handlers run; None where there is no telling."""
    found = SignalStack()
    return found if _sigaltstack(None, found) else None


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
