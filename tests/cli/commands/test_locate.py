"""`cbir locate`: where in pictures something is."""

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
from PIL import Image, ImageOps

import cbir
from cbir.cli import cli
from cbir.errors import RegionError
from cbir.images.regions import SegmentOption
from cbir.index.home import index_directory
from cbir.locate.locator import Candidate, by_likeness, choose


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["locate", *(str(argument) for argument in arguments)])


BOX = (150, 60, 120, 90)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """`query.png`, a scene with it at BOX, the same with the query mirrored, and one without it."""
    folder = tmp_path_factory.mktemp("locate")
    query = draw_picture(7, (240, 180))
    query.save(folder / "query.png")
    small = query.resize(BOX[2:], Image.Resampling.LANCZOS)
    for name, pasted in (("scene", small), ("mirrored", ImageOps.mirror(small))):
        scene = draw_picture(30, (400, 300))
        scene.paste(pasted, BOX[:2])
        scene.save(folder / f"{name}.png")
    draw_picture(31, (400, 300)).save(folder / "without.png")
    return folder


def overlap(box: list[int]) -> float:
    x, y, width, height = box
    left, top, across, down = BOX
    shared = max(0, min(x + width, left + across) - max(x, left)) * max(0, min(y + height, top + down) - max(y, top))
    return shared / (width * height + across * down - shared)


def test_pictures_of_indexes_are_looked_through_the_surest_first(pictures: Path, tmp_path: Path) -> None:
    for name, pictures_of_it in (("one", ["without", "mirrored"]), ("two", ["scene"])):
        (tmp_path / name).mkdir()
        for picture in pictures_of_it:
            shutil.copy(pictures / f"{picture}.png", tmp_path / name)
        cbir.index_folder(tmp_path / name, name, model="fake")
    looked = (pictures / "query.png", "-m", "efficientnet_lite0", "-q", "--index", "one", "--index", "t*")
    result = run(*looked, "--format", "jsonl")
    assert result.exit_code == 0, result.output
    found = list(map(json.loads, result.stdout.splitlines()))
    assert {Path(one["image"]).name for one in found[:2]} == {"scene.png", "mirrored.png"}
    assert Path(found[2]["image"]).name == "without.png"
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    (index_directory("two") / "meta.json").write_text("{")
    result = run(*looked, "--json")
    assert result.exit_code == 1
    assert "The other indexes were looked through." in result.stderr
    assert len(json.loads(result.stdout)) == 2
    assert run(pictures / "query.png").exit_code == 2
    assert run(pictures / "query.png", pictures / "scene.png", "--index", "one").exit_code == 2


def test_pictures_may_have_addresses(pictures: Path, tmp_path: Path) -> None:
    system = pytest.importorskip("fsspec").filesystem("memory")
    for name in ("query", "scene"):
        system.pipe(f"/located/{name}.png", (pictures / f"{name}.png").read_bytes())
    places = [f"memory://located/{name}.png" for name in ("query", "scene", "nothing")]
    result = run(*places, "--out", tmp_path, "--json", "-m", "efficientnet_lite0", "-q")
    assert result.exit_code == 1
    assert "Cannot read memory://located/nothing.png: there is no such file." in result.stderr
    (found,) = json.loads(result.stdout)
    assert (found["query"], found["image"]) == (places[0], places[1])
    assert overlap(found["box"]) > 0.6
    assert found["overlay"] == str(tmp_path / "scene.located.png")


def test_it_is_found_and_its_absence_is_told(pictures: Path, tmp_path: Path) -> None:
    names = [pictures / f"{name}.png" for name in ("scene", "mirrored", "without")]
    result = run(pictures / "query.png", *names, "--out", tmp_path, "--json", "-m", "efficientnet_lite0", "-q")
    assert result.exit_code == 0, result.output
    scene, mirrored, without = json.loads(result.stdout)
    assert overlap(scene["box"]) > 0.6
    assert overlap(mirrored["box"]) > 0.6
    assert min(scene["score"], mirrored["score"]) > 0.6 > without["score"]
    assert (scene["image"], scene["width"], scene["height"]) == (str(names[0]), 400, 300)
    drawn = np.asarray(Image.open(scene["overlay"]))
    x, y, _, height = scene["box"]
    assert drawn.shape == (300, 400, 3)
    assert drawn[y + height // 2, x].tolist() == [255, 255, 255]


def test_a_region_of_a_picture_is_looked_for(pictures: Path) -> None:
    region = ",".join(map(str, BOX))
    arguments = (
        pictures / "scene.png",
        "--region",
        region,
        pictures / "mirrored.png",
        "-m",
        "efficientnet_lite0",
        "-q",
    )
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "--format", "csv").stdout)))
    assert overlap([int(rows[0][name]) for name in ("x", "y", "width", "height")]) > 0.6
    record = json.loads(run(*arguments).stdout)
    assert record["query_box"] == list(BOX)
    assert record["region"] == region
    assert run(*arguments, "--min-score", "1").stdout == ""


def test_failures_are_told_and_the_others_go_on(pictures: Path, tmp_path: Path) -> None:
    result = run(
        pictures / "query.png", tmp_path / "none.jpg", pictures / "scene.png", "-m", "efficientnet_lite0", "-q"
    )
    assert result.exit_code == 1
    assert "there is no such file" in result.stderr
    assert json.loads(result.stdout)["image"].endswith("scene.png")
    outside = run(pictures / "query.png", pictures / "scene.png", "--region", "0,0,999,9", "-q")
    assert outside.exit_code == 1
    assert "is not within" in outside.stderr


def test_likeness_takes_the_box_that_stands_out() -> None:
    heat = np.full((20, 30), 0.1, dtype=np.float32)
    heat[5:9, 21:29] = 0.8
    heat[14:17, 1:8] = 0.8
    heat[18, 15] = 0.9
    assert by_likeness(heat).box == pytest.approx((21 / 30, 5 / 20, 8 / 30, 4 / 20))


def test_a_template_that_fits_decides_and_one_that_does_not_is_left() -> None:
    heat = np.full((20, 30), 0.1, dtype=np.float32)
    heat[5:9, 12:20] = 0.3
    box = (0.1, 0.1, 0.2, 0.2)
    fitting = choose(heat, [Candidate(box, 0.8, 128)])
    assert fitting.box == box
    assert choose(heat, [Candidate(box, 0.2, 128)]).box == by_likeness(heat).box
    assert choose(heat, []).score < fitting.score


def test_every_option_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "locate.md").read_text()
    command = cli.get_command(None, "locate")  # type: ignore[arg-type]
    shared_by_all = {"--model", "--weights", "--engine", "--precision", "--log-file", "--verbose", "--quiet", "--help"}
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}  # type: ignore[union-attr]
    assert not {name for name in options - shared_by_all if name not in text}


def test_from_python_pixels_do_and_boxes_in_words(pictures: Path) -> None:
    locator = cbir.Locator("efficientnet_lite0")
    query, scene = (cbir.read_image(pictures / f"{name}.png") for name in ("query", "scene"))
    found = locator.locate(locator.target(query), scene)
    assert overlap(list(found.box)) > 0.6
    x, y, width, height = BOX
    own = locator.target(scene, f"{x},{y},{width},{height}")
    assert overlap(list(locator.locate(own, scene).box)) > 0.8
    with pytest.raises(RegionError, match="not within"):
        locator.target(scene, "390,0,40,40")
    with pytest.raises(ValueError, match="no region"):
        locator.target(scene, "everything")
    by_box = cbir.Query.from_path(pictures / "scene.png", region="1,2,30,40")
    assert by_box.region is not None
    assert cbir.Query.from_path("a.png", segment=0).region == SegmentOption(0)
    with pytest.raises(ValueError, match="not by both"):
        cbir.Query.from_path("a.png", region="1,2,3,4", segment=0)
