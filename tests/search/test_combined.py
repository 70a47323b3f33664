"""Queries of several pictures: their arithmetic by hand, what they find, and how the command line takes them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.extract import loader
from cbir.index.open import open_index
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from cbir.search.queries import CombinedQuery, Query
from cbir.search.searcher import Searcher

Folder = Callable[..., Path]

A, B, C = (Query(b"", name) for name in "abc")
RIGHT, UP = np.array([[1, 0], [0, 1]], dtype=np.float32)


@pytest.fixture
def photos(photo_folder: Folder) -> Path:
    """An indexed folder of 20 pictures; the index is called `photos`."""
    root = photo_folder(20)
    build_index(choose_target(root))
    return root


def picture(root: Path, number: int) -> Query:
    return Query.from_path(root / f"img_{number:03d}.jpg")


def scores(searcher: Searcher, query: Query | CombinedQuery, **options: object) -> dict[str, float]:
    """The score of every match, in order."""
    (result,) = searcher.search([query], count=20, **options)  # type: ignore[arg-type]
    assert result.error is None
    return {match.path.name: match.score for match in result.matches}


def run(*arguments: str | Path, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["search", *map(str, arguments)], input=input)


def found(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [Path(line).name for line in result.stdout.splitlines()]


def test_pictures_taken_together_are_their_mean() -> None:
    both = CombinedQuery((A, B)).combine([RIGHT, UP])
    assert both.likeness.tolist() == [0.5, 0.5]
    assert both.direction == pytest.approx([0.5**0.5, 0.5**0.5])
    thrice = CombinedQuery((A, B), shares=(6, 2)).combine([RIGHT, UP])
    assert thrice.likeness.tolist() == [0.75, 0.25]
    assert thrice.direction == pytest.approx(np.array([3, 1]) / 10**0.5)
    assert thrice.direction.dtype == thrice.likeness.dtype == np.float32


def test_unlike_moves_the_direction_and_not_what_scores_are() -> None:
    away = CombinedQuery((A,), (B,), strength=0.75).combine([RIGHT, UP])
    assert away.direction == pytest.approx([0.8, -0.6])
    assert away.likeness.tolist() == [1, 0]
    # the mean of several counts as one
    diagonal = np.array([0.6, 0.8], dtype=np.float32)
    twice = CombinedQuery((A,), (B, C), strength=0.75).combine([RIGHT, UP, UP])
    assert twice.direction == pytest.approx(away.direction)
    assert CombinedQuery((A,), (B,), strength=0).combine([diagonal, UP]).direction == pytest.approx(diagonal)
    assert np.isfinite(CombinedQuery((A,), (B,), strength=1).combine([UP, UP]).direction).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"like": ()},
        {"like": (A, B), "shares": (1.0,)},
        {"like": (A,), "shares": (0.0,)},
        {"like": (A,), "shares": (float("inf"),)},
        {"like": (A,), "strength": -1.0},
        {"like": (A,), "strength": float("nan")},
    ],
)
def test_impossible_queries_are_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match=r"needs|shares|strength"):
        CombinedQuery(**arguments)


def test_scores_are_the_means_of_the_cosines(photos: Path) -> None:
    searcher = Searcher(open_index("photos"))
    one, other = picture(photos, 0), picture(photos, 1)
    alone = [scores(searcher, query) for query in (one, other)]
    for shares, part in (((), 0.5), ((3.0, 1.0), 0.75)):
        query = CombinedQuery((one, other), shares=shares)
        for reranked in (False, True):
            together = scores(searcher, query, reranked=reranked)
            assert set(together) == set(alone[0]) & set(alone[1])
            for name, score in together.items():
                assert score == pytest.approx(part * alone[0][name] + (1 - part) * alone[1][name], abs=1e-5)
        plain = list(scores(searcher, query, reranked=False).values())
        assert plain == sorted(plain, reverse=True)


def test_unlike_changes_the_order_and_not_the_scores(photos: Path) -> None:
    searcher = Searcher(open_index("photos"))
    query, other = picture(photos, 0), picture(photos, 1)
    like, unlike = scores(searcher, query, reranked=False), scores(searcher, other, reranked=False)
    away = scores(searcher, CombinedQuery((query,), (other,), strength=0.6), reranked=False)
    assert all(score == pytest.approx(like[name], abs=1e-5) for name, score in away.items())
    by_hand = sorted(set(like) & set(unlike), key=lambda name: 0.6 * unlike[name] - like[name])
    assert list(away) == by_hand
    assert list(away) != [name for name in like if name in away]


def test_no_picture_of_the_query_is_among_its_matches(photos: Path) -> None:
    shutil.copy(photos / "img_001.jpg", photos / "twin.jpg")
    build_index(choose_target(photos))
    searcher = Searcher(open_index("photos"))
    query = CombinedQuery((picture(photos, 0), picture(photos, 1)), (picture(photos, 2),))
    left = scores(searcher, query)
    assert len(left) == 18
    assert not {"img_000.jpg", "img_001.jpg", "img_002.jpg"} & set(left)
    assert "twin.jpg" in list(left)[:2]
    assert {"img_000.jpg", "img_001.jpg"} < set(list(scores(searcher, query, include_self=True))[:3])


def test_combined_and_single_queries_come_back_in_order(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("x")
    bad, first, second = Query.from_path(tmp_path / "bad.jpg"), picture(photos, 0), picture(photos, 1)
    queries = [
        first,
        CombinedQuery((second, bad)),
        CombinedQuery((second, first)),
        first,
        CombinedQuery((first,), (bad,)),
        second,
    ]
    results = list(Searcher(open_index("photos")).search(queries, count=3))
    assert [result.query for result in results] == queries
    assert [result.error is None for result in results] == [True, False, True, True, False, True]
    assert "bad.jpg" in str(results[1].error)
    assert results[1].matches == []
    assert results[0].matches == results[3].matches


def test_a_picture_of_many_queries_is_read_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = loader.read_bytes

    def counted(path: Path, *share: object) -> bytes:
        read.append(path.name)
        return original(path, *share)

    monkeypatch.setattr(loader, "read_bytes", counted)
    queries = [CombinedQuery((picture(photos, number),), (picture(photos, 9),)) for number in range(4)]
    assert len(list(Searcher(open_index("photos")).search(queries))) == 4
    assert sorted(read) == ["img_000.jpg", "img_001.jpg", "img_002.jpg", "img_003.jpg", "img_009.jpg"]


def test_results_do_not_wait_for_all_queries(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = Searcher(open_index("photos"))
    data = (photos / "img_000.jpg").read_bytes()
    looked_up: list[str] = []
    original = searcher.index.find

    def counted(sha256: str) -> list[int]:
        looked_up.append(sha256)
        return original(sha256)

    monkeypatch.setattr(searcher.index, "find", counted)
    results = searcher.search([CombinedQuery((Query(data, str(number)),)) for number in range(600)])
    assert next(results).error is None
    assert len(looked_up) < 300
    assert len(list(results)) == 599


def test_new_pictures_go_through_the_network_together(photos: Path, draw_picture: Callable, tmp_path: Path) -> None:
    for number in (3, 4):
        draw_picture(number).resize((120, 90)).save(tmp_path / f"{number}.png")
    query = CombinedQuery(tuple(Query.from_path(tmp_path / f"{number}.png") for number in (3, 4)))
    assert set(list(scores(Searcher(open_index("photos")), query))[:2]) == {"img_003.jpg", "img_004.jpg"}


def test_together_on_the_command_line(photos: Path, tmp_path: Path) -> None:
    names = [str(photos / f"img_{number:03d}.jpg") for number in range(3)]
    record = json.loads(run("--together", *names, "--format", "json").stdout)
    assert record["query"] == names
    assert len(record["matches"]) == 10
    paths = [Path(match["path"]).name for match in record["matches"]]
    query = CombinedQuery(tuple(map(Query.from_path, names)))
    assert paths == list(scores(Searcher(open_index("photos")), query))[:10]
    assert found(run("--together", *names)) == paths
    assert found(run("--together", *names, "--shares", "2,2,2")) == paths
    assert found(run("--together", *names, "--shares", "1,1,90")) != paths
    (line,) = run("--together", *names, "--format", "jsonl").stdout.splitlines()
    assert json.loads(line) == record
    rows = list(csv.DictReader(io.StringIO(run("--together", *names, "--format", "csv").stdout)))
    assert {row["query"] for row in rows} == {" + ".join(names)}
    table = run("--together", *names, "--format", "table").stdout.splitlines()
    assert len(table) == 11
    (tmp_path / "list").write_text("\n".join(names[1:]))
    assert found(run("--together", names[0], "--files-from", tmp_path / "list")) == paths
    listed = run("--together", names[0], "--files-from", "-", "-0", input=os.fsencode("\0".join(names[1:])))
    assert listed.stdout.split("\0")[:-1] == [match["path"] for match in record["matches"]]
    # a picture from stdin is no file, so it stays among the matches
    stdin = found(run("--together", "-", *names[1:], "-k", "11", input=Path(names[0]).read_bytes()))
    assert stdin == ["img_000.jpg", *paths]
    assert json.loads(run("--together", names[0], "--format", "json").stdout)["query"] == names[:1]


def test_unlike_on_the_command_line(photos: Path) -> None:
    first, second, third = (str(photos / f"img_{number:03d}.jpg") for number in range(3))
    record, other = json.loads(run(first, second, "--unlike", third, "--format", "json").stdout)
    assert (record["query"], record["unlike"], other["query"]) == (first, [third], second)
    paths = [match["path"] for match in record["matches"]]
    assert third not in paths
    assert second in [
        match["path"] for match in json.loads(run(first, "-k", "20", "--format", "json").stdout)["matches"]
    ]
    assert run(first, "--unlike", third).stdout.splitlines() == paths
    assert run(first, "--unlike", third, "--strength", "0.3").stdout.splitlines() == paths
    assert run(first, "--unlike", third, "--strength", "2").stdout.splitlines() != paths
    # what stdin holds is no file of the index
    stdin = run(first, "--unlike", "-", "-k", "20", input=Path(third).read_bytes()).stdout.splitlines()
    assert [path for path in stdin if path != third][:10] == paths


def test_an_unreadable_picture_is_an_error_for_its_query(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("x")
    for arguments in (["--together", tmp_path / "bad.jpg"], ["--unlike", tmp_path / "bad.jpg"]):
        result = run(*arguments, photos / "img_000.jpg", "--format", "json")
        assert result.exit_code == 1
        record = json.loads(result.stdout)
        assert record["matches"] == []
        assert "bad.jpg" in record["error"]
        assert f"Error: Cannot read {tmp_path / 'bad.jpg'}: it is no picture in a known format." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unlike", "x"], "that matches are to be like"),
        (["--together"], "Name a picture"),
        (["x", "y", "--shares", "1,2"], "add --together"),
        (["--together", "x", "y", "--shares", "1,2,3"], "3 numbers for 2 pictures"),
        (["--together", "x", "y", "--shares", "1,0"], "positive numbers"),
        (["--together", "x", "y", "--shares", "1,"], "positive numbers"),
        (["--together", "x", "y", "--shares", "1,nan"], "positive numbers"),
        (["x", "--strength", "1"], "name a picture with --unlike"),
        (["x", "--unlike", "y", "--strength", "-1"], "is no strength"),
        (["x", "--unlike", "y", "--strength", "nan"], "is no strength"),
        (["-", "--unlike", "-"], "only once"),
        (["--together", "-", "--files-from", "-"], "only once"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
