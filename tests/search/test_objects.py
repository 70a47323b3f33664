"""Search by objects: what it finds and in which order, as a query and as a filter, and what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.imagenet import classes as imagenet
from cbir.detect.classes import COCO, numbers_of
from cbir.errors import CbirError, IndexDamagedError, WordError
from cbir.index.columns.classes import CLASSES, COUNT, pack
from cbir.index.columns.objects import MOST
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.search.filters import RowFilter
from cbir.search.object_query import ObjectQuery, WantedObject
from cbir.search.queries import AnyQuery, FeedbackQuery, VectorQuery, WordQuery
from cbir.search.results import SearchResult
from cbir.search.searcher import Searcher
from tests.helpers.feature_index import make_index
from tests.helpers.object_index import Thing, make_object_index

#: What the pictures show; nobody has looked at the last two.
THINGS: dict[int, list[Thing]] = {
    0: [("dog", 0.9, (10, 20, 30, 40)), ("person", 0.7, (0, 0, 50, 60)), ("dog", 0.3, (60, 20, 30, 40))],
    1: [("dog", 0.6, (1, 2, 3, 4)), ("dog", 0.5, (5, 6, 7, 8))],
    2: [("cat", 0.8, (2, 2, 9, 9)), ("person", 0.3, (4, 4, 9, 9))],
    3: [],
    4: [("bus", 0.5, (3, 3, 5, 5)), ("dog", 0.1, (1, 1, 2, 2))],
}
ROWS = 7


@pytest.fixture
def features() -> np.ndarray:
    """Rows that are the less like the last one the smaller their number is."""
    angles = np.linspace(0, 1.5, ROWS)
    return np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


@pytest.fixture
def index(tmp_path: Path, features: np.ndarray) -> Index:
    return make_object_index(tmp_path / "index", features, THINGS)


def search(index: Index, query: AnyQuery, **options: object) -> SearchResult:
    (result,) = Searcher(index).search([query], **options)  # type: ignore[arg-type]
    return result


def scores(index: Index, query: AnyQuery, **options: object) -> dict[int, float]:
    return {match.row: round(match.score, 3) for match in search(index, query, **options).matches}


@pytest.mark.parametrize(
    ("wanted", "without", "expected"),
    [
        (["dog"], [], {0: 0.9, 1: 0.6, 4: 0.1}),
        (["2:dog"], [], {1: 0.5, 0: 0.3}),
        (["3:dog"], [], {}),
        (["dog", "person"], [], {0: 0.7}),
        (["dog:0.2"], [], {0: 0.9, 1: 0.6}),
        (["2:dog:0.4"], [], {1: 0.5}),
        (["animal"], [], {0: 0.9, 2: 0.8, 1: 0.6, 4: 0.1}),  # by WordNet; of two kinds
        (["dog"], ["person"], {1: 0.6, 4: 0.1}),
        (["animal"], ["person"], {2: 0.8, 1: 0.6, 4: 0.1}),  # that person is not believed
        (["animal"], ["person:0.2"], {1: 0.6, 4: 0.1}),
        (["animal"], ["2:dog"], {0: 0.9, 2: 0.8, 4: 0.1}),
        ([], ["dog"], {2: 1.0, 3: 1.0, 4: 0.9}),
    ],
)
def test_pictures_come_by_their_best_detections(
    index: Index, wanted: list[str], without: list[str], expected: dict[int, float]
) -> None:
    found = scores(index, ObjectQuery.from_text(*wanted, without=without))
    assert found == expected
    assert list(found) == list(expected)


def test_the_limits_of_a_search_hold(index: Index) -> None:
    query = ObjectQuery.from_text("animal")
    assert list(scores(index, query, count=2)) == [0, 2]
    assert search(index, query, count=2).total == 4
    assert search(index, query, count=2, min_score=0.5).total == 3
    assert list(scores(index, query, count=2, offset=1)) == [2, 1]
    assert list(scores(index, query, min_score=0.5)) == [0, 2, 1]
    assert list(scores(index, query, among=RowFilter(objects=(WantedObject("person", least_score=0.2),)))) == [0, 2]
    with pytest.raises(ValueError, match="percentile"):
        search(index, query, min_percentile=50)


def test_matches_have_the_detections_that_were_looked_for(index: Index) -> None:
    first, second = search(index, ObjectQuery.from_text("2:animal")).matches
    assert [(one.name, round(one.score, 3), one.box) for one in first.objects] == [
        ("dog", 0.6, (1, 2, 3, 4)),
        ("dog", 0.5, (5, 6, 7, 8)),
    ]
    record = second.to_dict()
    assert record["objects"] == [
        {"class": "dog", "score": 0.9, "box": [10.0, 20.0, 30.0, 40.0]},
        {"class": "dog", "score": 0.3, "box": [60.0, 20.0, 30.0, 40.0]},
    ]
    assert record["percentile"] is None
    assert record["relevance"] is None


def test_a_query_says_itself() -> None:
    query = ObjectQuery.from_text("2:dog:0.50", " cat ", without=["person"])
    assert query.objects == (WantedObject("dog", 2, 0.5), WantedObject("cat"))
    assert query.name == "2:dog:0.5 + cat, not person"
    assert query.to_dict() == {"query": query.name, "objects": ["2:dog:0.5", "cat"], "not_objects": ["person"]}
    assert ObjectQuery.from_text(without=["dog"]).name == "not dog"
    for wrong in ("", ":", "2:", "dog:", "dog:2", "dog:x", "dog:nan", "dog:-0.1", "0:dog", "2::0.5"):
        with pytest.raises(ValueError, match=r"object|score|there"):
            WantedObject.parse(wrong)
    with pytest.raises(ValueError, match="needs one"):
        ObjectQuery(())
    with pytest.raises(TypeError, match="filter"):
        FeedbackQuery(query)  # type: ignore[arg-type]


@pytest.mark.parametrize("reranked", [False, True])
def test_a_filter_leaves_pictures_that_show_what_is_asked(index: Index, features: np.ndarray, reranked: bool) -> None:
    def found(**objects: list[str]) -> list[int]:
        texts = {name: tuple(map(WantedObject.parse, its)) for name, its in objects.items()}
        result = search(index, VectorQuery(features[-1]), reranked=reranked, among=RowFilter(**texts))
        return [match.row for match in result.matches]

    assert found(objects=["dog"]) == [1, 0]  # the one that is not believed is no dog
    assert found(objects=["dog:0.05"]) == [4, 1, 0]
    assert found(objects=["2:dog"]) == [1]
    assert found(objects=["dog", "person"]) == [0]
    assert found(not_objects=["dog"]) == [4, 3, 2]  # nobody knows of the last two
    assert found(not_objects=["animal", "bus"]) == [3]
    assert found(objects=["dog"], not_objects=["person"]) == [1]
    with_objects = RowFilter(objects=(WantedObject("dog"),))
    (match, other) = search(index, VectorQuery(features[-1]), reranked=reranked, among=with_objects).matches
    assert [one.name for one in match.objects] == [one.name for one in other.objects] == ["dog"]
    assert match.percentile is not None


def test_a_search_without_objects_does_not_read_them(index: Index, features: np.ndarray) -> None:
    next(index.directory.glob("objects-*")).write_bytes(b"nonsense")
    damaged = Index.open(index.directory)
    assert len(search(damaged, VectorQuery(features[0])).matches) == ROWS
    with pytest.raises(IndexDamagedError):
        search(damaged, ObjectQuery.from_text("dog"))


def test_pictures_that_nobody_has_looked_at_are_told_of(index: Index, features: np.ndarray, tmp_path: Path) -> None:
    (notice,) = search(index, ObjectQuery.from_text("dog")).notices
    assert "of 2 of the index's 7 pictures" in notice
    filtered = search(index, VectorQuery(features[0]), among=RowFilter(objects=(WantedObject("dog"),)))
    assert filtered.notices == (notice,)
    assert search(index, VectorQuery(features[0])).notices == ()
    whole = make_object_index(tmp_path / "whole", features, {row: [] for row in range(ROWS)})
    result = search(whole, ObjectQuery.from_text("dog"))
    assert (result.matches, result.notices) == ([], ())


def test_an_index_without_objects_says_how_to_get_them(tmp_path: Path, features: np.ndarray) -> None:
    plain = make_index(tmp_path / "plain", features)
    for options in ({"query": ObjectQuery.from_text("dog")}, {"among": RowFilter(objects=(WantedObject("dog"),))}):
        with pytest.raises(CbirError, match=re.escape("`cbir index --index plain --objects`")):
            search(plain, options.get("query", VectorQuery(features[0])), among=options.get("among"))  # type: ignore[arg-type]


def test_unknown_objects_and_impossible_counts_are_errors(index: Index) -> None:
    with pytest.raises(WordError, match="Did you mean dog"):
        search(index, ObjectQuery.from_text("dogg"))
    with pytest.raises(WordError, match="Its classes are bus, cat, dog, person"):
        search(index, ObjectQuery.from_text("zebra"))
    with pytest.raises(CbirError, match=str(MOST)):
        search(index, ObjectQuery.from_text(f"{MOST + 1}:dog"))


def with_classes(index: Index, dogs: dict[int, float], known: range) -> Index:
    """The same index, in which the network gives beagles some probability; of rows not `known` there are no classes."""
    beagle = next(one.number for one in imagenet() if one.wordnet_id == "n02088364")
    writer = Writer(index.directory, index.meta)
    for row in known:
        numbers = [beagle, *range(700, 700 + COUNT - 1)]
        writer.backfill(CLASSES, [row], pack(np.array(numbers), np.array([dogs[row], *[0.001] * (COUNT - 1)])))
    writer.commit()
    return Index.open(index.directory)


def test_words_take_the_picture_s_classes_and_its_objects(index: Index, tmp_path: Path) -> None:
    dog = dict.fromkeys(range(ROWS), 0.0) | {1: 0.5, 3: 0.25, 5: 0.125}
    both = with_classes(index, dog, known=range(6))
    result = search(both, WordQuery.from_text("dog"))
    assert [match.row for match in result.matches] == [0, 1, 3, 5, 4]
    probabilities = {match.row: match.probability for match in result.matches}
    assert probabilities[1] == pytest.approx(1 - 0.5 * 0.4, abs=1e-3)  # either is right
    assert probabilities[0] == pytest.approx(0.9, abs=1e-3)
    assert probabilities[3] == pytest.approx(0.25, abs=1e-3)
    assert [[one.name for one in match.objects] for match in result.matches] == [["dog"], ["dog"], [], [], []]
    assert len(result.notices) == 2
    # what neither has seen, and what is not to be shown
    assert [match.row for match in search(both, WordQuery.from_text(without=["dog"])).matches] == [2, 4, 5, 3, 1, 0]
    assert search(both, WordQuery.from_text("dog"), min_probability=0.85).total == 1
    frump = WordQuery((WordQuery.from_text("dog").words[0].choose(2),))
    assert all(not match.objects for match in search(both, frump).matches)


def test_a_usual_class_is_itself_and_any_other_word_all_that_is_one() -> None:
    assert [COCO[number] for number in numbers_of("cake", COCO)] == ["cake"]
    assert [COCO[number] for number in numbers_of("cakes", COCO)] == ["donut", "cake"]
    assert numbers_of("dog", ["poodle", "cat", "dog"]) == [0, 2]


def test_a_tag_is_what_the_detector_saw_too(index: Index) -> None:
    def tagged(*tags: str) -> list[int]:
        (result,) = Searcher(index).search([VectorQuery(np.ones(2, np.float32))], among=RowFilter(tags=tags))
        return sorted(match.row for match in result.matches)

    assert tagged("dog") == [0, 1]
    assert tagged("animal") == [0, 1, 2]
    assert tagged("animal", "person") == [0]
    for unknown in ("violin", "happiness", " "):
        with pytest.raises(CbirError):
            tagged(unknown)
