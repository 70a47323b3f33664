"""Notions from marks: alike and unlike, growing, kept however few they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError
from cbir.index.similarity import sample
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.learn import marks
from cbir.learn.marks import ALIKE, learn_marks
from cbir.learn.pictures import Picture
from cbir.notions.notion import NONE, LearntRows, Notion
from cbir.notions.store import keep_notion, load_notion
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index
from tests.helpers.notions import make_notion

DIMENSION, EACH = 32, 40


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Four kinds of forty pictures, row by row."""
    random = np.random.default_rng(3)
    centres = l2_normalize(random.normal(0, 1, (4, DIMENSION)).astype(np.float32))
    rows = np.repeat(centres, EACH, axis=0) + 0.15 * random.normal(0, 1, (4 * EACH, DIMENSION))
    directory = tmp_path / "index"
    index = make_index(directory, l2_normalize(rows.astype(np.float32)))
    Writer(directory, index.meta).replace(index.meta.but(cosines=sample(index)))
    return Index.open(directory)


def pictures(index: Index, rows: Sequence[int]) -> list[Picture]:
    return [Picture(index.root / index.record(row).path, index.record(row).sha256, row) for row in rows]


def learnt(index: Index, alike: Sequence[int], unlike: Sequence[int] = (), before: Notion | None = None) -> Notion:
    return learn_marks(index, "mine", pictures(index, alike), pictures(index, unlike), before)


def precision(index: Index, notion: Notion, query: int) -> float:
    """How many of the first forty rows by a notion are of the query's kind."""
    vectors = notion.vectors(index.features(range(index.rows)))
    first = np.argsort(-(vectors @ vectors[query]))[:EACH]
    return float((first // EACH == query // EACH).mean())


def marked(notion: Notion) -> dict[str, int]:
    contents = (one.tobytes().hex() for one in notion.labels.sha256s)
    return dict(zip(contents, notion.labels.classes.tolist(), strict=True))


def test_what_is_alike_gets_scores_and_what_is_unlike_gets_none(index: Index) -> None:
    notion = learnt(index, range(6), range(EACH, EACH + 4))
    assert (notion.kind, notion.classes, notion.verdict) == ("marks", (ALIKE,), "applied")
    assert notion.quality > 0.6
    scores = notion.scores(index.features(range(index.rows)))[:, 0].reshape(4, EACH)
    assert scores[0, 6:].mean() > 4 * scores[1:].mean()
    claims = notion.claims(scores.reshape(-1, 1)).reshape(4, EACH)
    assert claims[0].mean() > 0.9
    assert claims[1:].mean() < 0.1
    probabilities = notion.probabilities(index.features([20, 60]))[:, 0]
    assert probabilities[0] > 0.7 > 0.3 > probabilities[1]


def test_marks_grow_and_the_newest_counts(index: Index) -> None:
    few = learnt(index, [0], [EACH])
    assert few.verdict == "weak"
    more = learnt(index, [1, 2, 3, EACH], [EACH + 1, 0], few)
    numbers = {index.record(row).sha256: 0 for row in (1, 2, 3, EACH)}
    numbers |= {index.record(row).sha256: NONE for row in (EACH + 1, 0)}
    assert marked(more) == numbers
    assert (more.mean == few.mean).all()


def test_a_notion_of_marks_is_kept_and_read_and_grows_from_its_file(index: Index) -> None:
    keep_notion(index.directory, learnt(index, range(3), [EACH]))
    index = Index.open(index.directory)
    assert find_problems(index) == []
    grown = learnt(index, range(3, 6), [], load_notion(index, "mine"))
    keep_notion(index.directory, grown)
    index = Index.open(index.directory)
    read = load_notion(index, "mine")
    assert marked(read) == marked(grown)
    assert len(marked(read)) == 7
    assert read.certainty == grown.certainty
    assert read.cosines == grown.cosines


def test_pictures_that_the_index_has_not_keep_their_features(index: Index) -> None:
    features = index.features([5, 6, 50])
    outside = [Picture(Path("x"), f"{number:064x}", None, one) for number, one in enumerate(features, 10_000)]
    notion = learn_marks(index, "mine", outside[:2], outside[2:])
    assert notion.labels.features.shape == (3, DIMENSION)
    grown = learnt(index, [1], [], notion)
    assert list(marked(grown).values()).count(0) == 3
    assert precision(index, grown, 20) > 0.9
    # one that the index had, and has lost, teaches nothing, and is not forgotten
    kept = learnt(index, [1, 2])
    writer = Writer(index.directory, index.meta)
    writer.invalidate([1])
    writer.commit()
    grown = learnt(Index.open(index.directory), [3], [], kept)
    assert marked(grown) == dict.fromkeys((f"{number:064x}" for number in (1, 2, 3)), 0)
    alone = learn_marks(Index.open(index.directory), "mine", pictures(index, [2, 3]), [])
    assert np.allclose(grown.weights, alone.weights, atol=0.01)


def test_how_alike_rows_are_is_told_from_a_sample(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = learnt(index, range(5)).cosines
    monkeypatch.setattr(marks, "_SAMPLED", 60)
    notion = learnt(index, range(5))
    about = notion.cosines
    assert exact is not None
    assert about is not None
    assert exact == sample(LearntRows(index, notion))
    assert about != exact
    assert (about.rows, about.probabilities) == (exact.rows, exact.probabilities)
    assert np.abs(np.array(about.random) - np.array(exact.random))[2:-2].max() < 0.15
    assert np.abs(np.array(about.nearest) - np.array(exact.nearest))[2:-2].max() < 0.08
    assert list(about.nearest) == sorted(about.nearest)


def test_how_alike_rows_are_is_looked_at_again_when_marks_have_doubled(index: Index) -> None:
    notion, seen = None, []
    for row in range(8):
        notion = learnt(index, [row], [], notion)
        seen.append(notion.cosines)
    changed = [number + 1 for number in range(8) if number == 0 or seen[number] != seen[number - 1]]
    assert changed == [1, 2, 4, 8]
    assert seen[-1] == sample(LearntRows(index, notion))


def test_what_cannot_be_marked_is_told(index: Index) -> None:
    with pytest.raises(CbirError, match="nothing to learn mine from: mark a picture as alike"):
        learnt(index, [], [1])
    with pytest.raises(CbirError, match=r"/photos/3.jpg is marked as alike and as unlike"):
        learnt(index, [1, 3], [2, 3])
    kinds = make_notion(index, np.array([0, EACH]), np.array([0, 1]))
    with pytest.raises(CbirError, match="was learnt from classes: marks cannot be added"):
        learnt(index, [1], [], kinds)
    with pytest.raises(CbirError, match="was learnt by another network: marks cannot be added"):
        learnt(index, [1], [], replace(learnt(index, [2]), model="0" * 64))


def test_an_index_of_one_picture_can_be_marked(tmp_path: Path) -> None:
    single = make_index(tmp_path / "single", np.eye(1, 8, dtype=np.float32))
    notion = learnt(single, [0])
    assert np.isfinite(notion.scores(single.features([0]))).all()
    keep_notion(single.directory, notion)
    assert load_notion(Index.open(single.directory), "mine").verdict == "weak"


def test_too_many_marks_are_refused(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MOST_MARKS", 5)
    before = learnt(index, range(5))
    with pytest.raises(CbirError, match="would have 6 marks, and can have 5"):
        learnt(index, [9], [], before)
