"""`cbir search --across` and `cbir evaluate --across` as a user meets them, on drawn pictures in three treatments."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageFilter, ImageOps

from cbir.cli import cli
from cbir.extract.extractor import Extractor
from cbir.index.format import META, load_meta
from cbir.index.open import open_index
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from tests.helpers.feature_index import make_index

PICTURES = 8

#: What is done to pictures, by the folders they are in then.
TREATMENTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "plain": lambda image: image,
    "edges": lambda image: ImageOps.invert(ImageOps.grayscale(image).filter(ImageFilter.FIND_EDGES)),
    "negative": ImageOps.invert,
}
ACROSS = [word for name in TREATMENTS for word in ("--across", name)]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def evaluated(*arguments: str | Path) -> dict:
    result = run("evaluate", *arguments, "--across", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """`prints`, a folder for each treatment with one for each picture, and `index`, an index of it."""
    folder = tmp_path_factory.mktemp("template")
    for treatment, treated in TREATMENTS.items():
        for number in range(PICTURES):
            for half in range(2):
                place = folder / f"prints/{treatment}/scene{number}/{half}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                box = (20 * half, 15 * half, 180 + 20 * half, 135 + 15 * half)
                treated(draw_picture(number, (200, 150)).crop(box)).save(place, quality=90)
    build_index(choose_target(folder / "prints", str(folder / "index")))
    return folder


@pytest.fixture
def prints(template: Path, tmp_path: Path) -> Path:
    """The folder, indexed as `prints`."""
    folder = shutil.copytree(template / "prints", tmp_path / "prints")
    directory = shutil.copytree(template / "index", tmp_path / "indexes/prints")
    (directory / META).write_text(load_meta(directory).but(root=str(folder)).dump())
    return folder


class TestSearch:
    """`cbir search --across`."""

    def test_matches_are_those_less_the_means_of_folders(self, prints: Path) -> None:
        index = open_index("prints")
        features = index.features(range(index.rows))
        paths = [record.path for _, record in index.records()]
        vectors = features.copy()
        for name in TREATMENTS:
            inside = np.array([path.startswith(f"{name}/") for path in paths])
            vectors[inside] -= features[inside].sum(axis=0) / (inside.sum() + 5)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        query = paths.index("edges/scene3/0.jpg")
        result = run("search", prints / paths[query], *ACROSS, "--no-rerank", "--format", "jsonl")
        assert result.exit_code == 0, result.output
        record = json.loads(result.stdout)
        assert record["treatments"] == ["edges"]
        assert "notices" not in record
        order = [row for row in np.argsort(-(vectors @ vectors[query])).tolist() if row != query][:10]
        assert [match["path"] for match in record["matches"]] == [str(prints / paths[row]) for row in order]
        scores = [match["score"] for match in record["matches"]]
        assert scores == pytest.approx((vectors[order] @ vectors[query]).tolist(), abs=2e-3)

    def test_folders_may_be_paths_and_a_filter_says_where_to_look(
        self, prints: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = prints / "edges/scene3/0.jpg"
        wanted = run("search", asked, *ACROSS, "--folder", "plain").stdout
        assert len(wanted.splitlines()) == 10
        assert all(line.startswith(f"{prints}/plain/") for line in wanted.splitlines())
        monkeypatch.chdir(prints)
        typed = [word for name in TREATMENTS for word in ("--across", f"{name}/")]
        assert run("search", asked, *typed, "--folder", "plain").stdout == wanted

    def test_a_picture_from_elsewhere_is_taken_for_the_nearest_and_that_is_said(
        self, prints: Path, tmp_path: Path, draw_picture: Callable[..., Image.Image]
    ) -> None:
        TREATMENTS["edges"](draw_picture(77)).save(tmp_path / "new.png")
        result = run("search", tmp_path / "new.png", *ACROSS, "--format", "jsonl")
        record = json.loads(result.stdout)
        assert record["treatments"] == ["edges"]
        assert "new.png is taken for one of those in edges, whose mean it is nearest to" in result.stderr
        (prints / "negative/fresh").mkdir()
        shutil.copy(tmp_path / "new.png", prints / "negative/fresh/new.png")
        result = run("search", prints / "negative/fresh/new.png", *ACROSS, "--format", "jsonl")
        assert json.loads(result.stdout)["treatments"] == ["negative"]
        assert "is taken for" not in result.stderr

    def test_a_page_is_written_and_several_queries_are_answered(self, prints: Path, tmp_path: Path) -> None:
        asked = [prints / f"edges/scene{number}/0.jpg" for number in range(3)]
        result = run("search", *asked, *ACROSS, "--html", tmp_path / "found.html", "--format", "jsonl", "-k", "3")
        assert result.exit_code == 0, result.output
        assert [len(json.loads(line)["matches"]) for line in result.stdout.splitlines()] == [3, 3, 3]
        assert "scene2" in (tmp_path / "found.html").read_text()

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["--across", "plane"], 1, "no pictures in a folder 'plane'. Did you mean plain?"),
            (["--across", "."], 1, "are of one treatment: name a folder for each"),
            ([*ACROSS, "--word", "dog"], 2, "--across compares whole pictures"),
            ([*ACROSS, "--text", "a dog"], 2, "--across compares whole pictures"),
            ([*ACROSS, "--parts"], 2, "--across compares whole pictures"),
            ([*ACROSS, "--kind"], 2, "--across compares whole pictures"),
            ([*ACROSS, "--same"], 2, "--across compares whole pictures"),
            ([*ACROSS, "--learnt", "x"], 2, "--across compares whole pictures"),
            ([*ACROSS, "--class-weights", "dog"], 2, "--across compares whole pictures"),
            ([*ACROSS, "--face"], 2, "--face compares faces with faces"),
            ([*ACROSS, "--explain", "--html", "x.html"], 2, "--explain tells what features have in common"),
        ],
    )
    def test_wrong_use_is_told(self, prints: Path, arguments: list[str], code: int, message: str) -> None:
        result = run("search", prints / "plain/scene0/0.jpg", *arguments)
        assert result.exit_code == code
        assert message in result.stderr

    def test_it_is_about_pictures(self, prints: Path) -> None:
        result = run("search", "--word", "dog", *ACROSS)
        assert result.exit_code == 2
        assert "--across is for a query's pictures: name one." in result.stderr


class TestEvaluate:
    """`cbir evaluate --across`."""

    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is extracted in these tests."""
        monkeypatch.setattr(Extractor, "engine", property(lambda self: pytest.fail("the network was to be loaded")))

    def test_figures_are_those_of_the_searches_that_users_make(self, prints: Path) -> None:
        record = evaluated("--index", "prints")
        assert (record["pictures"], record["left_out"], record["queries"]) == (48, 0, 48)
        assert record["domains"] == sorted(TREATMENTS)
        methods = ["cosine", "cosine, less means", "re-ranked", "re-ranked, less means"]
        assert [system["method"] for system in record["systems"]] == methods
        files = sorted(prints.glob("*/*/*.jpg"))
        for system, options in zip(
            record["systems"], (["--no-rerank"], ["--no-rerank", *ACROSS], [], ACROSS), strict=True
        ):
            found = run("search", *files, "-k", "47", "--format", "jsonl", *options)
            precisions: dict[tuple[str, str], list[float]] = {}
            for file, line in zip(files, found.stdout.splitlines(), strict=True):
                paths = [Path(match["path"]).relative_to(prints) for match in json.loads(line)["matches"]]
                own, scene = file.relative_to(prints).parts[:2]
                for other in ("", *(one for one in TREATMENTS if one != own)):
                    ranked = [path for path in paths if path.parts[0] == other or (not other and path.parts[0] != own)]
                    ranks = np.flatnonzero([path.parts[1] == scene for path in ranked]) + 1
                    assert len(ranks) == (2 if other else 4)
                    key = (own, other) if other else ("", "")
                    precisions.setdefault(key, []).append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
            # two pictures that are equally alike may come in either order
            assert system["map"] == pytest.approx(np.mean(precisions["", ""]), abs=2e-3)
            assert len(system["pairs"]) == 6
            for pair in system["pairs"]:
                its = precisions[pair["queries_of"], pair["answers_of"]]
                assert pair["map"] == pytest.approx(np.mean(its), abs=5e-3)
                assert pair["queries"] == 16
        plain, less, reranked, less_reranked = (system["map"] for system in record["systems"])
        assert less > plain + 0.05
        assert less_reranked > reranked

    def test_the_table_and_lines(self, prints: Path) -> None:
        table = run("evaluate", prints, "--across").stdout
        assert "48 pictures in 8 classes of 3 domains; 48 queries" in table
        assert "efficientnet_lite0 re-ranked, less means" in table
        rows = list(csv.DictReader(io.StringIO(run("evaluate", prints, "--across", "--format", "csv").stdout)))
        assert len(rows) == 4 * 7
        record = evaluated(prints)
        assert [float(row["map"]) for row in rows if not row["queries_of"]] == [one["map"] for one in record["systems"]]
        assert {(row["queries_of"], row["answers_of"]) for row in rows[1:7]} == {
            (one, other) for one in TREATMENTS for other in TREATMENTS if one != other
        }

    def test_a_sample(self, prints: Path) -> None:
        result = run("evaluate", prints, "--across", "--sample", "10")
        assert "10 queries of 48, drawn at random" in result.stdout
        assert evaluated(prints, "--sample", "10")["queries"] == 10

    def test_classical_features_are_compared_both_ways(self, prints: Path) -> None:
        systems = evaluated(prints, "--compare")["systems"]
        hsv = {one["method"]: one["map"] for one in systems if one["model"].startswith("hsv")}
        assert set(hsv) == {"cosine", "cosine, less means"}

    def test_a_page_is_written_once(self, prints: Path, tmp_path: Path) -> None:
        page = tmp_path / "across.html"
        assert run("evaluate", prints, "--across", "--html", page).exit_code == 0
        text = page.read_text()
        assert "edges → negative" in text
        assert "re-ranked, less means" in text
        assert "Worst queries" in text
        page.write_text("mine")
        assert run("evaluate", prints, "--across", "--html", page).exit_code == 1
        assert page.read_text() == "mine"

    @pytest.mark.parametrize("options", [["--ground-truth", "x.csv"], ["--learnt", "x"], ["--faces"], ["--boxes", "x"]])
    def test_what_it_does_not_go_with(self, prints: Path, options: list[str]) -> None:
        result = run("evaluate", prints, "--across", *options)
        assert result.exit_code == 2
        assert "--across is about folders of folders" in result.stderr

    @pytest.mark.parametrize("loose", [0, 3])
    def test_pictures_in_no_class_are_left_out_and_counted(self, tmp_path: Path, loose: int) -> None:
        names = [f"{name}/scene{number}/0.jpg" for name in TREATMENTS for number in range(PICTURES)]
        _made(tmp_path, ["root.jpg", "plain/1.jpg", "edges/2.jpg"][:loose] + names)
        result = run("evaluate", "--index", "made", "--across", "--json")
        assert (f"{loose} of 27 pictures lie in no class of a domain, and are left out." in result.stderr) == (
            loose > 0
        )
        record = json.loads(result.stdout)
        assert (record["left_out"], record["queries"]) == (loose, 24)

    @pytest.mark.parametrize("pattern", ["scene{}/0.jpg", "plain/scene{}/0.jpg", "{0}/scene{0}/0.jpg"])
    def test_folders_without_domains_are_an_error(self, tmp_path: Path, pattern: str) -> None:
        _made(tmp_path, [pattern.format(number) for number in range(PICTURES)])
        result = run("evaluate", "--index", "made", "--across")
        assert result.exit_code == 1
        assert "There is nothing to find across domains" in result.stderr


def _made(folder: Path, names: list[str]) -> None:
    """Make an index `made` of pictures of some names, of made features."""
    features = np.random.default_rng(1).gamma(0.5, 1.0, (len(names), 32)).astype(np.float32)
    (folder / "indexes").mkdir(exist_ok=True)
    make_index(
        folder / "indexes/made", features / np.linalg.norm(features, axis=1, keepdims=True), name=names.__getitem__
    )
