"""`cbir learn --ask`, and the pages of `cbir learn`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.index.home import index_directory
from cbir.index.store import Index
from tests.helpers.photo_index import index_photos

FOLDERS = ("cats", "dogs", "birds")
EACH = 8


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["learn", *(str(argument) for argument in arguments)])


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Callable) -> Path:
    """Eight pictures in each of three folders; those of a folder are alike."""
    root = tmp_path / "photos"
    for place, folder in enumerate(FOLDERS):
        (root / folder).mkdir(parents=True)
        for number in range(EACH):
            draw_picture(10 * place + number).save(root / folder / f"{number}.jpg")
    index_photos(root)
    return root


@pytest.fixture
def labels(photos: Path, tmp_path: Path) -> Path:
    """Labels of three cats and three dogs."""
    file = tmp_path / "labels.csv"
    file.write_text("".join(f"{folder}/{number}.jpg,{folder[:-1]}\n" for folder in FOLDERS[:2] for number in range(3)))
    return file


def notions() -> list[str]:
    return [entry.name for entry in Index.open(index_directory("photos")).meta.notions]


def test_before_anything_is_learnt_pictures_of_each_kind_are_asked_for(photos: Path) -> None:
    result = run("kinds", "--ask", 3)
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert {path.parent.name for path in paths} == set(FOLDERS)
    assert all(path.is_file() for path in paths)
    assert "There is no notion kinds yet" in result.stderr
    assert notions() == []


def test_what_is_learnt_is_not_asked_for_again(photos: Path, labels: Path) -> None:
    result = run("kinds", "--labels", labels, "--ask", 1000, "--json")
    assert result.exit_code == 0, result.output
    assert "kinds: applied" in result.stderr
    records = json.loads(result.stdout)
    assert len(records) == 3 * EACH - 6
    assert {record["path"] for record in records} == {
        str(photos / folder / f"{number}.jpg")
        for folder in FOLDERS
        for number in range(3 if folder in FOLDERS[:2] else 0, EACH)
    }
    # birds are of no class, and what says most
    assert Path(records[0]["path"]).parent.name == "birds"
    assert (records[0]["why"], records[0]["likely"]) == ("unlike what has a label", [])
    assert notions() == ["kinds"]
    assert json.loads(run("kinds", "--ask", 1000, "--json").stdout) == records
    table = run("kinds", "--ask", 2, "--format", "table").stdout.splitlines()
    assert table[0].split() == ["why", "path"]
    assert len(table) == 3


def test_all_labelled_is_told(photos: Path, tmp_path: Path) -> None:
    assert run("kinds", "--from", photos).exit_code == 0
    result = run("kinds", "--ask", 5, "--html", tmp_path / "next.html")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "All pictures of photos have a label." in result.stderr
    assert "All pictures have a label." in (tmp_path / "next.html").read_text()


def test_the_page_of_what_is_asked_for_has_the_pictures(photos: Path, labels: Path, tmp_path: Path) -> None:
    page = tmp_path / "next.html"
    assert run("kinds", "--ask", 4, "--html", page).exit_code == 0
    assert "cbir learn kinds --labels FILE`" in page.read_text()  # there is nothing to add to yet
    result = run("kinds", "--labels", labels, "--ask", 4, "--html", page, "--force")
    assert "cbir learn kinds --labels FILE --add`" in page.read_text()
    assert result.exit_code == 0, result.output
    text = page.read_text()
    links = [unquote(one) for one in re.findall(r'href="file://([^"]+)"', text)]
    assert links == result.stdout.splitlines()
    assert text.count("unlike what has a label") >= 1
    assert text.count("data:image/jpeg") == 4
    # what cbir did not make is not written over
    page.write_text("mine")
    again = run("kinds", "--ask", 4, "--html", page)
    assert (again.exit_code, page.read_text()) == (1, "mine")


def test_the_page_of_doubtful_labels_has_the_wrong_ones(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "".join(f"{folder}/{number}.jpg,<b>{folder}\n" for folder in FOLDERS for number in range(1, EACH))
        + "cats/0.jpg,<b>birds\n"
    )
    page = tmp_path / "doubtful.html"
    result = run("kinds", "--labels", tmp_path / "labels.csv", "--html", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    links = [unquote(one) for one in re.findall(r'href="file://([^"]+)"', text)]
    assert links[0] == str(photos / "cats" / "0.jpg")
    given, likelier = re.findall(r'<span class="label">(?:given|likelier)</span> ([^<]+)<', text)[:2]
    assert (given, likelier) == ("&lt;b&gt;birds", "&lt;b&gt;cats")
    assert "<b>" not in text
    assert 'alt="Picture' in text


def test_the_page_is_written_where_a_notion_is_refused(photos: Path, tmp_path: Path) -> None:
    rows = [(f"{folder}/{number}.jpg", number % 2) for folder in FOLDERS for number in range(EACH)]
    (tmp_path / "labels.csv").write_text("".join(f"{path},{name}\n" for path, name in rows))
    page = tmp_path / "doubtful.html"
    result = run("kinds", "--labels", tmp_path / "labels.csv", "--html", page, "--ask", 2)
    assert result.exit_code == 1
    assert not page.exists()
    assert run("kinds", "--labels", tmp_path / "labels.csv", "--html", page).exit_code == 1
    assert "labels that are likely wrong" in page.read_text()
    assert notions() == []


def test_options_that_mean_nothing_together_are_usage_errors(photos: Path, tmp_path: Path) -> None:
    for options in (
        ["--ask", 5],
        ["kinds", "--ask", 0],
        ["--list", "--ask", 5],
        ["--forget", "kinds", "--html", tmp_path / "x.html"],
        ["kinds", "--html", tmp_path / "x.png"],
    ):
        assert run(*options).exit_code == 2, options
    assert run("../kinds", "--ask", 5).exit_code == 1
