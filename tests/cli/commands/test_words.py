"""`cbir words`: nouns near words, and how many pictures show each."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.index.store import Index
from tests.helpers.objects_added import with_objects
from tests.helpers.photo_index import index_photos
from tests.helpers.toy import toy_index

#: ImageNet's classes of the pictures below: two beagles, a sorrel and a zebra.
SHOWN = {"0.jpg": "n02088364", "1.jpg": "n02088364", "2.jpg": "n02389026", "3.jpg": "n02391049"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Callable) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    for name in SHOWN:
        draw_picture(int(name[0])).save(root / name)
    index_photos(root, SHOWN)
    return root


def nouns(result: Result) -> dict[str, int | None]:
    assert result.exit_code == 0, result.output
    return {one["noun"]: one["pictures"] for one in json.loads(result.stdout)["nouns"]}


def test_pictures_are_those_that_a_search_finds(photos: Path) -> None:
    found = nouns(run("words", "horse", "--json"))
    assert (found["horse"], found["sorrel"], found["zebra"], found["equine"]) == (1, 1, 1, 2)
    for noun in ("sorrel", "zebra", "equine"):
        lines = run("search", "--word", noun, "--min-probability", 0.15, "--format", "paths", "--no-rerank").stdout
        assert len(lines.split()) == found[noun], noun
    assert nouns(run("words", "horse", "--json", "--all", "-k", 30))["pony"] is None


def test_of_nouns_that_are_as_near_the_one_that_more_pictures_show_comes_first(photos: Path) -> None:
    found = list(nouns(run("words", "dog", "--json", "-k", 20)))
    assert found[:2] == ["dog", "hunting dog"]  # a beagle is one


def test_shown_leaves_the_others_out(photos: Path) -> None:
    found = nouns(run("words", "dog", "--shown", "--json", "-k", 50))
    assert "beagle" in found
    assert all(found.values())
    assert "poodle" in nouns(run("words", "dog", "--json", "-k", 50))


def test_formats(photos: Path) -> None:
    rows = list(csv.reader(io.StringIO(run("words", "dog", "horse", "-k", 2, "--format", "csv").stdout)))
    assert rows[0] == ["word", "noun", "likeness", "relation", "pictures", "synset", "sense", "meaning", "by"]
    assert [row[:2] for row in rows[1:]] == [
        ["dog", "dog"],
        ["dog", "hunting dog"],
        ["horse", "horse"],
        ["horse", "sorrel"],
    ]
    both = json.loads(run("words", "dog", "horse", "--json").stdout)
    assert [one["word"] for one in both] == ["dog", "horse"]
    lines = run("words", "dog", "horse").stdout.splitlines()
    assert [json.loads(line)["word"] for line in lines] == ["dog", "horse"]
    table = run("words", "dog", "horse", "--format", "table").stdout
    assert "dog:\n" in table
    assert "pictures" in table


def test_what_the_detector_of_an_index_knows_counts_too(photos: Path) -> None:
    index = Index.open(Path(os.environ["CBIR_HOME"]) / "photos")
    seen = {"0.jpg": [("giraffe", 0.9, (0, 0, 9, 9))], "1.jpg": [], "2.jpg": [], "3.jpg": []}
    with_objects(index, Path(os.environ["CBIR_HOME"]) / "more", seen, ("giraffe", "dog"))
    assert nouns(run("words", "giraffe", "--index", "more", "--json"))["giraffe"] == 1
    assert nouns(run("words", "giraffe", "--index", "photos", "--json"))["giraffe"] is None


def test_without_an_index_nothing_is_counted() -> None:
    result = run("words", "horse", "--json")
    assert nouns(result)["zebra"] is None
    assert "No pictures are counted. There is no index in" in result.stderr
    assert "pictures" not in run("words", "horse", "--format", "table").stdout
    for options in (("--shown",), ("--index", "nothing")):
        result = run("words", "horse", *options)
        assert result.exit_code == 1
        assert "There is no index" in result.stderr


def test_unknown_words_and_senses() -> None:
    result = run("words", "horse", "hors")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "There is no word 'hors' in WordNet. Did you mean horse" in result.stderr
    assert "5 senses" in run("words", "crane").stderr
    result = run("words", "crane", "--sense", 5, "--json")
    assert "5 senses" not in result.stderr
    assert "wading bird" in nouns(result)
    assert "lifting device" not in nouns(result)
    assert "lifts and moves" in run("words", "crane", "--sense", "list", "--format", "csv").stdout
    assert run("words", "dog", "--all", "--shown").exit_code == 2


def test_a_text_encoder_tells_nouns_too() -> None:
    options = ("--index", toy_index(), "-k", 5)
    record = json.loads(run("words", "tower", *options, "--json").stdout)
    assert record["nouns"][0]["noun"] == record["by_text"][0]["noun"] == "tower"
    assert record["by_text"][0]["likeness"] == pytest.approx(1, abs=1e-3)
    rows = list(csv.reader(io.StringIO(run("words", "tower", *options, "--format", "csv").stdout)))
    assert {row[-1] for row in rows[1:]} == {"wordnet", "text"}
    assert "tower, by its network's texts:" in run("words", "tower", *options, "--format", "table").stdout
    assert json.loads(run("words", "trilobite", *options, "--json").stdout)["by_text"] == []
    shown = json.loads(run("words", "tower", *options, "--json", "--shown").stdout)
    assert all(one["pictures"] for one in shown["nouns"] + shown["by_text"])
