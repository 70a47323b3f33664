"""`cbir explain`: why a picture was found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import cbir
from cbir.cli import cli
from cbir.utils.marks import is_made_by_cbir


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["explain", *(str(argument) for argument in arguments)])


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Callable[..., Image.Image]) -> Path:
    """A folder of nine pictures, and the index `photos` of it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(9):
        draw_picture(number, (300, 240)).save(folder / f"{number}.png")
    cbir.index_folder(folder, "photos", model="fake")
    return folder


def test_first_matches_are_explained(photos: Path, tmp_path: Path) -> None:
    result = run(photos / "0.png", "-k", 2, "--json", "--out", tmp_path / "out", "--html", tmp_path / "why.html")
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)
    found = [match.path.name for match in cbir.open("photos").search(photos / "0.png", 2)]
    assert [Path(one["match"]).name for one in records] == found
    assert [one["rank"] for one in records] == [1, 2]
    for one in records:
        for places in (one["query_places"], one["match_places"]):
            assert abs(sum(map(sum, places[0]["raw"])) - one["score"]) < 1e-5
            assert abs(sum(map(sum, places[0]["likeness"])) - one["likeness"]) < 1e-5
        assert one["by"] == "centred"
        assert one["words"]
        assert one["lines"]
        assert one["way"]["steps"]
        assert "pairs" not in one
        assert is_made_by_cbir(Path(one["overlay"]).read_bytes())
    page = (tmp_path / "why.html").read_text()
    assert page.count('<figure class="pair">') == 2
    assert "The way to it" in page


def test_named_matches_all_pairs_and_one_that_cannot_be_read(photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    result = run(photos / "0.png", photos / "broken.png", photos / "1.png", "--all-pairs", "--fine")
    assert result.exit_code == 1
    assert "broken.png" in result.stderr
    (record,) = (json.loads(line) for line in result.stdout.splitlines())
    assert "rank" not in record
    pairs = record["pairs"]["raw"]
    assert (len(pairs), len(pairs[0])) == (196, 196)


def test_without_an_index(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBIR_HOME", str(tmp_path / "none"))
    result = run(photos / "0.png", photos / "1.png", "-m", "fake", "--json")
    assert result.exit_code == 0
    assert "Without an index" in result.stderr
    (record,) = json.loads(result.stdout)
    assert record["by"] == "raw"
    assert record["likeness"] == record["score"]
    assert "way" not in record
    monkeypatch.undo()
    monkeypatch.setenv("CBIR_HOME", str(tmp_path / "indexes"))
    other = run(photos / "0.png", photos / "1.png", "-m", "fake_small", "--json")
    assert other.exit_code == 0, other.output
    (record,) = json.loads(other.stdout)
    assert record["by"] == "raw"
    assert record["query_places"][0]["network"] == "fake_small"
    monkeypatch.setenv("CBIR_HOME", str(tmp_path / "none"))
    alone = run(photos / "0.png")
    assert alone.exit_code == 1
    assert "index" in alone.stderr


def test_what_speaks_for_a_word(photos: Path, tmp_path: Path) -> None:
    result = run("--word", "hamster", photos / "0.png", photos / "1.png", "--json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)
    assert [one["word"] for one in records] == ["hamster"] * 2
    for one in records:
        shares = sum(map(sum, one["places"][0]["shares"]))
        assert abs(shares + one["rest"] - one["evidence"]) < 1e-4
        assert Path(one["overlay"]).name.endswith(".explained.png")
    assert run("--word", "hamster", photos / "0.png", "--learnt", "x").exit_code == 2
    assert run(photos / "0.png", photos / "1.png", "-k", 2).exit_code == 2


def test_a_picture_of_ones_own_is_not_written_over(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.explained.png").write_bytes((photos / "2.png").read_bytes())
    result = run(photos / "0.png", photos / "1.png", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert (tmp_path / "out" / "1.explained.png").read_bytes() == (photos / "2.png").read_bytes()


def test_a_search_shows_what_is_alike(photos: Path, tmp_path: Path) -> None:
    arguments = ["search", str(photos / "0.png"), "-k", "3", "--html", str(tmp_path / "found.html")]
    plain = CliRunner().invoke(cli, arguments)
    pages = [(tmp_path / "found.html").read_text()]
    explained = CliRunner().invoke(cli, [*arguments, "--explain"])
    pages.append((tmp_path / "found.html").read_text())
    assert plain.exit_code == explained.exit_code == 0
    assert plain.stdout == explained.stdout
    shown = [set(re.findall(r'src="(data:image/jpeg[^"]+)"', page)) for page in pages]
    assert len(shown[0]) == len(shown[1]) == 4
    assert len(shown[0] & shown[1]) == 1  # the query
    links = [re.findall(r'href="(file:[^"]+)"', page) for page in pages]
    assert links[0] == links[1]
    assert "the more a place is like the query" in pages[1]
    by_word = CliRunner().invoke(cli, ["search", "--word", "dog", "--explain", "--sheet", str(tmp_path / "found.png")])
    assert by_word.exit_code == 0, by_word.output
    assert CliRunner().invoke(cli, ["search", str(photos / "0.png"), "--explain"]).exit_code == 2
