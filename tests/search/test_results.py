"""Results as records: what a program reads is what Python has, tags and notices included."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.errors import ImageReadError
from cbir.images.regions import RegionOption, SegmentOption
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.search.queries import CombinedQuery, Query, WordQuery
from cbir.search.results import Match, SearchResult
from cbir.search.searcher import Searcher
from cbir.tags.tagger import RowTags
from tests.search.test_search_words import name_of, write

Folder = Callable[..., Path]

A, B, C = (Query(Path(f"{name}.jpg"), f"{name}.jpg") for name in "abc")


@pytest.fixture
def photos(photo_folder: Folder) -> Path:
    """An index `photos` of 40 pictures, of which the last two have no classes yet."""
    return write(photo_folder(40, size=(32, 24)), lambda number: number < 38)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["search", *map(str, arguments)])


@pytest.mark.parametrize(("word", "picture"), [("dog", True), ("dog", False), ("snow", False), (None, True)])
def test_the_shell_prints_what_python_has(photos: Path, word: str | None, picture: bool) -> None:
    query: Query | WordQuery | None = Query.from_path(photos / name_of(3)) if picture else None
    arguments: list[str | Path] = [photos / name_of(3)] if picture else []
    if word is not None:
        query = WordQuery.from_text(word, picture=query if isinstance(query, Query) else None)
        arguments += ["--word", word]
    assert query is not None
    index = open_index("photos")
    (result,) = Searcher(index).search([query], count=3)
    assert (
        json.loads(run(*arguments, "-k", "3", "--format", "json").stdout)
        == result.with_tags(RowTags(index).of).to_dict()
    )


def test_tags_of_matches_are_read_once(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    stored = Index.stored
    monkeypatch.setattr(
        Index, "stored", lambda self, column, rows: read.append(len(rows)) or stored(self, column, rows)
    )
    done = run(photos / name_of(3), "-k", "4", "--format", "json", "--html", tmp_path / "found.html")
    assert done.exit_code == 0
    assert read == [4]
    tags = {match["tags"][0]["word"] for match in json.loads(done.stdout)["matches"] if match["tags"]}
    page = (tmp_path / "found.html").read_text()
    assert tags
    assert all(f">{tag}<" in page for tag in tags)
    read.clear()
    assert run(photos / name_of(3), "--format", "paths", "--sheet", tmp_path / "found.png").exit_code == 0
    assert read == []


def test_a_notice_is_in_each_result_that_it_concerns_and_told_once(photos: Path) -> None:
    pictures = [photos / name_of(number) for number in (1, 2, 3)]
    queries = [
        Query.from_path(pictures[0]),
        *(WordQuery.from_text("dog", picture=Query.from_path(one)) for one in pictures),
    ]
    plain, *results = Searcher(open_index("photos")).search(queries)
    assert plain.notices == ()
    assert "notices" not in plain.to_dict()
    (notice,) = {notice for result in results for notice in result.notices}
    assert notice.startswith("Words do not find 2 of the index's 40 pictures")
    assert [result.to_dict()["notices"] for result in results] == [[notice]] * 3
    done = run(*pictures, "--word", "dog", "--format", "jsonl")
    assert done.stderr.count(notice) == 1
    assert all(json.loads(line)["notices"] == [notice] for line in done.stdout.splitlines())
    assert notice not in run(*pictures, "--word", "dog", "-q").stderr


def test_every_kind_of_query_tells_itself() -> None:
    lake = WordQuery.from_text("lake").to_dict()
    assert (lake["query"], lake["words"][0]["word"], lake["not_words"]) == ("lake", "lake", [])
    assert CombinedQuery((A,)).to_dict() == {"query": ["a.jpg"]}
    assert CombinedQuery((A, B), (C,)).to_dict() == {"query": ["a.jpg", "b.jpg"], "unlike": ["c.jpg"]}
    assert CombinedQuery((A,), (C,), group=False).to_dict() == {"query": "a.jpg", "unlike": ["c.jpg"]}
    both = WordQuery.from_text("lake", without=["dog"], picture=CombinedQuery((A, B), (C,))).to_dict()
    assert list(both) == ["query", "words", "not_words", "remarks", "unlike"]
    assert both["query"] == ["a.jpg", "b.jpg"]


def test_a_record_tells_which_region_was_asked_for() -> None:
    box, part = RegionOption.parse("1,2,3,4"), SegmentOption(2)
    first, second, third = (Query(A.source, "a", region=region) for region in (box, part, None))

    def record(query: Query | CombinedQuery) -> dict[str, object]:
        return SearchResult(query, Path("/index"), "net").to_dict()

    assert record(first)["region"] == "1,2,3,4"
    assert record(second)["segment"] == 2
    assert {"region", "regions", "segment"}.isdisjoint(record(third))
    assert record(CombinedQuery((first, first), (third,)))["region"] == "1,2,3,4"
    assert record(CombinedQuery((first, second, third)))["regions"] == [{"region": "1,2,3,4"}, {"segment": 2}, {}]


def test_a_record_of_an_error_has_no_matches() -> None:
    result = SearchResult(A, Path("/index"), "net", error=ImageReadError("a.jpg", "gone"), class_weights="tench")
    assert result.to_dict() == {
        "query": "a.jpg",
        "class_weights": "tench",
        "index": "/index",
        "model": "net",
        "matches": [],
        "error": "Cannot read a.jpg: gone.",
    }


def test_figures_are_shown_with_their_digits() -> None:
    match = Match(1, Path("a.jpg"), 0.91239, 99.987, 0.12345)
    shown = {figure: match.shown(figure) for figure in WordQuery.from_text("snow", picture=A).figures}
    assert shown == {"relevance": "", "score": "0.912", "percentile": "99.99", "likeness": "0.123"}
    assert WordQuery.from_text("dog").figures == ("probability",)
    assert Match(1, Path("a.jpg"), 0.9).shown("percentile") == ""
    result = SearchResult(A, Path("/index"), "net", [match])
    assert result.figures == ["score", "percentile"]
    assert replace(result, matches=[replace(match, relevance=0.5)]).figures == ["relevance", "score", "percentile"]
