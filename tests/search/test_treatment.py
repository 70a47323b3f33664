"""Searching by how pictures were treated: made in the pass that makes features, kept, found by, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageFilter, ImageOps

import cbir
from cbir.cli import cli
from cbir.engines.fake import FakeEngine
from cbir.errors import CbirError, ImageReadError, ModelError
from cbir.index.columns.treatment import TREATED
from cbir.index.store import Index
from cbir.index.treatments import treatment_of, treatments_of
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.search.queries import FeedbackQuery
from cbir.search.searcher import Searcher
from cbir.search.treatment_query import TreatmentQuery
from cbir.search.treatment_space import FEWEST, TreatmentSpace
from tests.conftest import CHECKOUT, DrawPicture

FILTERS = {
    "plain": lambda image: image,
    "negative": ImageOps.invert,
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "outlines": lambda image: image.filter(ImageFilter.FIND_EDGES),
}


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CBIR_MODEL", "fake")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path, draw_picture: DrawPicture) -> Path:
    """Eight drawn pictures through each filter."""
    for name, apply in FILTERS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            apply(draw_picture(number, (96, 80))).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def indexed(photos: Path, *options: str) -> Index:
    result = run("index", photos, "--index", "photos", *options)
    assert result.exit_code == 0, result.output
    return cbir.open_index("photos")


def test_what_was_treated_alike_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_MODEL", "efficientnet_lite0")
    for path in sorted((CHECKOUT / "dataset" / "photos").glob("*/*_01.jpg"))[:10]:
        for name, apply in FILTERS.items():
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                apply(image.convert("RGB")).save(tmp_path / "photos" / name / path.name)
    searcher = Searcher(indexed(tmp_path / "photos", "--treatment"))
    index = searcher.index
    paths = index.paths()
    found = [
        next(searcher.search([TreatmentQuery.from_path(path)], count=1)).matches[0].path.parent.name for path in paths
    ]
    right = np.mean([one == path.parent.name for one, path in zip(found, paths, strict=True)])
    plain = [next(searcher.search([path], count=1)).matches[0].path.parent.name for path in paths]
    assert right > 0.5
    assert np.mean([one == path.parent.name for one, path in zip(plain, paths, strict=True)]) <= 0.3


def test_a_run_remembers_fills_in_and_takes_away(photos: Path, draw_picture: DrawPicture) -> None:
    assert indexed(photos).meta.treatment is None
    assert "treatment  none: `cbir index --index photos --treatment` makes them" in run("info").stdout
    assert '"treatment": null' in run("info", "--json").stdout
    result = run("index", photos, "--treatment", "--dry-run")
    assert "32" in result.stdout
    assert cbir.open_index("photos").meta.treatment is None
    index = indexed(photos, "--treatment")
    assert index.meta.treatment is not None
    numbers = index.meta.treatment.numbers
    assert treatments_of(index).vectors.shape == (32, numbers)
    draw_picture(50, (96, 80)).save(photos / "new.png")
    index = indexed(photos)  # remembered
    assert len(treatments_of(index).rows) == 33
    assert "treatment  of all pictures" in run("info").stdout
    assert json.loads(run("info", "--json").stdout)[0]["treatment"] == {"pictures": 33}
    again, told = np.asarray(treatments_of(index).vectors), run("index", photos)
    assert "33 unchanged" in told.stdout
    assert np.array_equal(again, treatments_of(cbir.open_index("photos")).vectors)
    result = run("index", photos, "--no-treatment")
    assert "Taken away from photos: treatment." in result.stderr
    index = cbir.open_index("photos")
    assert index.meta.treatment is None
    assert not [path for path in index.directory.iterdir() if path.name.startswith("treatment")]
    assert find_problems(index, verify=True) == []


def test_it_is_the_same_whether_made_at_once_or_filled_in(photos: Path) -> None:
    indexed(photos)
    later, at_once = indexed(photos, "--treatment"), cbir.index_folder(photos, "other", treatment=True)[0]
    assert later.files().paths == at_once.files().paths
    assert np.array_equal(treatments_of(later).vectors, treatments_of(at_once).vectors)
    assert np.array_equal(later.features(range(32)), at_once.features(range(32)))


def test_the_network_sees_each_picture_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {"start": 0, "start_treated": 0}

    def counting(name: str) -> None:
        real = getattr(FakeEngine, name)

        def begin(self: FakeEngine, images: np.ndarray) -> object:
            seen[name] += len(images)
            return real(self, images)

        monkeypatch.setattr(FakeEngine, name, begin)

    counting("start_treated")
    monkeypatch.setattr(FakeEngine, "features", lambda self, images: FakeEngine.start(self, images)())
    indexed(photos, "--treatment")
    assert seen["start_treated"] == 33  # one of them grey, to know how many numbers there are
    counting("start")
    seen["start_treated"] = 0
    (photos / "copy.png").write_bytes((photos / "plain" / "0.png").read_bytes())
    indexed(photos)
    assert seen == {
        "start": 1,
        "start_treated": 1,
    }  # the grey one: the copy's content is known, and nothing else is new


def test_damage_is_repaired_by_a_run(photos: Path) -> None:
    index = indexed(photos, "--treatment")
    wanted = treatments_of(index).vectors
    path = index.directory / index.meta.blocks[0].columns["treatment_numbers"].name
    path.write_bytes(path.read_bytes()[:-10])
    assert "treatment_numbers" in run("info", "--verify").output
    index = indexed(photos)
    assert np.array_equal(treatments_of(index).vectors, wanted)
    content = bytearray(path.read_bytes() if path.exists() else next(index.directory.glob("treatment_n*")).read_bytes())
    damaged = next(index.directory.glob("treatment_n*"))
    content[-40:] = bytes(40)
    damaged.write_bytes(content)
    assert run("search", photos / "grey" / "1.png", "--treatment").exit_code == 1
    index = indexed(photos, "--repair")
    assert np.array_equal(treatments_of(index).vectors, wanted)


def test_a_picture_from_elsewhere_goes_through_the_network(photos: Path, tmp_path: Path) -> None:
    index = indexed(photos, "--treatment")
    copy = tmp_path / "copy.png"
    with Image.open(photos / "grey" / "2.png") as image:
        image.save(copy, compress_level=1)
    assert copy.read_bytes() != (photos / "grey" / "2.png").read_bytes()
    searcher = Searcher(index)
    (result,) = searcher.search([TreatmentQuery.from_path(copy)], count=40)
    assert result.error is None
    assert result.matches[0].path == photos / "grey" / "2.png"
    assert result.matches[0].score == pytest.approx(1, abs=2e-3)
    assert result.total == len(result.matches) == 32
    scores = [match.score for match in result.matches]
    percentiles = [match.percentile for match in result.matches]
    assert scores == sorted(scores, reverse=True)
    assert percentiles == sorted(percentiles, reverse=True)  # type: ignore[type-var]
    assert percentiles[0] == 100
    assert all(match.relevance is None for match in result.matches)
    (missing,) = searcher.search([TreatmentQuery.from_path(tmp_path / "none.png")])
    assert isinstance(missing.error, ImageReadError)


def test_own_files_limits_filters_and_pages(photos: Path) -> None:
    searcher, query = Searcher(indexed(photos, "--treatment")), TreatmentQuery.from_path(photos / "grey" / "2.png")

    def found(**options: object) -> list[Path]:
        (result,) = searcher.search([query], **options)  # type: ignore[arg-type]
        return [match.path for match in result.matches]  # type: ignore[misc]

    every = found(count=40)
    assert len(every) == 31
    assert photos / "grey" / "2.png" not in every
    assert found(count=3, include_self=True)[0] == photos / "grey" / "2.png"
    assert found(count=5, offset=4) == every[4:9]
    only = found(count=40, among=cbir.RowFilter(folders=("negative",)))
    assert only == [path for path in every if path.parent.name == "negative"]
    (result,) = searcher.search([query], count=40, min_percentile=90.0)
    assert 0 < len(result.matches) < 12
    assert all((match.percentile or 0) >= 90 for match in result.matches)
    least = result.matches[-1].score
    assert found(count=40, min_score=least) == every[: len(result.matches)]


def test_rows_that_are_not_known_yet_are_told(photos: Path) -> None:
    index = indexed(photos, "--treatment")
    writer = Writer(index.directory, index.meta)
    blocks = tuple(block.with_columns({"treatment": None, "treatment_numbers": None}) for block in index.meta.blocks)
    writer.replace(index.meta.but(blocks=blocks))
    index = cbir.open_index("photos")
    assert index.missing(TREATED).all()
    assert treatment_of(index, 0) is None
    (result,) = Searcher(index).search([TreatmentQuery.from_path(photos / "grey" / "2.png")])
    assert result.matches == []
    assert "How 32 of the index's 32 pictures were treated is not known yet" in result.notices[0]


@pytest.mark.parametrize("count", [1, 2, FEWEST - 1, FEWEST])
def test_small_collections_are_searched(photos: Path, count: int) -> None:
    for path in sorted(photos.glob("*/*.png"))[count:]:
        path.unlink()
    index = indexed(photos, "--treatment")
    (result,) = Searcher(index).search([TreatmentQuery.from_path(index.paths()[0])], include_self=True)
    assert result.matches[0].path == index.paths()[0]
    assert result.matches[0].score == pytest.approx(1, abs=2e-3)
    assert (result.matches[0].percentile is None) is (count == 1)


def test_pictures_that_are_all_the_same_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.new("RGB", (40 + number, 40), (200, 30, 90)).save(tmp_path / "photos" / f"{number}.png")
    index = indexed(tmp_path / "photos", "--treatment")
    space = TreatmentSpace.of(treatments_of(index), index)
    vector = treatment_of(index, 0)
    assert vector is not None
    assert np.isfinite(space.cosines(vector, index.features([0])[0])).all()


def test_what_makes_no_sense_is_refused(photos: Path) -> None:
    indexed(photos)
    picture = photos / "grey" / "2.png"
    result = run("search", picture, "--treatment")
    assert result.exit_code == 1
    assert "`cbir index --index photos --treatment` looks at them for that." in result.stderr
    indexed(photos, "--treatment")
    for more in (
        ["--parts"],
        ["--kind"],
        ["--face"],
        ["--word", "dog"],
        ["--not-word", "dog"],
        ["--text", "a dog"],
        ["--region", "1,1,9,9"],
        ["--segment", "1"],
        ["--together"],
        ["--unlike", picture],
        ["--class-weights", "dog"],
        ["--learnt", "subject"],
        ["--across", "grey"],
        ["--explain", "--html", "found.html"],
    ):
        result = run("search", picture, "--treatment", *more)
        assert result.exit_code == 2, more
        assert "Error:" in result.stderr
    for alone in ([], ["--query-index", "photos"], ["--word", "dog"], ["--person", "Anna"]):
        assert run("search", "--treatment", *alone).exit_code == 2, alone
    assert run("search", f"2:{picture}", "--treatment").exit_code != 0
    query = TreatmentQuery.from_path(picture)
    with pytest.raises(ValueError, match="whole picture"):
        TreatmentQuery(picture, "a", parts=True)
    with pytest.raises(ValueError, match="no weight"):
        TreatmentQuery(picture, "a", weight=2)
    with pytest.raises(ValueError, match="and not of several together"):
        cbir.CombinedQuery((query, query))
    with pytest.raises(ValueError, match="with judgements"):
        FeedbackQuery(query)
    with pytest.raises(TypeError):
        query.combine([])
    with pytest.raises(CbirError, match="no classes"):
        cbir.open("photos").search(query, class_name="tench")


def test_it_is_written_in_all_forms(photos: Path) -> None:
    indexed(photos, "--treatment")
    picture, other = photos / "grey" / "2.png", photos / "negative" / "3.png"
    result = run("search", picture, "--treatment", "-k", "2", "--format", "json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["query"] == str(picture)
    assert record["treatment"] is True
    assert {"rank", "path", "score", "percentile"} <= {*record["matches"][0]}
    result = run("search", picture, other, "--treatment", "-k", "1", "--format", "jsonl")
    assert [json.loads(line)["query"] for line in result.stdout.splitlines()] == [str(picture), str(other)]
    result = run("search", picture, "--treatment", "-k", "1", "--format", "csv")
    assert result.stdout.splitlines()[0].startswith("query,rank,")
    assert "relevance" not in run("search", picture, "--treatment", "--format", "table").stdout
    result = run("search", picture, "--treatment", "--html", "found.html", "--sheet", "found.jpg")
    assert result.exit_code == 0, result.output
    assert "2.png" in Path("found.html").read_text()


def test_several_indexes_are_searched_as_one(photos: Path) -> None:
    indexed(photos, "--treatment")
    for name in ("one", "two"):
        folders = ["plain", "grey"] if name == "one" else ["negative", "outlines"]
        for folder in folders:
            (photos / name).mkdir(exist_ok=True)
            (photos / folder).rename(photos / name / folder)
        assert run("index", photos / name, "--index", name, "--treatment").exit_code == 0
    picture = photos / "one" / "grey" / "2.png"
    result = run("search", picture, "--treatment", "--index", "one", "--index", "two", "-k", "40", "--format", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["matches"]
    assert len(found) == 31
    assert {Path(one["index"]).name for one in found} == {"one", "two"}
    run("index", photos / "two", "--index", "two", "--no-treatment")
    result = run("search", picture, "--treatment", "--index", "one", "--index", "two")
    assert result.exit_code == 1
    assert "The index two does not know how its pictures were treated" in result.stderr


def test_a_network_without_early_maps_is_refused_and_nothing_is_lost(
    photos: Path, monkeypatch: pytest.MonkeyPatch, draw_picture: DrawPicture
) -> None:
    with monkeypatch.context() as without:
        without.delattr(FakeEngine, "start_treated")
        result = run("index", photos, "--treatment")
        assert result.exit_code == 1
        assert "no early maps" in result.stderr
    indexed(photos, "--treatment")
    draw_picture(60, (96, 80)).save(photos / "new.png")
    with monkeypatch.context() as without:
        without.delattr(FakeEngine, "start_treated")
        result = run("index", photos)
        assert result.exit_code == 0, result.output
        assert "How new pictures were treated is not looked at" in result.stderr
        with pytest.raises(ModelError):
            cbir.open("photos").search(TreatmentQuery(Path("photos/new.png").read_bytes(), "new"))
    index = cbir.open_index("photos")
    assert int(index.missing(TREATED).sum()) == 1
    assert not indexed(photos).missing(TREATED).any()


def test_another_network_makes_its_own(photos: Path) -> None:
    first = indexed(photos, "--treatment")
    result = run("index", photos, "--model", "fake_small", "--keep-old")
    assert result.exit_code == 0, result.output
    second = cbir.open_index("photos")
    assert second.model["name"] == "fake_small"
    assert not second.missing(TREATED).any()
    assert not np.array_equal(treatments_of(second).vectors, treatments_of(first).vectors)
    kept = Index.open(second.directory, model="fake")
    assert np.array_equal(treatments_of(kept).vectors, treatments_of(first).vectors)
    assert find_problems(second, verify=True) == []
    # of both as one the first network's are had from it
    result = run("index", photos, "--model", "fake_small+fake")
    assert result.exit_code == 0, result.output
    joined = cbir.open_index("photos")
    assert np.array_equal(treatments_of(joined).vectors, treatments_of(second).vectors)
    (match, *_) = cbir.open("photos").search(TreatmentQuery.from_path(photos / "grey" / "2.png"))
    assert match.score > 0
    run("index", photos, "--no-treatment")
    assert cbir.open_index("photos").meta.treatment is None
