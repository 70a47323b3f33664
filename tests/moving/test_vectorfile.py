"""Files of vectors that strangers made: read without believing, or running, anything in them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError
from cbir.moving.rows import as_stored, have_direction
from cbir.moving.vectorfile import VectorFile


def unit(rows: int, dimension: int = 32, seed: int = 1) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(rows, dimension))
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_numbers_are_read_as_they_are(tmp_path: Path, dtype: str) -> None:
    features = unit(6000, 700).astype(dtype)  # more than a chunk
    np.save(tmp_path / "f.npy", features)
    file = VectorFile.open(tmp_path / "f.npy")
    chunks = list(file.chunks())
    assert (file.rows, file.dimension, len(chunks) > 1) == (6000, 700, True)
    assert np.array_equal(np.concatenate(chunks), features)


def test_vectors_of_faiss_are_read(tmp_path: Path) -> None:
    features = unit(7).astype("<f4")
    content = b"".join(np.int32(32).tobytes() + row.tobytes() for row in features)
    (tmp_path / "f.fvecs").write_bytes(content)
    assert np.array_equal(np.concatenate(list(VectorFile.open(tmp_path / "f.fvecs").chunks())), features)
    (tmp_path / "f.fvecs").write_bytes(content[: 3 * 132] + np.int32(31).tobytes() + content[3 * 132 + 4 :])
    with pytest.raises(CbirError, match="not all of its vectors have 32 numbers"):
        list(VectorFile.open(tmp_path / "f.fvecs").chunks())


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("run-by-a-pickle",)


def header(described: str) -> bytes:
    text = described.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is no .npy file"),
        (b"PK\x03\x04 a zip", "it is no .npy file"),
        (pickle.dumps(_Hostile()), "it is no .npy file"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }") + pickle.dumps(_Hostile()), "pickled"),
        (header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }") + bytes(16), "order of columns"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }") + bytes(16), "two dimensions"),
        (header("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 1), }") + bytes(16), "two dimensions"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 9**9**9), }") + bytes(16), "two dimensions"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 2), }") + bytes(16), "it has 144 b"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }") + bytes(16), "it has 144 bytes"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0), }"), "vectors of 0 numbers"),
    ],
)
def test_what_is_no_array_is_refused_and_not_run(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "f.npy").write_bytes(content)
    with pytest.raises(CbirError, match=reason):
        VectorFile.open(tmp_path / "f.npy")
    assert not Path("run-by-a-pickle").exists()


@pytest.mark.parametrize("name", ["f.npy", "f.fvecs"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(CbirError, match="not a regular file"):
        VectorFile.open(tmp_path / name)
    os.unlink(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(CbirError, match="it is a folder"):
        VectorFile.open(tmp_path / name)


def test_a_file_that_is_cut_off_meanwhile_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", unit(100).astype("<f4"))
    file = VectorFile.open(tmp_path / "f.npy")
    os.truncate(tmp_path / "f.npy", 1000)
    with pytest.raises(CbirError, match="it ends too early"):
        list(file.chunks())


@pytest.mark.parametrize("dimension", [3, 1280])
def test_features_that_were_stored_come_back_as_the_same_bytes(dimension: int) -> None:
    stored = unit(500, dimension).astype(np.float16)
    for dtype in (np.float16, np.float32, np.float64):
        assert as_stored(stored.astype(dtype)).tobytes() == stored.tobytes()


def test_all_other_features_come_to_length_one() -> None:
    features = np.array([[3e38, 0], [1e-40, 1e-40], [5, 5], [0.6, 0.8]], dtype=np.float32)
    lengths = np.linalg.norm(as_stored(features).astype(np.float64), axis=1)
    assert np.abs(lengths - 1).max() < 1e-3


def test_what_is_not_finite_has_no_direction() -> None:
    features = np.array([[1, 0], [np.nan, 1], [np.inf, 1], [0, 0], [-3e38, 3e38], [1e-45, 0]], dtype=np.float32)
    assert have_direction(features).tolist() == [True, False, False, False, True, True]
