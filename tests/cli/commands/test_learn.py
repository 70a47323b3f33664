"""`cbir learn` as it is typed: what it prints, refuses, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.cli import cli
from tests.helpers.photo_index import index_photos

on_posix = pytest.mark.skipif(os.name != "posix", reason="names with control characters")


@pytest.fixture
def root(tmp_path: Path, draw_picture: Callable[..., Image.Image], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of three folders of eight pictures, which is the current folder's."""
    for number, folder in enumerate(("boats", "cars", "trees")):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for one in range(8):
            draw_picture(100 * number + one, (32, 24)).save(tmp_path / "photos" / folder / f"{one}.png")
    index_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def learn(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["learn", *arguments], prog_name="cbir")


def lines(root: Path, shuffled: bool = False) -> str:
    files = sorted(root.rglob("*.png"))
    classes = [path.parent.name for path in files]
    if shuffled:
        classes = np.random.default_rng(1).permutation(classes).tolist()
    return "".join(f"{path.relative_to(root)},{one}\n" for path, one in zip(files, classes, strict=True))


@pytest.mark.usefixtures("root")
def test_folders_follow_the_option_as_a_shell_writes_them() -> None:
    done = learn("kinds", "--from", "photos/boats", "photos/cars")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "kinds: applied, kappa 1.00: the labels are told by each other.",
        "16 labelled pictures, 2 classes.",
        "",
        "class  labels",
        "boats       8",
        "cars        8",
    ]
    again = learn("kinds", "--from", "photos/boats", "photos/cars")
    assert again.exit_code == 1
    assert "has a notion kinds already: --add adds to its labels" in again.stderr
    assert learn("kinds", "--from", "photos", "--anew", "--json").exit_code == 0
    listed = json.loads(learn("--list", "--format", "json").stdout)
    assert [(one["name"], one["classes"], one["labels"]) for one in listed] == [
        ("kinds", ["boats", "cars", "trees"], 24)
    ]
    row = learn("--list").stdout.splitlines()[1]
    assert row.split() == ["kinds", "classes", "1.00", "applied", "24", "boats,", "cars,", "trees"]
    assert learn("kinds").exit_code == 0
    forgotten = learn("--forget", "kinds")
    assert forgotten.exit_code == 0
    assert "has no notion kinds any more" in forgotten.stderr
    assert learn("--list").stdout.startswith("The index photos has no notion yet")
    assert learn("--forget", "kinds").exit_code == 1


def test_what_is_refused_says_why_and_ends_with_1(root: Path) -> None:
    Path("labels.csv").write_text(lines(root, shuffled=True))
    done = learn("kinds", "--labels", "labels.csv", "--json")
    assert done.exit_code == 1
    assert "The notion kinds is refused, kappa" in done.stderr
    record = json.loads(done.stdout)
    assert record["verdict"] == "refused"
    assert record["labels"] == 24
    assert record["doubtful"]
    assert learn("--list", "--json").stdout.strip() == "[]"


def test_what_is_left_out_and_what_contradicts_are_told(root: Path) -> None:
    Path("labels.csv").write_text(lines(root) + "boats/0.png,cars\n" + "".join(f"no{i}.png,boats\n" for i in range(7)))
    done = learn("kinds", "--labels", "labels.csv")
    assert done.exit_code == 0
    assert "Labels that contradict each other:" in done.stdout
    assert "boats, cars" in done.stdout
    assert done.stderr.count("Left out: no") == 5
    assert "Left out: 2 pictures more." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name the notion"),
        (["kinds", "photos/boats"], "come after --from"),
        (["kinds", "--from", "photos", "--labels", "labels.csv"], "two ways to say labels"),
        (["kinds", "--labels", "labels.csv", "--pairs", "pairs.csv"], "two ways to say labels"),
        (["kinds", "--add"], "is about new labels"),
        (["kinds", "--from", "photos", "--add", "--anew"], "choose one"),
        (["kinds", "--list"], "stands alone"),
        (["--list", "--forget", "kinds"], "two runs"),
        (["kinds", "--labels-of", "photos", "--labels", "labels.csv"], "brings all labels"),
    ],
)
def test_options_that_mean_nothing_together_are_wrong_usage(root: Path, arguments: list[str], sentence: str) -> None:
    done = learn(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr


@on_posix
def test_names_that_steer_a_terminal_are_shown_as_escapes(root: Path) -> None:
    Path("labels.csv").write_text(lines(root).replace(",boats", ",bo\x1b[31mats"))
    done = learn("kinds", "--labels", "labels.csv")
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert "bo\\x1b[31mats" in done.stdout
    assert "\x1b" not in learn("--list").output
    assert learn("ki\x1b[31mnds", "--from", "photos").exit_code == 1
    assert "\x1b" not in learn("ki\x1b[31mnds", "--from", "photos").output
