"""float16 becomes float32 without a bit lost."""

from __future__ import annotations

import numpy as np

from cbir.utils.half import to_float32


def test_every_finite_number_is_exact() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 128)
    converted = to_float32(halves)
    assert converted.dtype == np.float32
    assert converted.shape == halves.shape
    assert np.array_equal(converted.view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_any_layout_and_length_will_do() -> None:
    rows = np.random.default_rng(0).normal(size=(700, 300)).astype(np.float16)
    for given in (rows, rows[::3], rows[:, 10:20], rows.T, rows[:0], np.asfortranarray(rows)):
        assert np.array_equal(to_float32(given), given.astype(np.float32))
