"""Treatments as they are compared: as plainly computed, and kept from one search to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cbir.backbones.backbone import describe
from cbir.errors import IndexDamagedError
from cbir.index import verified
from cbir.index.columns.treatment import pack
from cbir.index.entries import TreatmentEntry
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.treatments import treatment_of, treatments_of
from cbir.index.writer import Writer
from cbir.search import kept_treatments, treatment_space
from cbir.search.kept_treatments import treatment_space_of
from cbir.search.treatment_space import TreatmentSpace

NUMBERS, ROWS = 24, 700

Doubles = npt.NDArray[np.float64]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index in two blocks, of which some rows have no treatment, and some do not count."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verified, "_SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(kept_treatments, "SMALL", 10)
    (tmp_path / "index").mkdir()
    model, drawn = describe("fake"), np.random.default_rng(5)
    meta = Meta(model.to_json(), model.dimension, "/pictures", "", "", treatment=TreatmentEntry(NUMBERS))
    writer = Writer(tmp_path / "index", meta)
    tells = drawn.normal(size=(model.dimension, NUMBERS))
    for row in range(ROWS):
        feature = drawn.gamma(0.5, size=model.dimension)
        vector = 3 + drawn.gamma(1, size=NUMBERS) + feature @ tells / 8 + 2 * np.sin(np.arange(NUMBERS) * (row % 5))
        stored = pack(vector.astype(np.float32)) if row % 11 else {}
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature.astype(np.float32), stored)
        if row == 400:
            writer.commit()
    writer.commit()
    writer.invalidate(range(30, 40))
    writer.commit()
    return tmp_path / "index"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures there were each time that treatments were made."""
    counts, real = list[int](), TreatmentSpace.of.__func__  # type: ignore[attr-defined]

    def counting(cls: type[TreatmentSpace], treatments: Any, index: Index) -> TreatmentSpace:
        counts.append(len(treatments.rows))
        found: TreatmentSpace = real(cls, treatments, index)
        return found

    monkeypatch.setattr(TreatmentSpace, "of", classmethod(counting))
    return counts


def cosines(space: TreatmentSpace, index: Index, row: int) -> npt.NDArray[np.float32]:
    vector = treatment_of(index, row)
    assert vector is not None
    return space.cosines(vector, index.features([row])[0])


def plainly(index: Index, row: int) -> Doubles:
    """Compute the cosines of a row with all as docs/method/treatment.md says, step by step in float64."""
    treatments = treatments_of(index)
    vectors = treatments.vectors.astype(np.float64)
    features = index.features(treatments.rows).astype(np.float64)
    kept = np.arange(len(vectors))
    for _ in range(3):
        some = vectors[kept]
        mean, deviations = some.mean(axis=0), some.std(axis=0)
        scaled = (some - mean) / np.maximum(deviations, 1.2e-7 + 0.01 * np.median(deviations))
        values, directions = np.linalg.eigh(np.cov(scaled, rowvar=False))
        scale = np.maximum(deviations, 1.2e-7 + 0.01 * np.median(deviations))
        own = (vectors - mean) / scale @ directions / np.sqrt(values + treatment_space.SOFTENING)
        kept = np.argsort((own**2).sum(axis=1), kind="stable")[: round(0.8 * len(vectors))]
    known = features - features.mean(axis=0)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    own -= known @ (known.T @ np.linalg.solve(known @ known.T + treatment_space.RIDGE * np.eye(len(known)), own))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    return np.asarray(own @ own[np.searchsorted(treatments.rows, row)])


def test_scores_and_order_are_those_of_the_plain_way(directory: Path) -> None:
    index = Index.open(directory)
    assert len(treatments_of(index).rows) > index.dimension  # so that the smaller system is solved
    for row in (1, 5, 450, 699):
        wanted = plainly(index, row)
        found = cosines(treatment_space_of(index), index, row)
        assert np.abs(found - wanted).max() < 1e-3  # as they are kept in float16
        apart = np.abs(np.diff(np.sort(wanted)[::-1]))[:20] > 1e-3
        assert apart.sum() > 5
        assert np.array_equal(np.argsort(-found)[:20][apart], np.argsort(-wanted)[:20][apart])


def test_few_pictures_are_compared_the_plain_way_too(directory: Path) -> None:
    index = Index.open(directory)
    writer = Writer(directory, index.meta)
    writer.invalidate(range(60, ROWS))
    writer.commit()
    index = Index.open(directory)
    assert 10 < len(treatments_of(index).rows) < index.dimension
    assert np.abs(cosines(treatment_space_of(index), index, 1) - plainly(index, 1)).max() < 1e-3


def test_they_are_made_once(directory: Path, made: list[int]) -> None:
    index = Index.open(directory)
    first = treatment_space_of(index)
    again = treatment_space_of(Index.open(directory))
    assert made == [len(first.rows)]
    assert np.array_equal(first.rows, again.rows)
    assert first.quantiles == again.quantiles
    assert first.quantiles is not None
    for row in (1, 450):
        assert np.array_equal(cosines(first, index, row), cosines(again, index, row))


def test_with_each_change_of_the_index_they_are_made_anew(directory: Path, made: list[int]) -> None:
    before = treatment_space_of(index := Index.open(directory))
    writer = Writer(directory, index.meta)
    writer.invalidate([41, 42])
    writer.commit()
    after = treatment_space_of(Index.open(directory))
    assert made == [len(before.rows), len(before.rows) - 2]
    assert not np.isin([41, 42], after.rows).any()


def test_a_way_that_has_changed_makes_them_anew(
    directory: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    treatment_space_of(Index.open(directory))
    monkeypatch.setattr(treatment_space, "RIDGE", 5.0)
    treatment_space_of(Index.open(directory))
    assert len(made) == 2


def test_damage_is_told_though_they_are_kept(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = Index.open(directory)
    treatment_space_of(index)
    path = directory / index.meta.blocks[0].columns["treatment_numbers"].name
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))
    with pytest.raises(IndexDamagedError, match="does not have length 1"):
        treatment_space_of(Index.open(directory))
    path.write_bytes(content)
    path = directory / index.meta.blocks[0].features.name
    path.write_bytes(path.read_bytes()[:-200] + bytes(200))
    for _ in range(2):
        caplog.clear()
        treatment_space_of(Index.open(directory))
        assert "it has rows that are no features" in caplog.text


def test_small_ones_are_not_kept(directory: Path, made: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_treatments, "SMALL", ROWS)
    for _ in range(2):
        treatment_space_of(Index.open(directory))
    assert len(made) == 2


def test_what_is_no_such_content_is_made_anew(
    directory: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (
        b"",
        b"{}\n",
        b"[1]\n",
        b'{"rows": 9, "numbers": 2, "dimension": 3, "pairs": null}\n',
        b"\xff" * 80,
    ):
        with monkeypatch.context() as patched:
            patched.setattr(kept_treatments, "_packed", lambda space, content=content: [content])
            treatment_space_of(Index.open(directory))
    assert len(made) == 5
