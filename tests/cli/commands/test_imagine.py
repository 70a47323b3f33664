"""`cbir imagine`: a picture on disk, measures on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

pytest.importorskip("torch")

import cbir
from cbir.cli import cli
from cbir.utils.marks import find_mark
from tests.helpers.toy import DRAWN

BALLOON = DRAWN / "hot_air_balloons" / "hot_air_balloons_04.jpg"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["imagine", *(str(argument) for argument in arguments)])


def test_a_picture_is_drawn_and_what_networks_see_in_it_told(tmp_path: Path) -> None:
    cbir.index_folder(DRAWN / "mountain_lakes", str(tmp_path / "few"), model="efficientnet_lite0")
    out = tmp_path / "new" / "like.png"
    options = ("--steps", 2, "--size", 64, "--judge", "efficientnet_lite1", "--index", tmp_path / "few", "--json")
    result = run("--like", BALLOON, "--stage", 3, "--out", out, *options)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert Image.open(out).size == (64, 64)
    with out.open("rb") as file:
        mark = find_mark(file)
    assert mark is not None
    assert mark.kind == "imagined"
    assert (record["goal"], record["stage"], record["size"], record["steps"], record["seed"]) == ("like", 3, 64, 2, 0)
    assert record["seen"]["original_classes"][0]["class"] == "balloon"
    assert record["index"] | {"rank": 1} == {"name": "few", "pictures": 12, "has_original": False, "rank": 1}
    assert record["judge"]["model"] == "efficientnet_lite1"
    # what is told is what a search of the file finds
    searched = cbir.Extractor("efficientnet_lite0").encode([out, BALLOON])
    assert record["seen"]["cosine"] == pytest.approx(float(searched[0] @ searched[1]), abs=1e-4)


def test_a_table_tells_of_a_class(tmp_path: Path) -> None:
    arguments = ("--class", "goldfish", "--out", tmp_path / "a.png", "--steps", 4, "--size", 64, "--judge", "fake")
    result = run(*arguments, "--format", "table")
    assert result.exit_code == 0, result.output
    assert "goldfish by efficientnet_lite0" in result.stdout
    assert ", the class of rank " in result.stdout
    first = (tmp_path / "a.png").read_bytes()
    assert run(*arguments).exit_code == 0  # over its own file, and the same again
    assert (tmp_path / "a.png").read_bytes() == first


def test_no_file_of_the_users_is_written_over(tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    Image.open(BALLOON).save(mine)
    content = mine.read_bytes()
    result = run("--class", "goldfish", "--out", mine, "--steps", 1)
    assert result.exit_code == 1
    assert "cbir did not make it: name another file with --out FILE, or write over it with --force" in result.stderr
    result = run("--like", mine, "--out", mine, "--steps", 1, "--force")
    assert result.exit_code == 1
    assert "one of the pictures" in result.stderr
    assert mine.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "Say what to draw"),
        ("--like a.jpg --exaggerate a.jpg", "choose one"),
        ("--like a.jpg --class dog", "choose one"),
        ("--class dog --stage 2", "--stage says where a picture is looked at"),
        ("--class dog --index photos", "--index tells a picture's rank"),
        ("--class dog --size 100", "choose 96 or 128"),
        ("--class nonsense", "ImageNet has no class 'nonsense'"),
        ("--like missing.jpg", "Cannot read missing.jpg"),
    ],
)
def test_what_means_nothing_is_said(tmp_path: Path, arguments: str, said: str) -> None:
    result = run(*arguments.split(), "--out", tmp_path / "a.png")
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert not list(tmp_path.iterdir())
