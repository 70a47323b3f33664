"""Filters: which rows they leave, what is found among these, and what an unknown folder or tag is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.errors import CbirError, WordError
from cbir.index.store import Index
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from cbir.search import scanner
from cbir.search.filters import Among, RowFilter
from cbir.search.keeping import KeptVectors
from cbir.search.queries import VectorQuery
from cbir.search.searcher import Searcher
from cbir.search.space import Space
from tests.helpers.feature_index import make_index
from tests.images.test_notes import photo

ROWS = 6000


def name(row: int) -> str:
    return f"{('trip/sea', 'trip/hills', 'tripod')[row % 3]}/{row}.jpg" if row >= 60 else f"few/{row}.jpg"


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    vectors = np.abs(np.random.default_rng(2).normal(size=(ROWS, 32))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def index(features: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """6,000 rows, which have candidates, in folders of which one has sixty."""
    made = make_index(tmp_path_factory.mktemp("filters") / "index", features, name=name)
    assert made.candidates() is not None
    return made


def found(index: Index, vector: np.ndarray, **options: object) -> list[int]:
    (result,) = Searcher(index).search([VectorQuery(vector)], **options)  # type: ignore[arg-type]
    return [match.row for match in result.matches]


@pytest.mark.parametrize("few", [0, 100_000], ids=["candidates", "exact"])
@pytest.mark.parametrize("folder", ["trip", "few"])
def test_a_filter_finds_the_nearest_of_what_it_leaves(
    index: Index, features: np.ndarray, folder: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "FEW", few)
    inside = np.array([row for row in range(ROWS) if name(row).startswith(f"{folder}/")])
    query = features[7] + features[100]
    stored = index.features(inside) @ (query / np.linalg.norm(query))
    expected = inside[np.argsort(-stored, kind="stable")][:20].tolist()
    matches = found(index, query, count=20, reranked=False, among=RowFilter((folder,)))
    assert len(matches) == 20
    assert len(set(matches) & set(expected)) >= 19
    reranked = found(index, query, count=20, among=RowFilter((folder,)))
    assert len(reranked) == 20
    assert set(reranked) <= set(inside.tolist())


def test_more_than_a_filter_leaves_is_all_that_it_leaves(index: Index, features: np.ndarray) -> None:
    for reranked in (True, False):
        matches = found(index, features[9], count=200, reranked=reranked, among=RowFilter(("few",)))
        assert sorted(matches) == list(range(60))


def test_folders_are_with_those_below_and_not_with_namesakes(index: Index) -> None:
    among = Searcher(index)._searched.among
    sizes = {}
    for folders in [("trip",), ("trip/sea",), ("tripod/",), ("few", "tripod"), (".",), (str(index.root / "few"),)]:
        chosen = among(RowFilter(folders))
        assert chosen is not None
        sizes[folders] = len(chosen.rows)
    assert list(sizes.values()) == [3960, 1980, 1980, 2040, 6000, 60]
    assert among(RowFilter()) is None
    assert among(RowFilter(("few",))) is among(RowFilter(("few",)))  # found once


def test_an_unknown_folder_is_told_with_those_near_it(index: Index) -> None:
    for typed, meant in (("trpi", "trip"), ("hils", "trip/hills")):
        with pytest.raises(CbirError, match=f"no pictures in a folder '{typed}'.*{meant}"):
            found(index, np.ones(32, np.float32), among=RowFilter((typed,)))
    with pytest.raises(CbirError, match="no pictures in a folder"):
        found(index, np.ones(32, np.float32), among=RowFilter(("../..",)))


def test_tags_that_are_no_words_or_have_no_class_are_told(index: Index) -> None:
    with pytest.raises(WordError, match="no word 'dgo'"):
        found(index, np.ones(32, np.float32), among=RowFilter(tags=("dgo",)))
    with pytest.raises(CbirError, match="No picture has the tag 'happiness'"):
        found(index, np.ones(32, np.float32), among=RowFilter(tags=("happiness",)))


def test_the_shell_finds_among_a_folder_and_tells_an_unknown_one(photo_folder: Callable[..., Path]) -> None:
    root = photo_folder(12)
    (root / "trip").mkdir()
    for number in (2, 5):
        (root / f"img_{number:03d}.jpg").rename(root / "trip" / f"img_{number:03d}.jpg")
    build_index(choose_target(root))

    def search(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["search", str(root / "img_000.jpg"), *arguments])

    for folder in ("trip", "trip/", str(root / "trip")):
        result = search("--folder", folder)
        assert result.exit_code == 0, result.output
        assert sorted(Path(line).name for line in result.stdout.splitlines()) == ["img_002.jpg", "img_005.jpg"]
    unknown = search("--folder", "tirp")
    assert unknown.exit_code == 1
    assert "no pictures in a folder 'tirp'. Did you mean trip?" in unknown.output
    assert "No picture has the tag 'happiness'" in search("--tagged", "happiness").output


def test_where_candidates_find_too_few_all_that_are_left_are_compared(
    index: Index, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "FEW", 0)
    query = features[100]
    order = np.argsort(-(index.features(range(ROWS)) @ query), kind="stable")
    far = np.sort(order[ROWS // 2 :])  # none of them is among the candidates near the query
    nearest = [row for row in order if row in set(far.tolist())][:30]
    rows, cosines = scanner.Scanner(index, Space()).nearest(query, 30, Among.of(np.isin(np.arange(ROWS), far)))
    assert rows.tolist() == nearest
    assert (np.diff(cosines) <= 0).all()


@pytest.mark.parametrize("reranked", [True, False])
def test_a_total_is_told_where_it_is_known(index: Index, features: np.ndarray, reranked: bool) -> None:
    query = features[100] + features[200]
    cosines = np.sort(index.features(range(ROWS)) @ (query / np.linalg.norm(query)))[::-1]
    searcher = Searcher(index)

    def searched(**options: object) -> tuple[int, int | None]:
        (result,) = searcher.search([VectorQuery(query)], reranked=reranked, **options)  # type: ignore[arg-type]
        return len(result.matches), result.total

    assert searched(count=10) == (10, ROWS)
    assert searched(count=10, among=RowFilter(folders=("few",))) == (10, 60)
    least = float(cosines[449] + cosines[450]) / 2
    assert searched(count=10, min_score=least) == (10, None), "that many it has not looked at"
    # those that are re-ranked first are not all among the 450
    assert searched(count=60, offset=400, min_score=least) == (50, 450)


def test_the_features_of_few_rows_are_kept_within_bounds(
    index: Index, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptVectors(4 * 33 * 100)
    monkeypatch.setattr(scanner, "KEPT", kept)
    finder, other = (scanner.Scanner(index, Space()) for _ in range(2))
    read: list[int] = []
    for one in (finder, other):
        monkeypatch.setattr(one, "features", lambda rows: read.append(len(rows)) or index.features(rows))
        one.centre()
    some, others, many = (
        Among.of(np.isin(np.arange(ROWS), np.arange(first, last))) for first, last in ((0, 60), (60, 150), (0, 300))
    )
    for only, expected in ((some, [60]), (some, []), (others, [90]), (some, [60]), (many, [300]), (many, [300])):
        read.clear()
        rows, _ = finder.nearest(features[70], 5, only)
        assert read == expected
        assert only.mask[rows].all()
    # those of another order, or another index, count as well
    for one, expected in ((other, [60]), (other, []), (finder, [60])):
        read.clear()
        one.nearest(features[70], 5, some)
        assert (read, kept.size) == (expected, 4 * 33 * 60)
    del finder, one
    other.nearest(features[70], 5, some)
    kept.limit(0)
    assert kept.size == 0


def test_what_is_kept_goes_with_who_made_it_and_the_oldest_first() -> None:
    class Maker:
        pass

    kept, one, other = KeptVectors(100), Maker(), Maker()
    for maker, key in ((one, "a"), (other, "c"), (one, "b"), (one, "a"), (other, "d")):
        kept.of(maker, key, lambda: (np.zeros(30, np.uint8),))
    assert kept.size == 90
    made: list[str] = []
    for maker, key in ((one, "a"), (other, "c")):
        kept.of(maker, key, lambda key=key: (made.append(key), np.zeros(30, np.uint8))[1:])
    assert made == ["c"], "the one that was asked for longest ago went"
    del maker, other
    assert kept.size == 30
    assert kept.of(one, "large", lambda: (np.zeros(101, np.uint8),))[0].size == 101
    assert kept.size == 0


def test_an_index_without_dates_says_how_to_get_them(index: Index) -> None:
    with pytest.raises(CbirError, match=r"does not know when photos were taken\. `cbir index --index index` adds that"):
        found(index, np.ones(32, np.float32), among=RowFilter(since=date(2019, 1, 1)))


def test_the_shell_finds_photos_by_days_months_and_years(photo_folder: Callable[..., Path]) -> None:
    root = photo_folder(4)
    for number, taken in ((1, "2019:12:31 23:59:59"), (2, "2020:02:29 00:00:00"), (3, "2020:03:01 12:00:00")):
        (root / f"img_{number:03d}.jpg").write_bytes(photo({}, {0x9003: taken}, quality=20 * number))
    build_index(choose_target(root))

    def search(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["search", str(root / "img_000.jpg"), *arguments])

    for arguments, expected in {
        ("--since", "2020"): [2, 3],
        ("--until", "2020-02"): [1, 2],
        ("--since", "2019-12-31", "--until", "2019"): [1],
        ("--since", "2020-03-01", "--until", "2020-03-01"): [3],
        ("--since", "2021"): [],
        ("--until", "9999"): [1, 2, 3],
    }.items():
        result = search(*arguments)
        assert result.exit_code == 0, result.output
        assert sorted(int(Path(line).stem[-3:]) for line in result.stdout.splitlines()) == expected, arguments
    for typed in ("yesterday", "2020-13", "2021-02-29", "20200101", "0000", "-2020", "2020-1-1", "２０２０-01-01x", ""):
        result = search(f"--since={typed}")
        assert result.exit_code == 2
        assert "is no date such as 2024-05-17, 2024-05 or 2024." in " ".join(result.output.split())
    assert (
        "No day is from 2020-03-01 (--since) to 2020-02-29 (--until)."
        in search("--since", "2020-03", "--until", "2020-02").output
    )
