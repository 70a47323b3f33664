"""Tensors that dlib has written are read, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np

from cbir.faces.dat import tensors


def serialised(tensor: np.ndarray) -> bytes:
    """A tensor as dlib writes it."""

    def integer(number: int) -> bytes:
        length = (number.bit_length() + 7) // 8 or 1
        return bytes([length]) + number.to_bytes(length, "little")

    return b"\x01\x02" + b"".join(integer(side) for side in tensor.shape) + tensor.astype("<f4").tobytes()


def test_tensors_are_read_in_their_order_whatever_is_between_them() -> None:
    random = np.random.default_rng(1)
    wanted = [random.normal(size=shape).astype(np.float32) for shape in ((300, 1, 1, 1), (16, 3, 7, 7), (64, 1, 1, 1))]
    content = b"\x07con_\x01\x02\x01\x02" + b"\x00affine\x01\x02".join(map(serialised, wanted)) + b"\x01\x02\x01"
    found = list(tensors(content))
    assert [one.shape for one in found] == [one.shape for one in wanted]
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_what_ends_too_early_or_holds_no_numbers_is_none() -> None:
    tensor = np.ones((100, 1, 1, 1), np.float32)
    tensor[50] = np.nan
    assert not list(tensors(serialised(tensor)))
    assert not list(tensors(serialised(np.ones((100, 1, 1, 1), np.float32))[:-1]))
    assert not list(tensors(b"\x01\x02" * 1000))
    assert not list(tensors(b""))
