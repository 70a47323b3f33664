"""The measures of `cbir evaluate`, against what comes out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError
from cbir.evaluation.ground_truth import GroundTruth, Judgement, by_file, by_folder
from cbir.evaluation.metrics import Scores, average_precision, mean, precision_at, recall_at, score
from cbir.evaluation.runner import evaluate, ranks_of
from cbir.evaluation.systems import ClassicalSystem


def ranks(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


@pytest.mark.parametrize(
    ("relevant", "expected"),
    [
        (ranks(1), 1.0),
        (ranks(4), 1 / 4),  # one relevant picture: the inverse of its rank
        (ranks(1, 2, 3), 1.0),  # all relevant pictures first
        (ranks(1, 3, 6), (1 / 1 + 2 / 3 + 3 / 6) / 3),  # the example of docs/measures.md
        (ranks(8, 9, 10), (1 / 8 + 2 / 9 + 3 / 10) / 3),  # all of them last
    ],
)
def test_average_precision_by_hand(relevant: np.ndarray, expected: float) -> None:
    assert average_precision(relevant) == pytest.approx(expected, abs=1e-12)


def test_average_precision_is_one_where_everything_is_relevant() -> None:
    assert average_precision(np.arange(1, 1001)) == 1


@pytest.mark.parametrize(
    ("count", "ranked", "expected"),
    [(1, 9, 1.0), (2, 9, 1 / 2), (3, 9, 2 / 3), (10, 50, 3 / 10), (10, 6, 3 / 6), (10, 9, 3 / 9)],
)
def test_precision_by_hand(count: int, ranked: int, expected: float) -> None:
    assert precision_at(count, ranks(1, 3, 6), ranked) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "expected"), [(1, 1 / 3), (2, 1 / 3), (3, 2 / 3), (5, 2 / 3), (6, 1), (100, 1)])
def test_recall_by_hand(count: int, expected: float) -> None:
    assert recall_at(count, ranks(1, 3, 6)) == pytest.approx(expected)


def test_nothing_found_early_is_zero() -> None:
    found = score(ranks(11, 12), 20, [5, 10, 11])
    assert found.precision == {1: 0, 10: 0}
    assert found.recall == {5: 0, 10: 0, 11: 0.5}
    assert found.average_precision == pytest.approx((1 / 11 + 2 / 12) / 2)


def test_the_mean_counts_queries_alike() -> None:
    both = mean([Scores(1, 1.0, {1: 1.0}, {10: 0.5}), Scores(1, 0.25, {1: 0.0}, {10: 0.0})])
    assert both == Scores(2, 0.625, {1: 0.5}, {10: 0.25})


def test_query_and_ignored_pictures_are_taken_out_before_ranks_are_counted() -> None:
    ranking = ranks(4, 0, 5, 1, 3, 2)
    judgement = Judgement(query=0, relevant=ranks(0, 1, 2), ignored=ranks(5))
    # left: 4, 1, 3, 2
    found, ranked = ranks_of(judgement, ranking)
    assert found.tolist() == [2, 4]
    assert ranked == 4


#: Features on a circle: pictures 0, 1, 2 are of class a, 3 and 4 of class b, 5 is alone in c.
ANGLES = np.radians([0, 10, 52, 30, 90, 180])
PATHS = ["a/0.jpg", "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg", "c/5.jpg"]


@pytest.fixture
def circle() -> ClassicalSystem:
    return ClassicalSystem("circle", np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32))


def test_a_whole_evaluation_by_hand(circle: ClassicalSystem) -> None:
    truth = by_folder(PATHS)
    assert truth.without_relevant == 1
    result = evaluate(circle, truth, [1, 2])
    average_precisions = {
        0: (1 / 1 + 2 / 3) / 2,  # 1 3 2 4 5
        1: (1 / 1 + 2 / 3) / 2,  # 0 3 2 4 5
        2: (1 / 3 + 2 / 4) / 2,  # 3 4 1 0 5
        3: 1 / 4,  # 1 2 0 4 5
        4: 1 / 2,  # 2 3 1 0 5
    }
    a = np.mean([average_precisions[item] for item in (0, 1, 2)])
    b = np.mean([average_precisions[item] for item in (3, 4)])
    assert result.overall.average_precision == pytest.approx((3 * a + 2 * b) / 5)
    assert result.overall.queries == 5
    assert list(result.classes) == ["a", "b"]
    assert result.classes["a"].average_precision == pytest.approx(a)
    assert result.classes["b"].average_precision == pytest.approx(b)
    assert result.overall.precision == {1: 2 / 5, 10: pytest.approx((3 * 2 / 5 + 2 * 1 / 5) / 5)}
    assert result.overall.recall == {1: pytest.approx(1 / 5), 2: pytest.approx((1 / 2 + 1 / 2 + 1) / 5)}
    assert (result.candidates_recall, result.timing.candidates) == (None, None)


def test_ties_are_in_the_order_of_pictures() -> None:
    same = ClassicalSystem("same", np.ones((5, 1), dtype=np.float32))
    assert [ranking.tolist() for ranking in same.rankings([0, 3])] == [[0, 1, 2, 3, 4]] * 2
    truth = by_folder(["a/0", "b/1", "b/2", "a/3", "b/4"])
    result = evaluate(same, truth)
    assert result.classes["a"].average_precision == pytest.approx((1 / 3 + 1 / 1) / 2)


def test_a_class_is_the_whole_folder_below_the_root() -> None:
    truth = by_folder(["2023/cats/1", "2023/cats/2", "2024/cats/1", "2024/cats/2", "top1", "top2"])
    assert truth.classes == ["2023/cats"] * 2 + ["2024/cats"] * 2 + ["."] * 2
    assert truth.judgements[0].relevant.tolist() == [0, 1]


def test_a_sample_is_always_the_same_and_of_queries_that_count() -> None:
    truth = by_folder([f"{item % 100 if item < 900 else item}/{item}" for item in range(1000)])
    assert truth.without_relevant == 100
    sample = truth.sample(50)
    assert len(sample.judgements) == 50
    assert [one.query for one in sample.judgements] == [one.query for one in truth.sample(50).judgements]
    assert all(one.query < 900 for one in sample.judgements)
    assert len({one.query // 100 for one in sample.judgements}) > 5
    assert truth.sample(2000) is truth


@pytest.mark.parametrize(
    ("paths", "how"),
    [(["a/1", "a/2"], r"all in one folder \(a\)"), (["1", "2"], "one folder"), (["a/1", "b/1"], "own")],
)
def test_folders_that_say_nothing_are_an_error(paths: list[str], how: str) -> None:
    with pytest.raises(CbirError, match=how + ".*--ground-truth"):
        by_folder(paths)


ROOT = Path("/photos")
JSON = """{"a/0.jpg": ["a/1.jpg", "./b/3.jpg", "a/0.jpg"], "a/1.jpg": {"relevant": ["/photos/a/0.jpg"],
"ignored": ["a/2.jpg", "b/3.jpg"]}, "c/5.jpg": [], "b/4.jpg": {"ignored": ["b/3.jpg"]}}"""
CSV = "\ufeffquery,relevant\na/0.jpg,a/1.jpg\na/1.jpg,a/0.jpg\n\na/0.jpg,b/3.jpg\nc/5.jpg,\n"


def read(tmp_path: Path, text: str | bytes) -> GroundTruth:
    file = tmp_path / "truth"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return by_file(file, PATHS, ROOT)


def as_lists(truth: GroundTruth) -> list[tuple[int, list[int], list[int]]]:
    return [(one.query, one.relevant.tolist(), one.ignored.tolist()) for one in truth.judgements]


def test_ground_truth_from_json(tmp_path: Path) -> None:
    truth = read(tmp_path, JSON)
    assert as_lists(truth) == [(0, [1, 3], []), (1, [0], [2, 3])]
    assert truth.without_relevant == 2
    assert truth.classes is None


def test_ground_truth_from_csv(tmp_path: Path) -> None:
    truth = read(tmp_path, CSV)
    assert as_lists(truth) == [(0, [1, 3], []), (1, [0], [])]
    assert truth.without_relevant == 1


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_bytes(b"query,relevant\n\xff.jpg,a.jpg\n")
    (tmp_path / "truth.json").write_text('{"\\udcff.jpg": ["a.jpg"]}')
    for name in ("truth.csv", "truth.json"):
        assert as_lists(by_file(tmp_path / name, ["a.jpg", "\udcff.jpg"], ROOT)) == [(1, [0], [])]


def test_ignored_pictures_do_not_stand_before_others(circle: ClassicalSystem, tmp_path: Path) -> None:
    plain = evaluate(circle, read(tmp_path, '{"a/0.jpg": ["a/2.jpg"]}'))
    assert plain.overall.average_precision == pytest.approx(1 / 3)
    assert plain.classes == {}
    text = '{"a/0.jpg": {"relevant": ["a/2.jpg"], "ignored": ["a/1.jpg", "b/3.jpg"]}}'
    assert evaluate(circle, read(tmp_path, text)).overall.average_precision == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a JSON object of queries nor CSV whose first line is query,relevant"),
        ('["a/0.jpg"]', "neither a JSON object"),
        ("image,match\na,b\n", "neither a JSON object"),
        (b"\xff\xd8\xff\xe0 not text", "neither a JSON object"),
        ('{"a/0.jpg": ["a/1.jpg"}', "is no JSON: Expecting"),
        ("{" * 100_000, "is no JSON"),
        ('{"a/0.jpg": "a/1.jpg"}', "of another form"),
        ('{"a/0.jpg": [1]}', "of another form"),
        ('{"a/0.jpg": [["a/1.jpg", []]]}', "of another form"),
        ('{"a/0.jpg": {"relevant": "a/1.jpg"}}', "of another form"),
        ('{"a/0.jpg": {"good": []}}', "of another form"),
        ('{"a/0.jpg": ["a/1.jpg"], "a/0.jpg": []}', "has the query a/0.jpg twice"),
        ("{}", "names no queries"),
        ("query,relevant\n", "names no queries"),
        ('{"a/0.jpg": []}', "no relevant picture for any"),
        ("query,relevant\na/0.jpg\n", "Line 2 of the ground truth"),
        ("query,relevant\na/0.jpg,a/1.jpg,a/2.jpg\n", "Line 2 of"),
        ("query,relevant\na/0.jpg,a/1.jpg\n,a/2.jpg\n", "Line 3 of"),
        (
            '{"a/0.jpg": ["a/1.jpg", "z.jpg"]}',
            r"names 1 picture of which there are no features: z\.jpg\. Names are rel",
        ),
        ('{"p": ["q", "r", "q"], "s": ["p"]}', r"names 4 pictures of which there are no features: p, q, r, …\."),
        ('{"a/0.jpg": {"relevant": ["a/1.jpg"], "ignored": ["x"]}}', "names 1 picture of"),
        ("query,relevant\na/0.jpg,/elsewhere/b.jpg\n", "no features: /elsewhere/b.jpg"),
    ],
)
def test_what_is_wrong_with_a_ground_truth_is_told(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(CbirError, match=message) as caught:
        read(tmp_path, text)
    assert "truth" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_ground_truth_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CbirError, match=r"Cannot read the ground truth .*missing\.json: no such file"):
        by_file(tmp_path / "missing.json", PATHS, ROOT)
