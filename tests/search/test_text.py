"""Search by a text, where the network of an index reads text, and where it reads none."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.backbone import describe
from cbir.engines.lazy import LazyEngine
from cbir.errors import ModelError
from cbir.search.queries import AnyQuery, CombinedQuery, FeedbackQuery, NounQuery, Text, TextQuery, VectorQuery
from cbir.search.resolve import QueryPicture
from cbir.search.results import Match
from cbir.search.searched import SearchedIndex
from cbir.search.searcher import Searcher
from cbir.search.strategies import Strategies
from cbir.search.strategy import SearchLimits, SearchRequest
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index

COLOURS = ("red", "green", "blue")


class ColourEngine(LazyEngine):
    """An engine whose encoder of texts knows three words: the first, second and third number of a feature."""

    def __init__(self) -> None:
        super().__init__(replace(describe("fake"), modalities=("image", "text")))

    def text(self, texts: Sequence[str]) -> np.ndarray:
        counts = [[text.split().count(colour) for colour in COLOURS] for text in texts]
        return l2_normalize(np.array(counts, dtype=np.float32))


def searched(directory: Path, query: AnyQuery, request: SearchRequest) -> list[Match]:
    """Search sixty pictures, of which the first third is red, the second green, the last blue."""
    random = np.random.default_rng(3)
    features = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0) + random.random((60, 3), dtype=np.float32) * 0.3
    directory.mkdir(exist_ok=True)
    index = make_index(directory / "index", features)
    strategy = Strategies(SearchedIndex(index, ColourEngine())).of(query)
    strategy.check(query, request)
    pictures = [QueryPicture([], l2_normalize(one.vector)) for one in query.images if isinstance(one, VectorQuery)]
    return strategy.find(query, pictures, [], request).matches


def found(directory: Path, query: AnyQuery, request: SearchRequest) -> list[int]:
    return [match.row for match in searched(directory, query, request)]


def vector(*numbers: float) -> VectorQuery:
    return VectorQuery(np.array(numbers, dtype=np.float32))


RED, GREEN, BLUE = (set(range(start, start + 20)) for start in (0, 20, 40))


@pytest.mark.parametrize(("text", "rows"), [("a red thing", RED), ("a blue blue thing", BLUE), ("green", GREEN)])
@pytest.mark.parametrize("reranked", [True, False])
def test_pictures_are_found_by_a_text(tmp_path: Path, text: str, rows: set[int], reranked: bool) -> None:
    matches = searched(tmp_path, TextQuery.from_text(text), SearchRequest(60, reranked))
    assert {match.row for match in matches[:20]} == rows
    assert sorted(match.row for match in matches) == list(range(60))
    assert all(match.relevance is None for match in matches)
    # the percentile is the share of the pictures that fit less
    scores = sorted(match.score for match in matches)
    for match in matches:
        if match.score < 1:  # which several are, rounded
            less = bisect_right(scores, match.score) - 1
            assert match.percentile == pytest.approx(100 * less / 60, abs=1e-3)


@pytest.mark.parametrize("reranked", [True, False])
def test_texts_count_by_their_weights(tmp_path: Path, reranked: bool) -> None:
    def first(name: str, *texts: str) -> int:
        return found(tmp_path / name, TextQuery.from_text(*texts), SearchRequest(1, reranked))[0]

    assert first("one", "3:a red thing", "a green thing") in RED
    assert first("other", "a red thing", "3:a green thing") in GREEN


def test_what_is_unwanted_is_moved_away_from(tmp_path: Path) -> None:
    def last(name: str, *without: str) -> set[int]:
        query = TextQuery.from_text("a red thing", without=without)
        return set(found(tmp_path / name, query, SearchRequest(60, reranked=False))[-20:])

    assert last("green", "2:a green thing") == GREEN
    assert last("blue", "2:a blue thing") == BLUE


def test_a_picture_and_a_text_have_as_much_of_a_say(tmp_path: Path) -> None:
    class Close(ColourEngine):
        """An encoder whose texts all are much alike, as those of real ones are."""

        def text(self, texts: Sequence[str]) -> np.ndarray:
            return l2_normalize(super().text(texts) * np.float32(0.02) + 1)

    index = make_index(tmp_path / "index", np.eye(3, dtype=np.float32).repeat(20, axis=0))
    searched = SearchedIndex(index, Close())
    query = TextQuery.from_text("3:a green thing", picture=vector(1, 0.1, 0))
    matches = (
        Strategies(searched).of(query).find(query, [QueryPicture([], vector(1, 0.1, 0).vector)], [], SearchRequest(60))
    )
    assert {match.row for match in matches.matches[:20]} == GREEN
    with_red = replace(query, texts=(Text("a green thing", 0.3),))
    matches = (
        Strategies(searched).of(query).find(with_red, [QueryPicture([], vector(1, 0, 0).vector)], [], SearchRequest(60))
    )
    assert {match.row for match in matches.matches[:20]} == RED


def test_a_text_and_several_pictures(tmp_path: Path) -> None:
    picture = CombinedQuery((vector(1, 0, 0), vector(0, 1, 0)), (vector(0, 0, 1),))
    rows = found(tmp_path, TextQuery.from_text("a red thing", picture=picture), SearchRequest(60, reranked=False))
    assert set(rows[:20]) == RED
    assert set(rows[-20:]) == BLUE


@pytest.mark.parametrize("reranked", [True, False])
def test_judgements_move_a_text(tmp_path: Path, reranked: bool) -> None:
    query = FeedbackQuery(TextQuery.from_text("a red thing"), more=(vector(0, 1, 0),), less=(vector(1, 0, 0),))
    assert set(found(tmp_path, query, SearchRequest(20, reranked))) == GREEN


def test_least_numbers_cut_off(tmp_path: Path) -> None:
    def count(name: str, limits: SearchLimits, text: str) -> int:
        return len(found(tmp_path / name, TextQuery.from_text(text), SearchRequest(60, limits=limits)))

    assert count("score", SearchLimits(min_score=0.99), "red blue") == 0
    assert count("some", SearchLimits(min_score=0.8), "a red thing") == 20
    assert count("percentile", SearchLimits(min_percentile=90), "red") == 6


def test_of_few_pictures_all_are_found(tmp_path: Path) -> None:
    for count in (1, 2, 5):
        index = make_index(tmp_path / str(count), np.eye(3, dtype=np.float32)[np.arange(count) % 3])
        query = TextQuery.from_text("a red thing")
        matches = (
            Strategies(SearchedIndex(index, ColourEngine())).of(query).find(query, [], [], SearchRequest(9)).matches
        )
        assert len(matches) == count
        assert matches[0].row in (0, 3)


def test_a_text_without_any_known_word_still_answers(tmp_path: Path) -> None:
    assert len(found(tmp_path, TextQuery.from_text("xyzzy"), SearchRequest(60))) == 60


def nouns(directory: Path, query: AnyQuery) -> NounQuery:
    index = make_index(directory / "index", np.eye(4, dtype=np.float32))
    settled = Searcher(index)._strategies.settled(query, SearchRequest())
    settled = settled.start if isinstance(settled, FeedbackQuery) else settled
    assert isinstance(settled, NounQuery)
    return settled


def test_without_a_network_that_reads_text_the_nouns_are_looked_for(tmp_path: Path) -> None:
    asked = TextQuery.from_text("two parrots on a branch", without=["a cage"], picture=vector(1, 0, 0, 0))
    found = nouns(tmp_path, asked)
    assert [word.text for word in found.words] == ["parrots"]
    assert [word.text for word in found.without] == ["cage"]
    assert found.picture == asked.picture
    assert found.remarks[0] == (
        "The network of the index index, efficientnet_lite0, reads no text: pictures are looked for that show parrots "
        "and not cage, by words (`--word`)."
    )


def test_judgements_of_a_text_are_those_of_its_nouns(tmp_path: Path) -> None:
    asked = FeedbackQuery(TextQuery.from_text("a dog"), more=(vector(1, 0, 0, 0),))
    assert [word.name for word in nouns(tmp_path, asked).words] == ["dog"]


def test_a_text_without_nouns_is_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index", np.eye(4, dtype=np.float32))
    with pytest.raises(ModelError, match=r"efficientnet_lite0, reads no text, and there is no noun.*--word"):
        next(Searcher(index).search([TextQuery.from_text("at it")]))
    with pytest.raises(ModelError, match="no least score"):
        next(Searcher(index).search([TextQuery.from_text("a dog")], min_score=0.5))


def test_a_text_tells_itself() -> None:
    query = TextQuery.from_text("2:a dog", "a cat", without=[".5:snow"])
    assert query.texts == (Text("a dog", 2), Text("a cat"))
    assert (query.name, query.images) == ("2:a dog + a cat, not 0.5:snow", ())
    assert query.to_dict() == {
        "query": "2:a dog + a cat, not 0.5:snow",
        "texts": [{"text": "a dog", "weight": 2.0}, {"text": "a cat", "weight": 1.0}],
        "not_texts": [{"text": "snow", "weight": 0.5}],
    }
    both = TextQuery((), (Text("snow"),), vector(1, 0))
    assert both.to_dict() == {"query": "the vector", "texts": [], "not_texts": [{"text": "snow", "weight": 1.0}]}


@pytest.mark.parametrize(
    ("typed", "sentence", "weight"),
    [
        ("a dog", "a dog", 1),
        ("2:golden retriever", "golden retriever", 2),
        (" 0.5: dog ", "dog", 0.5),
        (".25:x", "x", 0.25),
        ("1.:x", "x", 1),
        ("10:15 at the station", "10:15 at the station", 1),
        ("3: 4 dogs", "3: 4 dogs", 1),
        ("dog: a portrait", "dog: a portrait", 1),
        ("-1:dog", "-1:dog", 1),
        ("2:a\nb", "a\nb", 2),
    ],
)
def test_weights_are_read(typed: str, sentence: str, weight: float) -> None:
    assert Text.parse(typed) == Text(sentence, weight)


@pytest.mark.parametrize("typed", ["", " ", "2:", "2: ", "0:dog", "1000001:dog", "0.0000001:dog", f"{'9' * 400}:dog"])
def test_impossible_texts_are_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"needs one|no number from|no finite number"):
        Text.parse(typed)
    with pytest.raises(ValueError, match="needs one"):
        TextQuery((), (Text("snow"),))
