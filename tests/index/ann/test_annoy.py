"""Annoy's candidates and their projection against the exact scan."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from cbir.backbones.backbone import describe
from cbir.errors import IndexDamagedError
from cbir.index import verified
from cbir.index.ann import trees
from cbir.index.ann.base import is_needed
from cbir.index.files import FileRecord
from cbir.index.format import Meta, load_meta
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.search.searcher import Searcher
from cbir.utils.hashing import content_sha256

ROWS = 6000
DIMENSION = 256


def clustered(rows: int, seed: int = 0) -> np.ndarray:
    """ReLU-like features in clusters, shape (rows, DIMENSION), length 1."""
    rng = np.random.default_rng(seed)
    centres = rng.gamma(0.5, 1.0, (rows // 20, DIMENSION))
    vectors = np.maximum(centres[rng.integers(len(centres), size=rows)] + rng.normal(0, 0.5, (rows, DIMENSION)), 0)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write(directory: Path, vectors: np.ndarray, first: int = 0) -> Writer:
    if not directory.exists():
        directory.mkdir(parents=True)
        model = describe("efficientnet_lite0", "untrained").to_json()
        model["dimension"] = DIMENSION
        writer = Writer(directory, Meta(model, DIMENSION, "/photos", "2026", "2026"))
    else:
        writer = Writer(directory, load_meta(directory))
    for row, vector in enumerate(vectors, first):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), vector)
    writer.commit()
    writer.tidy()
    return writer


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("large") / "index"
    write(directory, clustered(ROWS))
    return directory


def exact_rows(index: Index, query: np.ndarray, count: int) -> list[int]:
    cosines = np.concatenate([chunk @ query for _, chunk in index.chunks()])
    cosines[~index.valid] = -2
    return np.argsort(-cosines, kind="stable")[:count].tolist()


def test_candidates_bring_what_the_exact_scan_finds(large: Path) -> None:
    index = Index.open(large)
    assert index.meta.candidates is not None
    assert index.meta.candidates.recall >= 0.99
    searcher = Searcher(index)
    hits = 0
    queries = range(0, ROWS, 60)
    for row in queries:
        query = index.features([row])[0]
        found, scores = searcher.ranked(query, 10, reranked=False)
        assert scores[0] == pytest.approx(1, abs=2e-3)
        hits += len(set(found.tolist()) & set(exact_rows(index, query, 10)))
    assert hits / (10 * len(queries)) >= 0.99


def test_scores_of_candidates_are_exact_cosines(large: Path) -> None:
    index = Index.open(large)
    query = index.features([77])[0]
    found, scores = Searcher(index).ranked(query, 10, reranked=False)
    assert np.allclose(scores, index.features(found) @ query, atol=1e-6)
    assert (np.diff(scores) <= 0).all()


def test_the_exact_scan_is_used_where_a_long_ranking_is_asked_for(large: Path) -> None:
    index = Index.open(large)
    query = index.features([5])[0]
    found, _ = Searcher(index).ranked(query, ROWS, reranked=False)
    assert sorted(found.tolist()) == list(range(ROWS))


def test_rows_that_no_candidates_cover_are_found_and_invalid_ones_are_not(large: Path, tmp_path: Path) -> None:
    directory = tmp_path / "index"
    shutil.copytree(large, directory)
    fresh = clustered(300, seed=9)
    writer = write(directory, fresh, first=ROWS)
    assert writer.meta.candidates is not None
    assert writer.meta.candidates.rows == ROWS
    index = Index.open(directory)
    searcher = Searcher(index)
    for row in (0, 123, 299):
        found, _ = searcher.ranked(fresh[row], 5, reranked=False)
        assert found[0] == ROWS + row
    writer.invalidate([ROWS + 123, 50])
    writer.commit()
    index = Index.open(directory)
    searcher = Searcher(index)
    for query in (fresh[123], index.features([50])[0]):
        found, _ = searcher.ranked(query, 200, reranked=False)
        assert not set(found.tolist()) & {ROWS + 123, 50}


def test_candidates_are_made_and_renewed_when_it_pays() -> None:
    assert not is_needed(5000, None)
    assert is_needed(5001, None)
    assert not is_needed(10_000, 5001)
    assert is_needed(10_002, 5001)
    assert not is_needed(110_000, 100_000)
    assert is_needed(112_000, 100_000)


@pytest.mark.parametrize("damage", ["delete", "truncate", "swap", "delete projection"])
def test_a_damaged_file_is_noticed_before_annoy_maps_it_and_does_no_harm(
    large: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "index"
    shutil.copytree(large, directory)
    entry = load_meta(directory).candidates
    assert entry is not None
    trees = directory / entry.files["trees"].name
    if damage == "delete":
        trees.unlink()
    elif damage == "truncate":
        trees.write_bytes(trees.read_bytes()[:-512])
    elif damage == "swap":
        trees.write_bytes(bytes(trees.stat().st_size))
    else:
        (directory / entry.files["projection"].name).unlink()
    index = Index.open(directory)
    with pytest.raises(IndexDamagedError, match=r"\.ann|projection"):
        index.candidates()
    assert find_problems(index)
    # a search compares all rows and says so, the next run makes the files again
    query = index.features([5])[0]
    searcher = Searcher(index)
    found, _ = searcher.ranked(query, 10, reranked=False)
    assert found.tolist() == exact_rows(index, query, 10)
    searcher.ranked(query, 10, reranked=False)
    assert caplog.text.count("All pictures are compared instead.") == 1
    Writer(directory, load_meta(directory)).tidy()
    assert find_problems(Index.open(directory), verify=True) == []


def test_sound_trees_are_hashed_once_and_again_when_they_changed(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "index"
    shutil.copytree(large, directory)
    monkeypatch.setattr(verified, "_SETTLED_SECONDS", 0.0)
    hashed: list[str] = []

    def watched(file: IO[bytes]) -> str:
        hashed.append(content_sha256(file))
        return hashed[-1]

    monkeypatch.setattr(trees, "content_sha256", watched)
    for _ in range(3):
        assert Index.open(directory).candidates() is not None
    entry = load_meta(directory).candidates
    assert entry is not None
    assert hashed == [entry.files["trees"].sha256]
    file = directory / entry.files["trees"].name
    content = bytearray(file.read_bytes())
    content[600] ^= 1
    file.write_bytes(content)
    with pytest.raises(IndexDamagedError, match="checksum"):
        Index.open(directory).candidates()


@pytest.mark.parametrize("change", ["cut", "write"])
def test_trees_that_change_while_they_are_in_use_are_not_used_any_more(
    large: Path, tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "index"
    shutil.copytree(large, directory)
    index = Index.open(directory)
    query, searcher = index.features([5])[0], Searcher(index)
    searcher.ranked(query, 10, reranked=False)
    assert index.meta.candidates is not None
    with (directory / index.meta.candidates.files["trees"].name).open("rb+") as file:
        file.truncate(1000) if change == "cut" else file.write(b"\xff" * 5000)
    found, _ = searcher.ranked(query, 10, reranked=False)  # Annoy would end the process
    assert found.tolist() == exact_rows(index, query, 10)
    assert "was changed while it was in use" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="by rights of owner, group and others")
@pytest.mark.parametrize("whose", ["file", "folder"])
def test_trees_that_others_can_write_to_are_copied_first(large: Path, tmp_path: Path, whose: str) -> None:
    directory = tmp_path / "index"
    shutil.copytree(large, directory)
    meta = load_meta(directory)
    assert meta.candidates is not None
    trees_file = directory / meta.candidates.files["trees"].name
    (trees_file if whose == "file" else directory).chmod(0o777)
    index = Index.open(directory)
    opened = index.candidates()
    query = index.features([5])[0]
    assert opened is not None
    before = opened.search(query[np.newaxis], 50)[0].tolist()
    os.truncate(trees_file, 100)
    assert opened.search(query[np.newaxis], 50)[0].tolist() == before


def test_trees_without_a_row_of_the_index_are_refused(large: Path) -> None:
    meta = load_meta(large)
    assert meta.candidates is not None
    rows, file = meta.candidates.rows, large / meta.candidates.files["trees"].name
    with file.open("rb") as content:
        assert trees.find_problem(content, 128, rows, np.ones(rows, dtype=np.bool_)) is None
        problem = trees.find_problem(content, 128, rows + 1, np.ones(rows + 1, dtype=np.bool_))
    assert problem == "it lacks rows of the index"


def test_the_projection_keeps_nearly_all_variance_that_can_be_kept(large: Path) -> None:
    index = Index.open(large)
    rows = index.features(range(ROWS))
    mean, *directions = index.candidates().projection
    centred = rows - rows.mean(axis=0)
    assert np.allclose(mean, rows.mean(axis=0), atol=1e-4)
    assert np.allclose(np.asarray(directions) @ np.asarray(directions).T, np.eye(128), atol=1e-4)
    kept = ((centred @ np.asarray(directions).T) ** 2).sum()
    best = np.sort(np.linalg.eigvalsh(centred.T @ centred))[-128:].sum()
    assert kept / best > 0.97


def test_the_trees_have_the_rights_of_the_other_files(large: Path) -> None:
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in large.iterdir()}
    assert modes[".ann"] == modes[".npy"]
