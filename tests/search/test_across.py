"""Searching across treatments: whose mean is taken off, what is alike then, and what it does not go with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbir.errors import CbirError
from cbir.index.store import Index
from cbir.search.across import AcrossSpace
from cbir.search.filters import Filters, RowFilter
from cbir.search.queries import AnyQuery, CombinedQuery, FeedbackQuery, ImageQuery, IndexedQuery, TextQuery, WordQuery
from cbir.search.ranker import Ranker
from cbir.search.rerank import COPY, IDENTICAL
from cbir.search.results import SearchResult
from cbir.search.searcher import Searcher
from cbir.search.treatments import PRIOR_ROWS, Treatments
from cbir.utils.vectors import l2_normalize
from tests.helpers.feature_index import make_index

FOLDERS = ("photos", "drawings/ink", "drawings")
SCENES, EACH, DIMENSION = 8, 4, 96
COUNT = 4 * SCENES * EACH


def name(row: int) -> str:
    """The path of a row: the treatments take turns, the last one lies in no folder that is named."""
    return f"{('photos', 'drawings/ink', 'drawings', 'prints')[row % 4]}/deep/{row}.jpg"


def scene(row: int) -> int:
    return row // 4 % SCENES


def made(count: int = COUNT, seed: int = 4, offset: float = 0.55) -> np.ndarray:
    """Features of scenes, to which a treatment adds more than a scene does."""
    rng = np.random.default_rng(seed)
    scenes, treatments = rng.gamma(0.5, 0.5, (SCENES, DIMENSION)), rng.gamma(0.5, 1.0, (4, DIMENSION))
    rows = [scenes[scene(row)] + offset * 2 * treatments[row % 4] for row in range(count)]
    return l2_normalize(np.maximum(np.array(rows) + rng.normal(0, 0.25, (count, DIMENSION)), 0).astype(np.float32))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return make_index(tmp_path_factory.mktemp("across") / "index", made(), name=name)


def space_of(index: Index, folders: tuple[str, ...] = FOLDERS) -> AcrossSpace:
    return AcrossSpace(treatments_of(index, folders), index)


def treatments_of(index: Index, folders: tuple[str, ...] = FOLDERS) -> Treatments:
    return Treatments.of(index, Filters(index, index.classes, lambda: pytest.fail("no objects")), folders)


def expected(index: Index) -> np.ndarray:
    """Features less the means of treatments, row by row, as the documents say it."""
    features = index.features(range(index.rows))
    result = features.copy()
    for number in range(4):
        inside = features[number::4]
        result[number::4] -= inside.sum(axis=0) / (len(inside) + PRIOR_ROWS)
    return l2_normalize(result)


def query(index: Index, row: int, place: str | None = None) -> IndexedQuery:
    """The picture of a row; at another place another picture that is just like it."""
    path = Path(index.root) / name(row) if place is None else Path(place)
    return IndexedQuery(path, path.name, f"{row + (place is not None) * 10**6:064x}", index.features([row])[0])


def found(index: Index, asked: AnyQuery, **options: object) -> SearchResult:
    (result,) = Searcher(index).search([asked], **{"count": 10, "across": FOLDERS, **options})  # type: ignore[arg-type]
    return result


class TestTreatments:
    """The treatment of each row, and of queries."""

    def test_the_innermost_folder_counts_and_all_others_are_one_more(self, index: Index) -> None:
        for folders in (FOLDERS, FOLDERS[::-1], (*FOLDERS, "drawings/", "./photos")):
            treatments = treatments_of(index, folders)
            assert treatments.names == ("drawings", "drawings/ink", "photos", None)
            names = [treatments.names[number] for number in treatments.of_rows.tolist()]
            assert names[:8] == ["photos", "drawings/ink", "drawings", None] * 2

    def test_without_others_there_is_no_treatment_for_them(self, index: Index) -> None:
        assert treatments_of(index, (*FOLDERS, "prints")).names == ("drawings", "drawings/ink", "photos", "prints")

    def test_means_are_those_of_the_rows_that_count_and_shrunk(self, tmp_path: Path) -> None:
        features = made(24)
        some = make_index(tmp_path / "index", features, name=name)
        treatments = treatments_of(some)
        its = treatments.names.index("photos")
        whole = some.features(range(24))[::4].sum(axis=0) / (6 + PRIOR_ROWS)
        assert treatments.means[its] == pytest.approx(whole, abs=1e-5)

    def test_a_folder_without_pictures_is_an_error_that_names_it(self, index: Index) -> None:
        with pytest.raises(CbirError, match=r"no pictures in a folder 'drawing'\. Did you mean drawings"):
            treatments_of(index, ("photos", "drawing"))

    def test_one_treatment_alone_is_an_error(self, index: Index) -> None:
        with pytest.raises(CbirError, match="All pictures of the index index are of one treatment"):
            treatments_of(index, (".",))

    def test_the_folder_of_a_query_counts_though_its_picture_is_not_indexed(self, index: Index) -> None:
        treatments, root = treatments_of(index), Path(index.root)
        assert treatments.of_path(root / "drawings/ink/new.jpg", root) == treatments.names.index("drawings/ink")
        assert treatments.of_path(root / "drawings/inks/new.jpg", root) == treatments.names.index("drawings")
        assert treatments.of_path(root / "prints/new.jpg", root) is None
        assert treatments.of_path(Path("/elsewhere/photos/new.jpg"), root) is None

    def test_any_other_query_has_the_nearest_mean(self, index: Index) -> None:
        treatments = treatments_of(index)
        features = made(seed=4)
        right = [treatments.nearest(features[row]) == treatments.of_rows[row] for row in range(COUNT)]
        assert np.mean(right) > 0.95


class TestSpace:
    """Vectors, scores, and what counts as a copy."""

    @pytest.mark.parametrize("count", [COUNT, 5200])
    def test_scores_are_cosines_less_the_means(self, tmp_path: Path, count: int) -> None:
        """In an index whose rows are all compared, and in one that has candidates."""
        large = make_index(tmp_path / "index", made(count), name=name)
        assert (large.meta.candidates is not None) == (count > 5000)
        space, vectors = space_of(large), expected(large)
        shares = []
        for row in range(1, count, count // 9):
            asked = space.queries(large.features([row]), [int(space.treatments.of_rows[row])])[0]
            wanted = vectors @ vectors[row]
            for reranked in (False, True):
                ranking = Ranker(large, space).ranked(asked, 20, reranked=reranked)
                assert ranking.rows[0] == row
                # the means of a large index are those of some rows
                assert ranking.cosines == pytest.approx(wanted[ranking.rows], abs=2e-3 if count == COUNT else 0.02)
            by_cosine = Ranker(large, space).ranked(asked, 20, reranked=False).rows[:20]
            shares.append(np.isin(np.argsort(-wanted)[:20], by_cosine).mean())
        assert np.mean(shares) > (0.99 if count == COUNT else 0.9)

    def test_copies_are_told_by_plain_cosines_as_if_all_had_the_rows_treatment(self, index: Index) -> None:
        space, features = space_of(index), index.features(range(COUNT))
        vectors = space.of_rows(np.arange(COUNT), features)
        asked = space.queries(features[4:5], [int(space.treatments.of_rows[4])])[0]
        centre = Ranker(index, space).scanner.centre()
        shortlist = space.shortlist(asked, vectors, vectors @ space.sought(asked), centre)
        photos = np.arange(0, COUNT, 4)
        assert shortlist.cosines[photos] == pytest.approx((features @ features[4])[photos], abs=5e-4)
        # the same picture in another treatment
        drawn = space.treatments.names.index("drawings")
        means, length = space.treatments.means, vectors[4, -2]
        other = np.concatenate([vectors[4, :-2], [0.0, drawn]]).astype(np.float32)
        along, square = float(means[drawn] @ other[:-2]), float(means[drawn] @ means[drawn])
        other[-2] = np.sqrt(along**2 + 1 - square) - along
        assert abs(float(other[-2]) - length) > 0.01
        copies = space.shortlist(asked, other[np.newaxis], np.ones(1, dtype=np.float32), centre)
        assert copies.cosines[0] > IDENTICAL > COPY

    def test_percentiles_and_relevance_are_of_this_space(self, index: Index) -> None:
        own = space_of(index).quantiles(index.meta.cosines)
        assert own is not None
        assert index.meta.cosines is not None
        vectors = expected(index)
        between = (vectors @ vectors.T)[np.triu_indices(COUNT, 1)]
        assert own.random == pytest.approx(np.quantile(between, own.probabilities), abs=2e-3)
        assert index.meta.cosines.percentile(0.3) < 50 < own.percentile(0.3)
        result = found(index, query(index, 4), reranked=False)
        first = result.matches[0]
        assert first.percentile == pytest.approx(own.percentile(first.score))
        assert first.relevance is not None
        least = result.matches[4].score
        assert len(found(index, query(index, 4), reranked=False, min_score=least - 1e-6).matches) == 5
        percentile = result.matches[4].percentile
        assert percentile is not None
        assert len(found(index, query(index, 4), reranked=False, min_percentile=percentile - 1e-9).matches) == 5


class TestSearches:
    """What is found, and what is told."""

    @pytest.mark.parametrize("reranked", [False, True])
    def test_scenes_are_found_in_other_treatments(self, index: Index, reranked: bool) -> None:
        def right(**options: object) -> float:
            shares = []
            for row in range(0, COUNT, 5):
                result = found(index, query(index, row), reranked=reranked, count=4 * EACH - 1, **options)
                shares.append(np.mean([scene(match.row) == scene(row) for match in result.matches]))
            return float(np.mean(shares))

        assert right() > 0.9 > 0.6 > right(across=())

    def test_results_tell_the_treatment_and_what_was_guessed(self, index: Index) -> None:
        result = found(index, query(index, 5))
        assert (result.treatments, result.notices) == (("drawings/ink",), ())
        assert result.to_dict()["treatments"] == ["drawings/ink"]
        guessed = found(index, query(index, 5, "/elsewhere/some.jpg"))
        assert guessed.treatments == ("drawings/ink",)
        assert guessed.notices == (
            "some.jpg is taken for one of those in drawings/ink, whose mean it is nearest to (--across).",
        )
        rest = found(index, query(index, 7, "/elsewhere/some.jpg"))
        assert rest.treatments == (None,)
        assert "one of the pictures in none of these folders" in rest.notices[0]
        plain = found(index, query(index, 5), across=())
        assert plain.treatments == ()
        assert "treatments" not in plain.to_dict()

    def test_what_a_path_says_counts_more_than_the_feature(self, index: Index) -> None:
        as_photo = found(index, query(index, 5, f"{index.root}/photos/new.jpg"))
        assert as_photo.treatments == ("photos",)
        assert as_photo.matches != found(index, query(index, 5)).matches

    def test_pictures_of_several_treatments_make_one_query(self, index: Index) -> None:
        asked = CombinedQuery((query(index, 4), query(index, 6)), group=True)
        result = found(index, asked, reranked=False)
        assert result.treatments == ("photos", "drawings")
        vectors = expected(index)
        for match in result.matches:
            assert match.score == pytest.approx(vectors[match.row] @ (vectors[4] + vectors[6]) / 2, abs=2e-3)
        judged = FeedbackQuery(query(index, 4), more=(query(index, 6),), less=(query(index, 9),))
        assert found(index, judged).treatments == ("photos", "drawings", "drawings/ink")

    def test_filters_leave_the_treatments_as_they_are(self, index: Index) -> None:
        result = found(index, query(index, 4), among=RowFilter(folders=("drawings",)), reranked=False)
        vectors = expected(index)
        inside = np.flatnonzero(np.isin(np.arange(COUNT) % 4, (1, 2)))
        wanted = inside[np.argsort(-(vectors[inside] @ vectors[4]), kind="stable")][:10]
        assert [match.row for match in result.matches] == wanted.tolist()

    def test_a_treatment_may_be_a_path_and_several_be_given_in_any_way(self, index: Index) -> None:
        wanted = found(index, query(index, 4), across=("photos",)).matches
        for across in ("photos", Path("photos"), [f"{index.root}/photos"], ("photos", "photos")):
            assert found(index, query(index, 4), across=across).matches == wanted

    @pytest.mark.parametrize(
        "options",
        [{"class_name": "goldfish"}, {}],
    )
    def test_what_it_does_not_go_with_is_an_error(self, index: Index, options: dict[str, str]) -> None:
        image = ImageQuery(Path("some.jpg"), "some.jpg", parts=True)
        asked: AnyQuery = query(index, 4) if options else image
        with pytest.raises(CbirError, match=r"\(--across\)"):
            found(index, asked, **options)
        if not options:
            for other in (WordQuery.from_text("dog"), TextQuery.from_text("a dog")):
                with pytest.raises(CbirError):
                    found(index, other)
