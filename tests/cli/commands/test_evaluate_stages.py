"""`cbir evaluate --stages` as a user meets it, on drawn pictures in two treatments."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageOps

import cbir.cli.evaluating.stages
from cbir.backbones.backbone import describe
from cbir.cli import cli
from cbir.errors import TorchMissingError
from cbir.evaluation.across import Domains
from cbir.utils.marks import find_mark
from tests.helpers.chromium import needs_chromium

NAMES = ["stage 1", "stage 2", "stage 3", "feature"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *(str(argument) for argument in arguments)])


def measured(*arguments: str | Path) -> dict:
    result = run(*arguments, "--stages", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def prints(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    """Three scenes, each twice, as they are and as negatives."""
    for number in range(3):
        for half in range(2):
            image = draw_picture(number, (200, 150)).crop((20 * half, 15 * half, 180 + 20 * half, 135 + 15 * half))
            for treatment, treated in (("plain", image), ("negative", ImageOps.invert(image))):
                place = tmp_path / f"prints/{treatment}/scene{number}/{half}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                treated.save(place)
    return tmp_path / "prints"


def test_every_stage_and_the_feature_are_told(prints: Path) -> None:
    record = measured(prints, "--model", "fake", "-k", "2")
    assert (record["root"], record["pictures"], record["queries"]) == (str(prints), 12, 12)
    assert (record["domains"], record["classes"]) == (["negative", "plain"], 3)
    assert [one["stage"] for one in record["stages"]] == [1, 2, 3, None]
    assert [one["channels"] for one in record["stages"]] == [32, 64, 128, 128]
    assert {one["precision"] for one in record["stages"]} == {"f64"}
    for one in record["stages"]:
        assert list(one["across"]["recall_at"]) == ["2"]
        assert [(pair["queries_of"], pair["answers_of"]) for pair in one["across"]["pairs"]] == [
            ("negative", "plain"),
            ("plain", "negative"),
        ]
        assert one["across"]["map"] == pytest.approx(
            np.mean([pair["map"] for pair in one["across"]["pairs"]]), abs=1e-4
        )
        assert one["within"]["map"] == pytest.approx(np.mean([its["map"] for its in one["domains"]]), abs=1e-4)
    assert record["chance"]["precision_at_1"] == pytest.approx(2 / 6, abs=1e-4)
    assert record["chance"]["nearest_of_own_domain"] == pytest.approx(5 / 11, abs=1e-4)
    # two looks at a scene are alike, whatever is measured; a network that was never trained knows no negatives
    assert record["stages"][-1]["within"]["map"] > 0.9


def test_the_feature_is_what_a_search_compares(prints: Path) -> None:
    by_search = json.loads(run(prints, "--across", "--json").stdout)
    feature = measured(prints)["stages"][-1]
    for system, own in (("cosine", "across"), ("cosine, less means", "less_means")):
        (other,) = [one for one in by_search["systems"] if one["method"] == system]
        assert feature[own]["map"] == pytest.approx(other["map"], abs=0.01)


def test_tables_and_lines_are_of_the_same_figures(prints: Path) -> None:
    networks = ("--compare", "--model", "fake", "--model", "fake_small")
    record = measured(prints, *networks)
    table = run(prints, "--stages", *networks).stdout
    assert "12 pictures of 3 classes in 2 domains; 12 queries" in table
    rows = [line for line in table.splitlines() if re.match(r"fake\w* +(stage \d|feature) ", line)]
    assert [re.split("  +", line)[:2] for line in rows] == [["fake", one] for one in NAMES] + [
        ["fake_small", one] for one in NAMES
    ]
    for line, one in zip(rows, record["stages"], strict=True):
        assert f"{one['across']['map']:.3f}  {one['across']['precision_at']['1']:.3f}" in re.sub("  +", "  ", line)
    assert "\nby chance  " in table
    assert "mAP by the " in table
    lines = list(csv.DictReader(io.StringIO(run(prints, "--stages", *networks, "--format", "csv").stdout)))
    first = record["stages"][0]
    assert (lines[0]["model"], lines[0]["stage"], lines[0]["method"]) == ("fake", "stage 1", "cosine")
    assert float(lines[0]["map"]) == first["across"]["map"]
    of_first = [line for line in lines if (line["model"], line["stage"]) == ("fake", "stage 1")]
    assert [(line["queries_of"], line["answers_of"], line["method"]) for line in of_first] == [
        ("", "", "cosine"),
        ("negative", "plain", "cosine"),
        ("plain", "negative", "cosine"),
        ("negative", "negative", "cosine"),
        ("plain", "plain", "cosine"),
        ("", "", "cosine, less means"),
        ("negative", "plain", "cosine, less means"),
        ("plain", "negative", "cosine, less means"),
    ]


def test_bad_pictures_and_those_of_no_class_are_left_out(prints: Path, caplog: pytest.LogCaptureFixture) -> None:
    (prints / "plain/scene0/bad.jpg").write_bytes(b"no picture")
    (prints / "loose.png").write_bytes((prints / "plain/scene0/0.png").read_bytes())
    result = run(prints, "--stages", "--model", "fake", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["pictures"] == 12
    assert "1 of 14 pictures lie in no class of a domain" in result.stderr
    assert re.search(r"left out: Cannot read .*bad\.jpg", result.stderr)


def test_an_index_names_its_pictures_and_its_network(prints: Path) -> None:
    assert CliRunner().invoke(cli, ["index", str(prints), "--model", "fake_small"]).exit_code == 0
    record = measured("--index", "prints", "--sample", "5")
    assert {one["model"] for one in record["stages"]} == {"fake_small"}
    assert record["queries"] == 5
    assert {one["across"]["queries"] for one in record["stages"]} == {5}
    other = run("--index", "prints", "--stages", "--model", "fake")
    assert other.exit_code == 1
    assert "set both side by side with --compare" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--inversions 2", 2, "--inversions is about stages"),
        ("--stages --inversions 2", 2, "draws on a page: name it with --html"),
        ("--stages --boxes boxes.json", 2, "leave --ground-truth"),
        ("--stages --model fake --model fake_small", 2, "Several backbones are for --compare"),
        ("--stages --model nonsense", 1, "nonsense"),
    ],
)
def test_what_goes_wrong_is_said(prints: Path, arguments: str, code: int, said: str) -> None:
    result = run(prints, *arguments.split())
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_folders_that_are_no_domains(prints: Path, tmp_path: Path) -> None:
    result = run(prints / "plain", "--stages", "--model", "fake")
    assert result.exit_code == 1
    assert "There is nothing to find across domains" in result.stderr
    (tmp_path / "empty").mkdir()
    assert "There are no pictures in" in run(tmp_path / "empty", "--stages", "--model", "fake").stderr
    assert "not there, and no index was made of it" in run(tmp_path / "none", "--stages", "--model", "fake").stderr


class TestPage:
    def test_a_page_has_bars_and_pairs_and_is_not_written_over(self, prints: Path, tmp_path: Path) -> None:
        (prints / "plain").rename(prints / "<b>plain")
        page = tmp_path / "stages.html"
        assert run(prints, "--stages", "--model", "fake", "--html", page).exit_code == 0
        content = page.read_text()
        with page.open("rb") as file:
            mark = find_mark(file)
        assert mark is not None
        assert "&lt;b&gt;plain" in content
        assert "<b>plain" not in content
        assert [name for name in NAMES if f'<th scope="row">{name}</th>' in content] == NAMES
        assert content.count('class="whole"') == 12
        assert "What stages keep" not in content
        page.write_text("mine")
        assert run(prints, "--stages", "--model", "fake", "--html", page).exit_code == 1
        assert page.read_text() == "mine"

    @needs_chromium
    def test_drawings_stand_beside_the_pictures(
        self, prints: Path, tmp_path: Path, browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("torch")
        monkeypatch.setattr("cbir.evaluation.kept.STEPS", 2)
        page = tmp_path / "stages.html"
        networks = ("--compare", "--model", "efficientnet_lite0", "--model", "fake")
        result = run(prints, "--stages", *networks, "--html", page, "--inversions", "2", "--json")
        assert result.exit_code == 0, result.output
        assert "Nothing is drawn by fake" in result.stderr
        tab = browser.new_page()
        tab.goto(page.as_uri())
        table = tab.locator("table.kept")
        assert table.count() == 1
        assert table.locator("thead th").all_inner_texts()[2:] == [*(f"stage {one}" for one in range(1, 6)), "feature"]
        assert table.locator("tbody tr").count() == 2
        folders = {name.split("/")[0] for name in table.locator("tbody th").all_inner_texts()}
        assert folders == {"plain", "negative"}
        sides = tab.evaluate("[...document.querySelectorAll('.kept img')].map(one => one.naturalWidth)")
        assert sides == [128] * 14
        cosines = [float(one) for one in table.locator("small").all_inner_texts()]
        assert all(-1 <= one <= 1 for one in cosines)
        tab.close()

    def test_without_torch_it_is_said_before_anything_is_done(
        self, prints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(what: str, without: str) -> None:
            raise TorchMissingError(f"{what} needs torch. Without it {without}.")

        monkeypatch.setattr(cbir.cli.evaluating.stages, "check_torch", missing)
        result = run(prints, "--stages", "--html", tmp_path / "a.html", "--inversions", "1")
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "Drawing what stages keep needs torch" in result.stderr


def test_drawings_are_of_one_class_in_each_domain_the_same_each_time() -> None:
    pytest.importorskip("torch")
    from cbir.evaluation.kept import choose

    paths = [f"{domain}/{name}/{number}.jpg" for domain in "abc" for name in "xyz" for number in range(3)]
    paths = [path for path in paths if not path.startswith("c/y")]
    domains = Domains.of_paths(paths)
    chosen = choose(domains, 8)
    assert choose(domains, 8) == chosen
    places = [paths[one].split("/")[:2] for one in chosen]
    assert [place[0] for place in places] == ["a", "b", "c", "a", "b", "c", "a", "b"]
    assert [place[1] for place in places[:6:3]] != ["y", "y"]
    assert {place[1] for place in places[6:]} == {"y"}  # which is in two domains only, and comes last
    assert sorted(choose(domains, 1000)) == list(range(len(paths)))


def test_a_drawing_comes_nearer_with_steps(draw_picture: Callable[..., Image.Image]) -> None:
    pytest.importorskip("torch")
    from cbir.evaluation.kept import SIZE, invert

    picture = draw_picture(2, (SIZE, SIZE))
    backbone = describe("efficientnet_lite0")
    few, more = (invert(backbone, {7: picture}, steps=steps).drawings[7] for steps in (1, 12))
    assert [one.name for one in more] == [*(f"stage {one}" for one in range(1, 6)), "feature"]
    for before, after in zip(few, more, strict=True):
        assert after.cosine > before.cosine
        assert after.image.size == (SIZE, SIZE)
