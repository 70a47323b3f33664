"""Data files of several arrays: `.npz` files whose arrays are stored as they are.

Not `np.load`: it evaluates what stands in headers, and unpacks whatever a stranger's file says of itself.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cbir.index.rowfile import npy_header


def pack_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return an `.npz` file of arrays by their names, the same each time."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack_arrays(data: bytes, types: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """Read what `pack_arrays` made; ValueError where it is something else, or has numbers of other types than these.

    Types are as NumPy describes them, such as "<f4". The arrays have one or two axes and are read-only.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as content:
            members = content.infolist()
            # as they are stored, and not one over the other, so that they are no larger than the file
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("its arrays are compressed")
            if sum(member.file_size for member in members) > len(data):
                raise ValueError("its arrays are larger than the file")
            return {one.filename.removesuffix(".npy"): _array(content.read(one), types) for one in members}
    except (KeyError, OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"it is no file of arrays ({error})") from error


def _array(content: bytes, types: Collection[str]) -> npt.NDArray[Any]:
    """Read the numbers of an `.npy` file."""
    header = npy_header(content)
    described = "" if header is None else header[1].strip(b"'").decode("ascii", "replace")
    if header is None or described not in types:
        raise ValueError("an array of it is none of such numbers")
    shape, _, start = header
    dtype = np.dtype(described)
    if len(content) != start + math.prod(shape) * dtype.itemsize:
        raise ValueError("an array of it has another length than it says")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)
