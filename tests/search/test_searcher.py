"""Searching: what is found, what is left out, and what a search does not need."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError, IndexConflictError, IndexDamagedError, IndexNotFoundError
from cbir.extract.extractor import Extractor
from cbir.extract.of_index import backbone_of
from cbir.index.format import META, load_meta
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from cbir.search.queries import Query
from cbir.search.searcher import Searcher

Folder = Callable[..., Path]


@pytest.fixture
def photos(photo_folder: Folder) -> Path:
    """An indexed folder of 25 pictures, one of them twice; the index is called `photos`."""
    root = photo_folder(24)
    shutil.copy(root / "img_003.jpg", root / "twin.jpg")
    build_index(choose_target(root))
    return root


def names(searcher: Searcher, query: Path, **options: object) -> list[str]:
    (result,) = searcher.search([query], **options)  # type: ignore[arg-type]
    assert result.error is None
    return [match.path.name for match in result.matches]


@pytest.mark.parametrize("reranked", [True, False])
def test_the_querys_own_file_is_left_out_but_its_copies_are_not(photos: Path, reranked: bool) -> None:
    searcher = Searcher(open_index("photos"))
    found = names(searcher, photos / "img_003.jpg", reranked=reranked)
    assert found[0] == "twin.jpg"
    assert "img_003.jpg" not in found
    assert len(found) == 10
    with_self = names(searcher, photos / "img_003.jpg", reranked=reranked, include_self=True)
    assert set(with_self[:2]) == {"img_003.jpg", "twin.jpg"}


def test_a_file_reached_by_a_link_is_still_the_querys_own(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    assert "img_001.jpg" not in names(Searcher(open_index("photos")), tmp_path / "link" / "img_001.jpg", count=25)


def test_scores_are_cosines_in_descending_order(photos: Path, extractor: Extractor) -> None:
    index = open_index("photos")
    (result,) = Searcher(index).search([photos / "img_000.jpg"], reranked=False, count=24)
    scores = [match.score for match in result.matches]
    assert scores == sorted(scores, reverse=True)
    assert [match.rank for match in result.matches] == list(range(1, 25))
    (precision,) = index.meta.precisions  # which another test may have had tried
    extractor = Extractor(extractor.backbone, engine=f"openvino:{precision}")
    query = extractor.feature(photos / "img_000.jpg")
    for match in result.matches[::6]:
        assert match.score == pytest.approx(float(query @ extractor.feature(match.path)), abs=2e-3)


def test_a_new_picture_finds_what_it_was_made_from(photos: Path, draw_picture: Callable, tmp_path: Path) -> None:
    draw_picture(7).resize((120, 90)).save(tmp_path / "small.png")
    (result,) = Searcher(open_index("photos")).search([tmp_path / "small.png"])
    assert result.matches[0].path.name == "img_007.jpg"
    assert result.matches[0].score > 0.8


def test_an_indexed_query_needs_no_network_wherever_it_lies(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(photos / "img_005.jpg", tmp_path / "elsewhere.jpg")
    monkeypatch.setattr(Extractor, "engine", property(lambda self: pytest.fail("the network was to be loaded")))
    assert names(Searcher(open_index("photos")), tmp_path / "elsewhere.jpg")[0] == "img_005.jpg"


def test_many_queries_come_back_in_order_with_errors_in_their_places(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("x")
    same = (photos / "img_002.jpg").read_bytes()
    queries = [
        Query.from_path(photos / "img_001.jpg"),
        Query.from_path(tmp_path / "bad.jpg"),
        Query(same, "-"),
        Query.from_path(tmp_path / "missing.jpg"),
        Query.from_path(photos / "twin.jpg"),
    ]
    results = list(Searcher(open_index("photos")).search(queries, count=3))
    assert [result.query for result in results] == queries
    assert [result.error is None for result in results] == [True, False, True, False, True]
    assert results[2].matches[0].path.name == "img_002.jpg"  # bytes have no own file
    assert results[4].matches[0].path.name == "img_003.jpg"


def test_a_new_picture_that_comes_twice_in_one_call(photos: Path, draw_picture: Callable, tmp_path: Path) -> None:
    draw_picture(500).save(tmp_path / "a.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    first, second = Searcher(open_index("photos")).search([tmp_path / "a.png", tmp_path / "b.png"])
    assert first.matches == second.matches
    assert len(first.matches) == 10


def test_min_score_cuts_off(photos: Path) -> None:
    (everything,) = Searcher(open_index("photos")).search([photos / "img_000.jpg"], count=24)
    limit = sorted(match.score for match in everything.matches)[12]
    (some,) = Searcher(open_index("photos")).search([photos / "img_000.jpg"], count=24, min_score=limit)
    assert {match.path for match in some.matches} == {m.path for m in everything.matches if m.score >= limit}


def test_a_percentile_is_the_share_of_random_pairs_that_are_less_alike(photos: Path) -> None:
    index = open_index("photos")
    (result,) = Searcher(index).search([photos / "img_000.jpg"], count=24)
    features = index.features(range(25))
    between = (features @ features.T)[np.triu_indices(25, 1)]
    assert index.meta.cosines is not None
    for match in result.matches:
        assert match.percentile == index.meta.cosines.percentile(match.score)
        assert match.percentile == pytest.approx(100 * (between < match.score).mean(), abs=3)


def test_a_least_percentile_cuts_off(photos: Path) -> None:
    searcher = Searcher(open_index("photos"))
    (everything,) = searcher.search([photos / "img_000.jpg"], count=24)
    for least in (0, 60, 90, 100):
        (some,) = searcher.search([photos / "img_000.jpg"], count=24, min_percentile=least)
        right = [match.path for match in everything.matches if (match.percentile or 0) >= least]
        assert [match.path for match in some.matches] == right
        assert [match.rank for match in some.matches] == list(range(1, len(right) + 1))
    assert len(right) < 24


def test_an_index_that_does_not_know_how_alike_its_pictures_are(photos: Path) -> None:
    index = open_index("photos")
    (index.directory / META).write_text(index.meta.but(cosines=None).dump())
    searcher = Searcher(open_index("photos"))
    (result,) = searcher.search([photos / "img_000.jpg"], min_score=0.1)
    assert {match.percentile for match in result.matches} == {None}
    with pytest.raises(CbirError, match=r"older cbir.*`cbir index --index photos` adds that"):
        searcher.search([photos / "img_000.jpg"], min_percentile=99)
    build_index(choose_target(photos))
    (result,) = Searcher(open_index("photos")).search([photos / "img_000.jpg"], min_percentile=50)
    assert result.matches


def test_reranking_changes_the_order_and_not_the_set_of_scores(photos: Path) -> None:
    searcher = Searcher(open_index("photos"))
    (plain,) = searcher.search([photos / "img_000.jpg"], count=24, reranked=False)
    (new,) = searcher.search([photos / "img_000.jpg"], count=24)
    assert sorted((m.path, m.score) for m in plain.matches) == sorted((m.path, m.score) for m in new.matches)


def test_which_index_is_meant(photos: Path, photo_folder: Folder) -> None:
    assert open_index().directory.name == "photos"
    build_index(choose_target(photo_folder(1, "more")))
    with pytest.raises(IndexNotFoundError, match=r"2 indexes.*more, photos"):
        open_index()
    with pytest.raises(IndexNotFoundError, match="no index in"):
        open_index("nonsense")


def test_other_weights_are_refused_and_the_same_elsewhere_are_not(photos: Path, tmp_path: Path, bundled) -> None:  # type: ignore[no-untyped-def]
    index = open_index("photos")
    with pytest.raises(IndexConflictError, match="other weights"):
        backbone_of(index, weights="untrained")
    shutil.copy(str(bundled.weights.path), tmp_path / "copy.pth")
    assert backbone_of(index, weights=str(tmp_path / "copy.pth")).weights.path == str(tmp_path / "copy.pth")


def test_a_model_of_another_dimension_is_damage_and_no_crash(photos: Path) -> None:
    directory = open_index("photos").directory
    meta = load_meta(directory)
    (directory / META).write_text(meta.but(model={**meta.model, "dimension": 7}).dump())
    with pytest.raises(IndexDamagedError, match="1280 numbers a row"):
        Searcher(Index.open(directory))
    (directory / META).write_text(meta.but(model={"name": "x"}).dump())
    with pytest.raises(IndexDamagedError, match="names no backbone"):
        Searcher(Index.open(directory))


def test_an_emptied_index_finds_nothing(photos: Path) -> None:
    from cbir.indexing.run import Options

    away = photos.parent / "away"
    away.mkdir()
    for file in photos.iterdir():
        file.rename(away / file.name)
    build_index(choose_target(photos), Options(prune=True))
    assert len(open_index("photos")) == 0
    (result,) = Searcher(open_index("photos")).search([away / "img_000.png"])
    assert result.matches == []
    assert np.isfinite(open_index("photos").meta.dimension)
