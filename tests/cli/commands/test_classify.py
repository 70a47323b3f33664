"""`cbir classify` and `cbir tags --learnt`: a user's own classes, their probabilities, and folders of links."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.index.store import Index
from cbir.notions.notion import Notion
from cbir.notions.probability import Certainty
from cbir.notions.store import keep_notion
from tests.helpers.notions import make_notion
from tests.helpers.photo_index import index_photos

FOLDERS = ("cats", "dogs", "birds")
EACH = 6


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Callable) -> Path:
    """Six pictures in each of three folders, whose features in the index `photos` are alike within a folder."""
    root = tmp_path / "photos"
    for place, folder in enumerate(FOLDERS):
        (root / folder).mkdir(parents=True)
        for number in range(EACH):
            draw_picture(10 * place + number).save(root / folder / f"{number}.jpg")
    index_photos(root)
    return root


def teach(names: tuple[str, ...] = ("cat", "dog"), **changes: Any) -> Notion:
    """Keep the notion `kinds` of the first three cats and dogs; birds are none of it."""
    index = Index.open(Path(os.environ["CBIR_HOME"]) / "photos")
    number = {"cats": 0, "dogs": 1}
    rows = [
        (row, number[folder])
        for row, record in index.records()
        if (folder := record.path.split("/")[0]) in number and record.path.split("/")[1] < "3"
    ]
    found = np.array(rows)
    notion = replace(make_notion(index, found[:, 0], found[:, 1]), classes=names, certainty=Certainty(6.0))
    notion = replace(notion, **changes)
    keep_notion(index.directory, notion)
    return notion


def links_in(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): os.readlink(path) for path in folder.rglob("*") if path.is_symlink()}


def test_pictures_have_the_class_that_claims_them_and_its_probability(photos: Path) -> None:
    teach()
    result = run("classify", "--learnt", "kinds")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    paths = [str(photos / folder / f"{number}.jpg") for folder in sorted(FOLDERS) for number in range(EACH)]
    assert [one["path"] for one in found] == paths
    classes = {"birds": None, "cats": "cat", "dogs": "dog"}
    assert [one["class"] for one in found] == [classes[Path(path).parent.name] for path in paths]
    probabilities = [one["probability"] for one in found]
    assert probabilities[:EACH] == [None] * EACH
    # those that have a label are sure, the others nearly so
    assert probabilities[EACH : EACH + 3] == [1.0] * 3
    assert all(0.9 < one < 1 for one in probabilities[EACH + 3 : 2 * EACH])
    assert result.stderr.endswith("18 pictures: 6 cat, 6 dog, 6 of none.\n")


def test_all_formats_have_the_same(photos: Path) -> None:
    teach(("cat, small", "dog\n\x1b[2J"))
    records = json.loads(run("classify", "--learnt", "kinds", "--json").stdout)
    text = run("classify", "--learnt", "kinds", "--format", "csv").stdout
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [(one["path"], one["class"] or None) for one in lines] == [(one["path"], one["class"]) for one in records]
    assert {one["class"] for one in lines} == {"", "cat, small", "dog\n\x1b[2J"}
    table = run("classify", "--learnt", "kinds", "--format", "table").stdout
    assert len(table.splitlines()) == 1 + len(records)
    assert "\x1b" not in table
    assert table.splitlines()[0].split() == ["class", "probability", "path"]


def test_a_class_that_is_not_probable_enough_claims_nothing(photos: Path) -> None:
    teach(certainty=Certainty(0.1))
    result = run("classify", "--learnt", "kinds", "--min-probability", "0.9")
    found = {json.loads(line)["class"] for line in result.stdout.splitlines()[EACH + 3 : 2 * EACH]}
    assert found == {None}
    assert run("classify", "--learnt", "kinds").stderr.endswith("6 cat, 6 dog, 6 of none.\n")


def test_links_are_sorted_by_class_and_a_second_run_adds_what_is_new(photos: Path, tmp_path: Path) -> None:
    teach()
    sorted_ = tmp_path / "sorted"
    dry = run("classify", "--learnt", "kinds", "--links", sorted_, "--dry-run")
    assert dry.stderr.splitlines()[-1] == f"Links in {sorted_}: 12 new. Nothing was made."
    assert not sorted_.exists()
    first = run("classify", "--learnt", "kinds", "--links", sorted_)
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr.splitlines()[-1] == f"Links in {sorted_}: 12 new."
    assert links_in(sorted_) == {
        f"{folder[:-1]}/{number}.jpg": str(photos / folder / f"{number}.jpg")
        for folder in FOLDERS[:2]
        for number in range(EACH)
    }
    (sorted_ / "dog" / "4.jpg").rename(sorted_ / "cat" / "no dog.jpg")
    second = run("classify", "--learnt", "kinds", "--links", sorted_, "--none")
    assert second.stderr.splitlines()[-3:] == [
        f"  {photos}/dogs/4.jpg: its link is in another folder than its class, and was left there",
        "18 pictures: 6 cat, 6 dog, 6 of none.",
        f"Links in {sorted_}: 6 new, 11 there already, 1 in another folder.",
    ]
    assert sorted(path.name for path in sorted_.iterdir()) == ["cat", "dog", "none"]
    assert len(links_in(sorted_)) == 18


def test_hostile_classes_stay_in_their_folder(photos: Path, tmp_path: Path) -> None:
    teach(("../../up", "none"))
    sorted_ = tmp_path / "in" / "sorted"
    assert run("classify", "--learnt", "kinds", "--links", sorted_, "--none").exit_code == 0
    assert sorted(path.name for path in sorted_.iterdir()) == ["_.._up", "none", "none-2"]
    assert [path.name for path in sorted_.parent.iterdir()] == ["sorted"]
    assert all(link.startswith("none-2/") == ("/birds/" in to) for link, to in links_in(sorted_).items())


def test_only_pictures_that_are_there_get_links(photos: Path, tmp_path: Path) -> None:
    teach()
    (photos / "cats" / "0.jpg").unlink()
    (photos / "cats" / "1.jpg").write_text("no picture any more")
    (tmp_path / "elsewhere").mkdir()
    (photos / "dogs").rename(tmp_path / "elsewhere" / "dogs")
    (photos / "dogs").symlink_to(tmp_path / "elsewhere" / "dogs")
    result = run("classify", "--learnt", "kinds", "--links", tmp_path / "sorted")
    assert result.stderr.splitlines()[-1] == (
        f"Links in {tmp_path / 'sorted'}: 4 new, none for 1 that are gone, none for 7 that are no pictures."
    )
    assert sorted(links_in(tmp_path / "sorted")) == [f"cat/{number}.jpg" for number in range(2, EACH)]


def test_links_are_refused_where_they_would_be_indexed(photos: Path, tmp_path: Path) -> None:
    teach()
    (tmp_path / "way").symlink_to(photos / "cats")
    for folder in (photos, photos / "sorted", tmp_path / "way", photos / "cats" / ".." / "x"):
        result = run("classify", "--learnt", "kinds", "--links", folder)
        assert result.exit_code == 1
        assert "where `cbir index` would take links for more pictures" in result.stderr
    assert not (photos / "sorted").exists()
    # one whose name begins alike is another
    assert run("classify", "--learnt", "kinds", "--links", f"{photos}-sorted").exit_code == 0


def test_options_that_mean_nothing_together_are_usage_errors(photos: Path, tmp_path: Path) -> None:
    for options in ([], ["--learnt", "x", "--none"], ["--learnt", "x", "--dry-run"], ["--links", tmp_path / "x"]):
        assert run("classify", *options).exit_code == 2
    unknown = run("classify", "--learnt", "kinds")
    assert unknown.exit_code == 1
    assert "There is no notion kinds in the index photos" in unknown.stderr


def test_a_picture_whose_feature_is_damaged_has_no_class(photos: Path, tmp_path: Path) -> None:
    teach()
    index = Index.open(Path(os.environ["CBIR_HOME"]) / "photos")
    (entry,) = [block.features for block in index.meta.blocks]
    row = next(row for row, record in index.records() if record.path == "cats/4.jpg")
    with (index.directory / entry.name).open("r+b") as file:
        file.seek(-2 * index.dimension * (index.rows - row), os.SEEK_END)
        file.write(bytes(2 * index.dimension))
    result = run("classify", "--learnt", "kinds", "--links", tmp_path / "sorted", "--none", "--format", "csv")
    assert result.exit_code == 1
    assert f"{photos}/cats/4.jpg,,\n" in result.stdout
    assert not any(to.endswith("cats/4.jpg") for to in links_in(tmp_path / "sorted").values())


# ---- tags


def test_tags_of_an_index_are_its_classes(photos: Path) -> None:
    teach(certainty=Certainty(2.0))
    result = run("tags", "--learnt", "kinds", "--index", "photos", "--min-probability", "0.01")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [tag["word"] for tag in found[EACH]["tags"]] == ["cat"]
    assert [tag["word"] for tag in found[EACH + 4]["tags"]] == ["cat", "dog"]
    assert sum(tag["probability"] for tag in found[EACH + 4]["tags"]) == pytest.approx(1, abs=0.001)
    assert found[EACH]["tags"][0]["synset"] is None
    assert found[0]["tags"] == []
    lines = list(csv.DictReader(io.StringIO(run("tags", "--learnt", "kinds", "--format", "csv").stdout)))
    assert {(line["tag"], line["synset"]) for line in lines} == {("cat", ""), ("dog", "")}


def test_sidecars_have_classes_of_any_name(photos: Path) -> None:
    teach(("cat|<small>\x01\udcff", "dog"))
    assert run("tags", "--learnt", "kinds", "--xmp").stderr.endswith("12 written, none for 6 without tags.\n")
    text = (photos / "cats" / "4.jpg.xmp").read_text("utf-8")
    words = [one.text for one in ElementTree.fromstring(text).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")]
    assert words == ["cat|<small>\\x01\ufffd", "cat/<small>\\x01\ufffd"]
    assert "12 unchanged" in run("tags", "--learnt", "kinds", "--xmp").stderr


def test_pictures_are_tagged_by_the_network_of_the_index(photos: Path, tmp_path: Path) -> None:
    home = Path(os.environ["CBIR_HOME"])
    assert run("index", photos, "--index", "real", "-q").exit_code == 0
    index = Index.open(home / "real")
    rows = [row for row, record in index.records() if record.path.startswith(("cats", "dogs"))]
    classes = np.array([int(index.record(row).path.startswith("dogs")) for row in rows])
    keep_notion(index.directory, replace(make_notion(index, np.array(rows), classes), classes=("cat", "dog")))
    copy = tmp_path / "copy.jpg"
    copy.write_bytes((photos / "dogs" / "1.jpg").read_bytes())
    (tmp_path / "bad.jpg").write_text("nothing")
    options = ("--learnt", "kinds", "--index", "real", "--min-probability", "0.01")
    result = run("tags", copy, tmp_path / "bad.jpg", photos / "cats" / "1.jpg", *options)
    assert result.exit_code == 1
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one.get("tags") and one["tags"][0]["word"] for one in found] == ["dog", None, "cat"]
    assert "no picture" in found[1]["error"]
    assert [json.loads(run("tags", copy, *options).stdout)["path"]] == [str(copy)]


def test_options_of_tags_that_mean_nothing_with_a_notion_are_usage_errors(photos: Path) -> None:
    some = photos / "cats" / "1.jpg"
    for options in (
        ["--learnt", "kinds", "--model", "resnet50"],
        ["--learnt", "kinds", "--max-general", "0.1"],
        ["--learnt", "kinds", "--engine", "torch"],
        ["--index", "photos", some],
    ):
        result = run("tags", *options)
        assert result.exit_code == 2, options
