"""State dicts as torch saves them, read without torch.

A file is a zip archive (since torch 1.6) or pickles one after the other: in either a pickle describes tensors, and
their numbers lie beside it. A pickle is a program, so it is not run: of its language only what describes a state dict
is understood, nothing is imported or called, and tensors are held against the bytes that are there.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cbir.errors import WeightsError
from cbir.utils.opening import open_regular
from cbir.utils.printable import printable, shortened

StateDict = dict[str, npt.NDArray[Any]]

# Bytes: torchvision's largest file has 2.6 GB, the description of its tensors 0.2 MB.
_MOST_BYTES = 16 << 30
_MOST_OF_PICKLE = 16 << 20

# What a file of pickles begins with, from torch.serialization.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

#: NumPy's types of torch's storages. NumPy has no bfloat16: its bits are the upper half of a float32's.
_TYPES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": "<u2",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}
_DICT = "collections OrderedDict"
_TENSORS = frozenset({"torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2"})
_PARAMETER = "torch._utils _rebuild_parameter"
_GLOBALS = frozenset({*_TYPES, *_TENSORS, _DICT, _PARAMETER})

# Opcodes whose argument is an object, and those that make one of nothing.
_LITERALS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"})
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}

# A kernel has four.
_MOST_SIDES = 8


class _OddFileError(Exception):
    """A file is none that torch makes of a state dict; the message is a phrase."""


@dataclass(frozen=True)
class _Global:
    """A name in a pickle, one of _GLOBALS."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The numbers that one or more tensors are views of: their type, a name of _TYPES, and how many there are."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides are counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: Path) -> StateDict:
    """Read a state dict, or the one in a checkpoint's "state_dict"; bfloat16 becomes float32.

    WeightsError where the file is none, or holds what only running it would tell.
    """
    try:
        with open_regular(path, most=_MOST_BYTES) as file:
            is_archive = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            content, storages = _read_archive(file) if is_archive else _read_pickles(file)
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict) or not all(isinstance(value, _Tensor) for value in content.values()):
            raise no_state_dict(path)
        return {str(key): _view(tensor, storages) for key, tensor in content.items()}
    except WeightsError:
        raise
    except Exception as error:  # zipfile's, struct's, MemoryError, OSError: whatever a wrong file makes of it
        raise unsafe(path, error) from error


def no_state_dict(path: Path) -> WeightsError:
    """Make the error for a file that can be read and holds something else."""
    return WeightsError(f"{path} holds no state dict: save one with torch.save(model.state_dict(), …).")


def unsafe(path: Path, error: Exception) -> WeightsError:
    """Make the error for a file that holds no state dict, or carries code, of what reading it failed with."""
    detail = printable((str(error).strip().splitlines() or [type(error).__name__])[0][:160])
    return WeightsError(
        f"{path} is no file of weights that can be read safely ({detail}). "
        "Save one with torch.save(model.state_dict(), …)."
    )


def _read_archive(file: IO[bytes]) -> tuple[Any, Mapping[str, npt.NDArray[Any]]]:
    """Read a zip archive: `NAME/data.pkl`, and a file `NAME/data/KEY` for each storage, none of them compressed."""
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        # so what is read is never more than the file, whatever its list of contents says
        if sum(member.file_size for member in members.values()) > size:
            raise _OddFileError("its parts are larger than the file")
        if any(one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 for one in members.values()):
            raise _OddFileError("its parts are compressed or encrypted")
        if "data.pkl" not in members or members["data.pkl"].file_size > _MOST_OF_PICKLE:
            raise _OddFileError("it has no data.pkl, or a huge one")
        if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
            raise _OddFileError("its numbers are not little-endian")
        stored: dict[str, _Storage] = {}
        content = _unpickle(io.BytesIO(archive.read(members["data.pkl"])), stored)
        storages = {}
        for key, storage in stored.items():
            if (member := members.get(f"data/{key}")) is None:
                raise _OddFileError(f"the numbers {shortened(key)} are missing")
            storages[key] = _numbers(archive.read(member), storage)
    return content, storages


def _read_pickles(file: IO[bytes]) -> tuple[Any, Mapping[str, npt.NDArray[Any]]]:
    """Read pickles: a magic number, a version, facts of the machine, the content, keys of storages; then these."""
    head = io.BytesIO(file.read(_MOST_OF_PICKLE))
    stored: dict[str, _Storage] = {}
    if _unpickle(head, {}) != _MAGIC or _unpickle(head, {}) != _PROTOCOL:
        raise _OddFileError("torch has not made it")
    system = _unpickle(head, {})
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _OddFileError("its numbers are not little-endian")
    content, keys = _unpickle(head, stored), _unpickle(head, {})
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(stored):
        raise _OddFileError("its list of storages is not that of its tensors")
    file.seek(head.tell())
    storages = {}
    for key in map(str, keys):
        storage = stored[key]
        if int.from_bytes(file.read(8), "little") != storage.count:
            raise _OddFileError(f"the numbers {shortened(key)} are not as many as it says")
        storages[key] = _numbers(_exactly(file, storage.count * np.dtype(_TYPES[storage.kind]).itemsize), storage)
    return content, storages


def _exactly(file: IO[bytes], count: int) -> bytes:
    """Read so many bytes; they are there before memory is taken for them."""
    here = file.tell()
    if count > file.seek(0, io.SEEK_END) - here:
        raise _OddFileError("it ends too early")
    file.seek(here)
    return file.read(count)


def _numbers(content: bytes, storage: _Storage) -> npt.NDArray[Any]:
    type_ = np.dtype(_TYPES[storage.kind])
    if len(content) != storage.count * type_.itemsize:
        raise _OddFileError(f"the numbers {shortened(storage.key)} are not as many as it says")
    numbers = np.frombuffer(content, type_)
    if storage.kind == "torch BFloat16Storage":
        return (numbers.astype("<u4") << 16).view("<f4")
    return numbers


def _view(tensor: _Tensor, storages: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return a tensor's numbers. _OddFileError where they lie outside of its storage, or are more than that has."""
    numbers = storages[tensor.storage.key]
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    count = 1
    for side in shape:  # in Python's integers, which have no end
        count *= side
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if count > len(numbers) or (count and last >= len(numbers)):
        raise _OddFileError("a tensor is larger than its numbers")
    if not count:
        return np.zeros(shape, numbers.dtype)
    steps = tuple(stride * numbers.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)


def _unpickle(stream: IO[bytes], stored: dict[str, _Storage]) -> Any:
    """Read the next pickle of a stream: dicts, lists, tuples, texts, numbers, tensors; `stored` gets its storages."""
    machine = _Machine(stored)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode.name, argument)
        return machine.stack.pop()
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise _OddFileError("its pickle is damaged") from error


class _Machine:
    """A pickle's stack and memo while it is read."""

    def __init__(self, stored: dict[str, _Storage]) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._stored = stored

    def step(self, name: str, argument: Any) -> None:
        """Follow an opcode, by the name that `pickletools` has for it."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _MADE:
            stack.append(_MADE[name]())
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._pop(int(name[5:]) if name[5:] else None)))
        elif name in ("APPEND", "APPENDS"):
            items = self._pop(1 if name == "APPEND" else None)
            _of_type(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop(2 if name == "SETITEM" else None)
            keys = [_of_type(key, str, int) for key in items[::2]]
            _of_type(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
        elif name == "GLOBAL":
            if argument not in _GLOBALS:
                raise _OddFileError(f"it names {argument.replace(' ', '.')}")
            stack.append(_Global(argument))
        elif name == "BINPERSID":
            stack.append(self._storage(*self._pop(1)))
        elif name == "REDUCE":
            stack.append(_reduced(*self._pop(2)))
        elif name == "BUILD":  # a state dict's attributes, which are the versions of its modules
            self._pop(1)
            _of_type(stack[-1], dict)
        elif name not in ("PROTO", "STOP"):
            raise _OddFileError(f"its pickle has the opcode {name}")

    def _pop(self, count: int | None) -> list[Any]:
        """Take so many objects off the stack, or those above the last mark."""
        start = self._marks.pop() if count is None else len(self.stack) - count
        if start < 0:
            raise IndexError("the stack has fewer objects")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def _storage(self, name: tuple[Any, ...]) -> _Storage:
        """Note a storage: ("storage", type, key, device, count), which pickles end in None for "no view of another"."""
        what, type_, key, _, count, *view = _of_type(name, tuple)
        if what != "storage" or view not in ([], [None]) or _of_type(type_, _Global).name not in _TYPES:
            raise _OddFileError("it holds more than tensors")
        storage = _Storage(_of_type(key, str), type_.name, _natural(count))
        if self._stored.setdefault(storage.key, storage) != storage:
            raise _OddFileError(f"the numbers {shortened(storage.key)} have two types")
        return storage


def _reduced(function: Any, arguments: Any) -> Any:
    """Return what calling a function would: a dict, or a tensor that is described by its storage."""
    name = _of_type(function, _Global).name
    if name == _DICT and arguments == ():
        return {}
    if name == _PARAMETER:
        return _of_type(arguments[0], _Tensor)
    if name not in _TENSORS:
        raise _OddFileError(f"it calls {name.replace(' ', '.')}")
    storage, offset, shape, strides, *_ = arguments
    sides, steps = (tuple(map(_natural, _of_type(one, tuple))) for one in (shape, strides))
    if len(sides) != len(steps) or len(sides) > _MOST_SIDES:
        raise _OddFileError("a tensor has an impossible shape")
    return _Tensor(_of_type(storage, _Storage), _natural(offset), sides, steps)


def _of_type(found: Any, *wanted: type) -> Any:
    if not isinstance(found, wanted):
        raise TypeError(f"{type(found).__name__} instead of {wanted}")
    return found


def _natural(found: Any) -> int:
    number = int(_of_type(found, int))
    if number < 0:
        raise ValueError("a negative number")
    return number
