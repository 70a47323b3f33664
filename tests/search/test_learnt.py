"""Searching with a notion: likeness as it was learnt, what it leaves alone, and how it goes with other queries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.cli import cli
from cbir.errors import CbirError
from cbir.index.similarity import sample
from cbir.index.store import Index
from cbir.notions.notion import STRENGTH, LearntRows, Notion
from cbir.notions.ridge import fit
from cbir.notions.store import keep_notion
from cbir.search.centre import Centre, affinities, square_roots
from cbir.search.filters import Among
from cbir.search.learnt import LearntSpace
from cbir.search.queries import AnyQuery, CombinedQuery, FeedbackQuery, IndexedQuery, TextQuery, VectorQuery, WordQuery
from cbir.search.ranker import Ranker
from cbir.search.rerank import COPY, IDENTICAL
from cbir.search.results import SearchResult
from cbir.search.scanner import Scanner
from cbir.search.searcher import Searcher
from cbir.search.space import Space
from tests.helpers.feature_index import make_index
from tests.helpers.notions import make_notion


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def made(groups: int, size: int, *, seed: int = 3, dimension: int = 96) -> np.ndarray:
    """Features of so many groups of `size`, in order, of which each pair is a kind that features tell hardly at all."""
    rng = np.random.default_rng(seed)
    centres = rng.gamma(0.5, 1.0, (groups, dimension))
    rows = np.maximum(np.repeat(centres, size, axis=0) + rng.normal(0, 0.9, (groups * size, dimension)), 0)
    return unit(rows)


#: The kind of each row of `made(16, 15)`: two groups that lie far from each other are one. The last four are of none.
KINDS = np.repeat([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, -1, -1, -1, -1], 15)
LABELLED = np.flatnonzero((np.arange(len(KINDS)) % 3 == 0) & (KINDS >= 0))


def learn(index: Index, kinds: np.ndarray = KINDS, labelled: np.ndarray = LABELLED) -> Notion:
    """A notion of the kinds, kept in the index as `kinds`."""
    features = index.features(range(index.rows))
    centred = unit(features - features.mean(axis=0))
    others = np.setdiff1d(np.arange(0, index.rows, max(1, index.rows // 400)), labelled)
    told = fit(centred[labelled], np.eye(6, dtype=np.float32)[kinds[labelled]], centred[others])
    notion = make_notion(index, labelled, kinds[labelled], weights=told.weights, scale=told.scale)
    notion = replace(notion, cosines=sample(LearntRows(index, notion)))
    keep_notion(index.directory, notion)
    return notion


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """240 made rows, and the notion `kinds`."""
    made_index = make_index(tmp_path / "index", made(16, 15))
    learn(made_index)
    return Index.open(made_index.directory)


def query(index: Index, row: int) -> IndexedQuery:
    return IndexedQuery(Path(f"/photos/{row}.jpg"), f"{row}.jpg", f"{row:064x}", index.features([row])[0])


def found(index: Index, asked: AnyQuery, **options: object) -> SearchResult:
    (result,) = Searcher(index).search([asked], **{"count": 10, "learnt": "kinds", **options})  # type: ignore[arg-type]
    return result


def rows_of(result: SearchResult) -> list[int]:
    return [match.row for match in result.matches]


def average_precision(index: Index, learnt: str | None, *, reranked: bool, asked: np.ndarray) -> float:
    searcher, total = Searcher(index), []
    for row in asked:
        rows, _ = searcher.ranked(index.features([row])[0], index.rows, reranked=reranked, learnt=learnt)
        ranks = np.flatnonzero(KINDS[rows[rows != row]] == KINDS[row]) + 1
        total.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(total))


@pytest.mark.parametrize("reranked", [False, True])
def test_kinds_are_found_that_features_tell_hardly(index: Index, reranked: bool) -> None:
    asked = np.flatnonzero((np.arange(240) % 7 == 1) & (KINDS >= 0))
    plain = average_precision(index, None, reranked=reranked, asked=asked)
    assert average_precision(index, "kinds", reranked=reranked, asked=asked) > plain + 0.15


@pytest.mark.parametrize("reranked", [False, True])
def test_what_it_does_not_claim_is_searched_without_it(index: Index, reranked: bool) -> None:
    notion = LearntSpace(learn(index)).notion
    stranger = next(row for row in range(180, 240) if not notion.claims(notion.scores(index.features([row])))[0])
    result = found(index, query(index, stranger), reranked=reranked)
    plain = found(index, query(index, stranger), reranked=reranked, learnt=None)
    assert result.matches == plain.matches
    assert result.learnt is None
    assert result.notices == (f"The notion kinds claims nothing of {stranger}.jpg, which is searched without it.",)
    assert "learnt" not in result.to_dict()
    claimed = found(index, query(index, 1), reranked=reranked)
    assert (claimed.learnt, claimed.notices, claimed.to_dict()["learnt"]) == ("kinds", (), "kinds")


@pytest.mark.parametrize("count", [240, 5400])
def test_scores_are_the_likeness_that_was_learnt(tmp_path: Path, count: int) -> None:
    """In an index whose rows are all compared, and in one that has candidates."""
    index = make_index(tmp_path / "index", made(count // 15, 15))
    assert (index.meta.candidates is not None) == (count > 5000)
    kinds = np.resize(KINDS, count)
    notion = learn(index, kinds, np.flatnonzero((np.arange(count) % 3 == 0) & (kinds >= 0)))
    likeness = notion.vectors(index.features(range(count)))
    space = LearntSpace(notion)
    claimed, shares = 0, []
    for row in range(1, count, count // 12):
        (vector,), (is_claimed,) = space.queries(index.features([row]))
        if not is_claimed:
            continue
        claimed += 1
        wanted = likeness @ likeness[row]
        for reranked in (False, True):
            ranking = Ranker(index, space).ranked(vector, 20, reranked=reranked)
            assert ranking.rows[0] == row
            assert ranking.cosines == pytest.approx(wanted[ranking.rows], abs=1e-3)
        by_cosine = Ranker(index, space).ranked(vector, 20, reranked=False).rows[:20]
        shares.append(np.isin(np.argsort(-wanted)[:20], by_cosine).mean())
    assert claimed >= 6
    assert np.mean(shares) >= (1 if count < 5000 else 0.95)


def test_a_large_index_is_not_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make_index(tmp_path / "index", made(360, 15))
    notion = learn(index, np.resize(KINDS, 5400), np.arange(0, 160, 3))
    monkeypatch.setattr(Index, "chunks", lambda self, first=0: iter(()) if first else pytest.fail("a scan of all rows"))
    for reranked in (False, True):
        (vector,), _ = LearntSpace(notion).queries(index.features([4]))
        assert Ranker(index, LearntSpace(notion)).ranked(vector, 20, reranked=reranked).rows[0] == 4


def test_a_query_tells_the_feature_that_it_was_made_of(index: Index) -> None:
    space = LearntSpace(learn(index))
    features = index.features(range(0, 240, 9))
    for vector, feature in zip(space.queries(features)[0], features, strict=True):
        assert space.feature(vector) == pytest.approx(feature, abs=2e-4)


def test_the_centre_of_features_is_that_of_all_notions(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    notion = learn(index)
    plain = Scanner(index, Space()).centre()
    own = Scanner(index, LearntSpace(notion)).centre()
    shared = Scanner(index, LearntSpace(notion, lambda: plain)).centre()
    assert shared.root_mean == pytest.approx(own.root_mean, abs=1e-6)
    assert np.array_equal(shared.mean, own.mean)
    keep_notion(index.directory, notion)
    searcher, sampled = Searcher(Index.open(index.directory)), []
    sample = Scanner._sample
    monkeypatch.setattr(Scanner, "_sample", lambda scanner: sampled.append(scanner) or sample(scanner))
    feature = index.features([4])[0]
    for learnt in (notion.name, None, notion.name):
        searcher.ranked(feature, 5, reranked=True, learnt=learnt)
    assert len(sampled) == 1  # the features of a large index's rows are not read for each notion


def test_the_graph_has_scores_beside_roots_and_not_their_roots(index: Index) -> None:
    notion = learn(index)
    space = LearntSpace(notion)
    features = index.features(range(40))
    centre = space.centre(lambda: (space.vectors(index.features(range(240))), 240))
    shortlist = space.shortlist(
        space.queries(features[:1])[0][0], space.vectors(features), np.zeros(40, np.float32), centre
    )
    plain = affinities(square_roots(features), Centre(notion.mean, centre.root_mean))
    scores = STRENGTH * notion.scores(features)
    together = plain + scores @ scores.T
    lengths = np.sqrt(1 + (scores**2).sum(axis=1))
    assert shortlist.affinities(1) == pytest.approx(together / np.outer(lengths, lengths), abs=1e-4)
    assert shortlist.cosines == pytest.approx(features @ features[0], abs=1e-4)


def test_copies_are_told_by_their_features_and_come_first(tmp_path: Path) -> None:
    features = made(16, 15)
    told = learn(make_index(tmp_path / "told", features))
    # the last of them is a copy, and has less of the kind
    less = -0.35 * unit(told.weights[:, KINDS[1]])
    noise = np.random.default_rng(1).normal(0, 1, (3, 96)) * np.array([[0.001], [0.008], [0.016]])
    copies = unit(features[1] + np.concatenate([noise, less[np.newaxis]]))
    index = make_index(tmp_path / "index", np.concatenate([features, copies]))
    notion = learn(index, np.append(KINDS, [-1] * 4))
    notion = replace(notion, scale=6 * notion.scale)
    keep_notion(index.directory, notion)
    searcher = Searcher(Index.open(index.directory))
    rows, _ = searcher.ranked(features[1], 244, reranked=True, learnt="kinds")
    cosines = index.features(range(244)) @ features[1]
    copied = np.flatnonzero(cosines >= COPY)
    assert 4 <= len(copied) <= 5
    assert (np.diff(cosines[rows[: len(copied)]]) <= 1e-3).all()
    likeness = notion.vectors(index.features(range(240))) @ notion.vectors(features[1:2])[0]
    assert (likeness >= COPY).sum() > 5  # which are copies by what was learnt alone
    own = notion.vectors(copies) @ notion.vectors(features[1:2])[0]
    assert np.delete(likeness, 1).max() > own.min()  # and come before one that is a copy
    assert set(rows[: len(copied)].tolist()) == set(copied.tolist())
    result = found(Index.open(index.directory), VectorQuery(features[1]))
    assert [match.relevance for match in result.matches if cosines[match.row] >= IDENTICAL] == [1, 1]


def test_a_filter_leaves_only_its_rows(index: Index) -> None:
    space = LearntSpace(learn(index))
    among = Among.of(np.arange(240) % 2 == 0)
    (vector,), _ = space.queries(index.features([4]))
    for reranked in (False, True):
        rows = Ranker(index, space).ranked(vector, 200, reranked=reranked, among=among).rows
        assert sorted(rows.tolist()) == list(range(0, 240, 2))
        assert (KINDS[rows[:11]] == 0).all()


def test_pictures_together_have_the_mean_of_their_likeness(index: Index) -> None:
    notion = learn(index)
    like = query(index, 1), query(index, 92)
    result = found(index, CombinedQuery(like), count=20)
    vectors = notion.vectors(index.features(range(240)))
    wanted = (vectors @ vectors[1] + vectors @ vectors[92]) / 2
    assert [match.score for match in result.matches] == pytest.approx(wanted[rows_of(result)], abs=1e-4)
    assert (KINDS[rows_of(result)] == 0).mean() >= 0.9


def test_of_pictures_together_those_that_are_not_claimed_have_no_scores(index: Index) -> None:
    notion = learn(index)
    space = LearntSpace(notion)
    unclaimed = next(row for row in range(180, 240) if not space.queries(index.features([row]))[1][0])
    assert notion.scores(index.features([unclaimed])).max() > 0.05
    result = found(index, CombinedQuery((query(index, 1), query(index, unclaimed))), count=20)
    plain = np.append(unit(notion.centred(index.features([unclaimed]))), np.zeros((1, 6), np.float32))
    vectors = notion.vectors(index.features(range(240)))
    wanted = (vectors @ vectors[1] + vectors @ plain) / 2
    assert [match.score for match in result.matches] == pytest.approx(wanted[rows_of(result)], abs=1e-4)


def test_unlike_and_judgements_move_away_from_what_was_learnt(index: Index) -> None:
    one, other = query(index, 1), query(index, 16)
    towards = found(index, FeedbackQuery(one, more=(other,)), count=40)
    away = found(index, FeedbackQuery(one, less=(other,)), count=40)
    unlike = found(index, CombinedQuery((one,), (other,), strength=1.0), count=40)
    shares = [(KINDS[rows_of(result)] == 1).mean() for result in (towards, away, unlike)]
    assert shares[0] > 0.3 > 0.1 >= max(shares[1:])
    # what was judged less is claimed, what was asked is not: the notion has no say
    stranger = next(row for row in range(180, 240) if found(index, query(index, row)).learnt is None)
    assert found(index, FeedbackQuery(query(index, stranger), less=(other,))).learnt is None
    assert found(index, FeedbackQuery(query(index, stranger), more=(other,))).learnt == "kinds"


def test_nothing_asked_is_all_pictures(index: Index) -> None:
    result = found(index, FeedbackQuery())
    assert (len(result.matches), result.learnt, result.notices) == (10, None, ())


def test_percentiles_and_least_scores_are_of_what_was_learnt(index: Index) -> None:
    quantiles = learn(index).cosines
    assert quantiles is not None
    result = found(index, query(index, 1), count=100, min_percentile=95)
    assert 0 < len(result.matches) < 100
    for match in result.matches:
        assert match.percentile == pytest.approx(quantiles.percentile(match.score))
        assert match.percentile >= 95
    assert result.matches[0].relevance is not None
    relevance = [match.relevance or 0 for match in found(index, query(index, 1), count=100).matches]
    assert relevance == sorted(relevance, reverse=True)


def test_a_notion_that_does_not_know_how_alike_pictures_are(index: Index) -> None:
    keep_notion(index.directory, replace(learn(index), cosines=None))
    index = Index.open(index.directory)
    assert {match.percentile for match in found(index, query(index, 1)).matches} == {None}
    assert {match.relevance for match in found(index, query(index, 1)).matches} == {None}
    with pytest.raises(CbirError, match="The notion kinds does not know how alike"):
        found(index, query(index, 1), min_percentile=95)


def test_what_a_notion_does_not_go_with(index: Index) -> None:
    asked = query(index, 1)
    for one in (WordQuery.from_text("dog"), TextQuery.from_text("a dog"), replace(asked, parts=True)):
        with pytest.raises(CbirError, match=r"A notion .* orders what whole pictures find"):
            found(index, one)
    with pytest.raises(CbirError, match=r"by a notion .* or by --class-weights"):
        found(index, asked, class_name="tabby")
    with pytest.raises(CbirError, match="no notion other in the index"):
        found(index, asked, learnt="other")


def test_a_search_without_it_does_not_read_it(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    from cbir.search import searched

    monkeypatch.setattr(searched, "load_notion", lambda *_: pytest.fail("a notion was read"))
    assert len(found(index, query(index, 1), learnt=None).matches) == 10


def test_few_rankers_are_kept(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    from cbir.search import searched

    notion, searcher = learn(index), Searcher(index)
    for number in range(8):
        keep_notion(index.directory, replace(notion, name=f"kinds {number}"))
    searcher = Searcher(Index.open(index.directory))
    for number in range(8):
        (result,) = searcher.search([query(index, 1)], learnt=f"kinds {number}")
        assert result.learnt == f"kinds {number}"
    assert len(searcher._searched._rankers) == searched._RANKERS


def test_on_the_command_line(index: Index, tmp_path: Path) -> None:
    def run(*arguments: str) -> object:
        return CliRunner().invoke(cli, ["search", "--index", f"{index.directory}/", *arguments])

    wrong = run("--word", "dog", "--learnt", "kinds")
    assert wrong.exit_code == 2  # type: ignore[attr-defined]
    assert "--learnt is for" in wrong.stderr  # type: ignore[attr-defined]
