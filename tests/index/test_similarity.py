"""The distribution of an index's cosines: sampled, kept, renewed, and what a score means by it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import IndexDamagedError, IndexWriteError
from cbir.index import similarity
from cbir.index.files import FileRecord
from cbir.index.format import META, Meta, load_meta
from cbir.index.similarity import CosineQuantiles
from cbir.index.store import Index
from cbir.index.writer import Writer

DIMENSION = 32

HAND = CosineQuantiles(100, (0.0, 0.5, 0.9, 1.0), (-0.2, 0.1, 0.5, 0.9), (0.3, 0.6, 0.7, 0.95))


def write(directory: Path, vectors: np.ndarray, first: int = 0) -> Writer:
    directory.mkdir(parents=True, exist_ok=True)
    meta = load_meta(directory) if (directory / META).exists() else None
    writer = Writer(directory, meta or Meta({"name": "toy"}, vectors.shape[1], "/photos", "2026", "2026"))
    for row, vector in enumerate(vectors, first):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), vector)
    writer.commit()
    writer.tidy()
    return writer


@pytest.mark.parametrize(
    ("cosine", "percentile"), [(-1, 0), (-0.2, 0), (-0.05, 25), (0.1, 50), (0.3, 70), (0.5, 90), (0.9, 100), (1, 100)]
)
def test_a_percentile_by_hand(cosine: float, percentile: float) -> None:
    assert HAND.percentile(cosine) == pytest.approx(percentile)
    if -0.2 < cosine < 0.9:
        assert HAND.cosine(percentile) == pytest.approx(cosine)


def test_the_sample_is_the_distribution(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, DIMENSION)).astype(np.float32)
    write(tmp_path / "index", vectors)
    index = Index.open(tmp_path / "index")
    kept = index.meta.cosines
    assert kept is not None
    assert kept.rows == 300
    rows = index.features(range(300))
    products = rows @ rows.T
    pairs = products[np.triu_indices(300, 1)]
    assert kept.random == pytest.approx(np.quantile(pairs, kept.probabilities), abs=1e-4)
    assert kept.percentile(float(np.quantile(pairs, 0.97))) == pytest.approx(97, abs=0.3)
    np.fill_diagonal(products, -1)
    nearest = products.max(axis=1)
    assert kept.nearest[-1] <= nearest.max() + 1e-4
    assert np.median(nearest) == pytest.approx(np.interp(0.5, kept.probabilities, kept.nearest), abs=0.03)


def test_it_is_sampled_again_when_the_index_has_changed_by_a_tenth(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    directory = tmp_path / "index"
    first = write(directory, rng.normal(size=(100, DIMENSION))).meta.cosines
    before = (directory / META).read_bytes()
    Writer(directory, load_meta(directory)).tidy()
    assert (directory / META).read_bytes() == before
    assert write(directory, rng.normal(size=(10, DIMENSION)), 100).meta.cosines == first
    again = write(directory, rng.normal(size=(1, DIMENSION)), 110).meta.cosines
    assert again is not None
    assert again.rows == 111
    writer = Writer(directory, load_meta(directory))
    writer.invalidate(range(50))
    writer.commit()
    writer.tidy()
    assert writer.meta.cosines is not None
    assert writer.meta.cosines.rows == 61


def test_one_picture_has_no_distribution_and_copies_have_a_narrow_one(tmp_path: Path) -> None:
    one = np.ones((1, DIMENSION))
    assert write(tmp_path / "one", one).meta.cosines is None
    copies = write(tmp_path / "copies", np.repeat(one, 5, axis=0)).meta.cosines
    assert copies is not None
    assert min(copies.random) > 0.999
    assert copies.percentile(0.5) == 0


def test_an_index_without_it_gets_it_by_the_next_run(tmp_path: Path) -> None:
    directory = tmp_path / "index"
    writer = write(directory, np.random.default_rng(2).normal(size=(20, DIMENSION)))
    writer.replace(writer.meta.but(cosines=None))
    record = json.loads((directory / META).read_text())
    del record["cosines"], record["checksum"]
    # as an older cbir wrote it: without the key
    from cbir.index.format import _checksum

    (directory / META).write_text(json.dumps({**record, "checksum": _checksum(record)}))
    meta = load_meta(directory)
    assert meta.cosines is None
    Writer(directory, meta).tidy()
    assert load_meta(directory).cosines is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"random": [0.1]},
        {"random": [0.5, 0.1, 0.2, 0.3]},
        {"nearest": [0.1, 0.2, 0.3, float("nan")]},
        {"probabilities": [0, 0.5, 0.9, 2]},
        {"probabilities": "x"},
        {"rows": "many"},
        {"random": None},
    ],
)
def test_nonsense_is_damage(changed: dict[str, object], tmp_path: Path) -> None:
    assert CosineQuantiles.from_json(json.loads(json.dumps(asdict(HAND)))) == HAND
    with pytest.raises((ValueError, TypeError)):
        CosineQuantiles.from_json({**asdict(HAND), **changed})
    writer = write(tmp_path / "index", np.eye(DIMENSION)[:3])
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in changed.items()}
    nonsense = writer.meta.but(cosines=replace(HAND, **values))  # type: ignore[arg-type]
    with pytest.raises(IndexWriteError):
        writer.replace(nonsense)
    (tmp_path / "index" / META).write_text(nonsense.dump())
    with pytest.raises(IndexDamagedError):
        load_meta(tmp_path / "index")


def test_it_is_needed_only_then() -> None:
    assert not similarity.is_needed(1, None)
    assert similarity.is_needed(2, None)
    assert not similarity.is_needed(110, HAND)
    assert similarity.is_needed(111, HAND)
    assert similarity.is_needed(89, HAND)
