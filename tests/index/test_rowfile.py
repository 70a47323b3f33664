"""Rows of features are read from their file when they are asked for."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import IndexDamagedError
from cbir.index import datafile
from cbir.index.format import FileEntry
from cbir.index.rowfile import RowFile
from cbir.utils.hashing import file_sha256

ROWS, DIMENSION = 50, 7


@pytest.fixture
def values(tmp_path: Path) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype(np.float16)
    np.save(tmp_path / "features-000001.npy", values)
    return values


def opened(directory: Path) -> RowFile:
    path = directory / "features-000001.npy"
    entry = FileEntry(path.name, path.stat().st_size, file_sha256(path))
    return RowFile(directory, entry, (ROWS, DIMENSION), np.dtype(np.float16))


@pytest.mark.parametrize("without_preadv", [False, True])
def test_rows_are_those_of_the_file(
    values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_preadv: bool
) -> None:
    if without_preadv:  # as on Windows
        monkeypatch.delattr(os, "preadv", raising=False)
    rows = opened(tmp_path)
    assert len(rows) == ROWS
    assert np.array_equal(rows.between(3, 20), values[3:20])
    assert np.array_equal(rows.between(40, 1000), values[40:])
    assert rows.between(60, 70).shape == (0, DIMENSION)
    wanted = np.array([49, 0, 7, 7, 3])
    assert np.array_equal(rows.take(wanted), values[wanted])
    assert rows.take(wanted[:0]).shape == (0, DIMENSION)


def test_a_read_that_comes_in_parts_is_put_together(
    values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = datafile._read_at
    monkeypatch.setattr(datafile, "_read_at", lambda file, into, position: real(file, into[:5], position))
    rows = opened(tmp_path)
    assert np.array_equal(rows.between(0, ROWS), values)
    assert np.array_equal(rows.take(np.array([11, 2])), values[[11, 2]])


def test_a_file_that_is_cut_off_later_is_an_error_and_no_crash(values: np.ndarray, tmp_path: Path) -> None:
    rows = opened(tmp_path)
    os.truncate(tmp_path / "features-000001.npy", 300)
    for read in (lambda: rows.between(0, ROWS), lambda: rows.take(np.array([1, 49]))):
        with pytest.raises(IndexDamagedError, match="ends too early"):
            read()


def test_a_removed_file_can_still_be_read_and_is_closed_in_the_end(values: np.ndarray, tmp_path: Path) -> None:
    rows = opened(tmp_path)
    (tmp_path / "features-000001.npy").unlink()
    assert np.array_equal(rows.between(0, ROWS), values)
    descriptor = rows._data.descriptor
    os.fstat(descriptor)
    del rows
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
