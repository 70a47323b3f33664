"""`cbir export`, `import`, `merge`, and several indexes at once: as they are typed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.index.home import index_directory
from cbir.index.store import Index
from tests.helpers.feature_index import make_index
from tests.moving.test_vectorfile import unit


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two indexes by one network, of ten rows together, and one by another."""
    folder = index_directory("a").parent
    folder.mkdir(parents=True)
    features = unit(10)
    make_index(folder / "a", features[:6], tmp_path / "photos" / "a")
    make_index(folder / "b", features[6:], tmp_path / "photos" / "b")
    make_index(folder / "other", unit(5, 33), tmp_path / "photos" / "c")
    np.save(tmp_path / "q.npy", features[[2, 7]].astype("<f4"))
    np.save(tmp_path / "q33.npy", unit(5, 33)[:1].astype("<f4"))
    return folder


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code in (0, 1), result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_one_ranking_over_several_indexes(home: Path, tmp_path: Path) -> None:
    options = ("--vectors", tmp_path / "q.npy", "--format", "csv", "-k", 3, "--no-rerank")
    found = rows(run("search", *options, "-i", "a", "-i", "b"))
    assert [row["query"].removeprefix(str(tmp_path)) for row in found] == ["/q.npy[0]"] * 3 + ["/q.npy[1]"] * 3
    assert [Path(row["index"]).name for row in found if row["rank"] == "1"] == ["a", "b"]
    assert [Path(row["path"]).name for row in found if row["rank"] == "1"] == ["2.jpg", "1.jpg"]
    assert rows(run("search", *options, "-i", "[ab]")) == found
    run("merge", "a", "b", "-i", "both")
    merged = rows(run("search", *options, "-i", "both"))
    assert [{**row, "index": ""} for row in found] == [{**row, "index": ""} for row in merged]
    assert "index" not in merged[0]


def test_json_says_which_index_a_match_is_of(home: Path, tmp_path: Path) -> None:
    result = run("search", "--vectors", tmp_path / "q.npy", "--format", "jsonl", "-k", 1, "-i", "a", "-i", "b")
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["index"] == [str(home / "a"), str(home / "b")]
    assert [one["matches"][0]["index"] for one in (first, second)] == [str(home / "a"), str(home / "b")]
    alone = json.loads(
        run("search", "--vectors", tmp_path / "q.npy", "--format", "jsonl", "-k", 1, "-i", "a").stdout.splitlines()[0]
    )
    assert alone["index"] == str(home / "a")
    assert "index" not in alone["matches"][0]


@pytest.mark.parametrize("damage", ["gone", "no meta", "features"])
def test_the_trouble_of_one_index_is_told_and_the_others_answer(home: Path, tmp_path: Path, damage: str) -> None:
    if damage == "gone":
        shutil.rmtree(home / "b")
    elif damage == "no meta":
        (home / "b" / "meta.json").write_text("{}")
    else:
        next((home / "b").glob("features-*")).unlink()
    result = run("search", "--vectors", tmp_path / "q.npy", "-k", 1, "-i", "a", "-i", "b", "--format", "csv")
    assert result.exit_code == 1
    assert Path(rows(result)[0]["path"]).name == "2.jpg"
    assert str(home / "b") in result.stderr
    assert "The other indexes answered." in result.stderr
    assert run("search", "--vectors", tmp_path / "q.npy", "-i", "b").stdout == ""


def test_a_pattern_without_an_index_is_an_error(home: Path, tmp_path: Path) -> None:
    result = run("search", "--vectors", tmp_path / "q.npy", "-i", "x*")
    assert (result.exit_code, "No index is called x*" in result.stderr) == (1, True)


def test_queries_by_vectors_have_to_fit(home: Path, tmp_path: Path) -> None:
    result = run("search", "--vectors", tmp_path / "q33.npy", "-i", "a")
    assert (result.exit_code, "they are by another network" in result.stderr) == (1, True)
    np.save(tmp_path / "bad.npy", np.array([[np.nan] * 32], dtype="<f4"))
    assert "Vector 0 of" in run("search", "--vectors", tmp_path / "bad.npy", "-i", "a").stderr
    assert run("search", "x.jpg", "--vectors", tmp_path / "q.npy", "-i", "a").exit_code == 2
    assert run("search", "--vectors", tmp_path / "q.npy", "--region", "0,0,9,9", "-i", "a").exit_code == 2


def test_what_means_another_thing_in_each_network_is_refused(home: Path, tmp_path: Path) -> None:
    options = ("search", "-i", "a", "-i", "other")
    result = run(*options, "x.jpg", "--min-score", "0.5")
    assert (result.exit_code, "as a percentile" in result.stderr) == (2, True)
    for features in (("--vectors", tmp_path / "q.npy"), ("--query-index", "a")):
        result = run(*options, *features)
        assert (result.exit_code, "are of one network" in result.stderr) == (2, True)
    options = (*options, "x.jpg")
    result = run(*options, "--learnt", "kinds")
    assert (result.exit_code, "is of one index" in result.stderr) == (2, True)


def test_duplicates_of_several_indexes(tmp_path: Path, home: Path) -> None:
    (tmp_path / "photos").mkdir()  # the folder of neither, so both are believed
    found = json.loads(run("duplicates", "-i", "a", "-i", "b", "--exact", "--format", "json").stdout)
    # 0.jpg to 3.jpg of both have the same content in these indexes
    assert [group["pictures"] for group in found] == [2] * 4
    assert {Path(member["index"]).name for member in found[0]["members"]} == {"a", "b"}
    result = run("duplicates", "-i", "a", "-i", "other")
    assert (result.exit_code, "by different networks" in result.stderr) == (1, True)
    assert len(json.loads(run("duplicates", "-i", "a", "-i", "other", "--exact", "--format", "json").stdout)) == 5


def test_rows_go_out_in_and_together(home: Path, tmp_path: Path) -> None:
    result = run("export", "-i", "a", tmp_path / "a.npy", "--json")
    assert json.loads(result.stdout)["files"] == [str(tmp_path / "a.npy"), str(tmp_path / "a.json")]
    result = run("export", "-i", "a", tmp_path / "a.npy")
    assert (result.exit_code, "write over it with --force" in result.stderr) == (1, True)
    # those of the tests' indexes are of a network that has another number of features
    result = run("import", tmp_path / "a.npy", "-i", "copy", "--made-by", "x", "--json")
    assert (result.exit_code, "says that its features are by another" in result.stderr) == (1, True)
    document = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(document["paths"]))
    result = run("import", tmp_path / "a.npy", "-i", "copy", "--made-by", "x", "--root", tmp_path, "--json")
    assert json.loads(result.stdout)["rows"] == 6
    assert np.array_equal(Index.open(home / "copy").features(range(6)), Index.open(home / "a").features(range(6)))
    result = run("merge", "a", "b", "-i", "both", "--json")
    assert [one["rows"] for one in json.loads(result.stdout)["of"]] == [6, 4]
    result = run("merge", "a", "other", "-i", "three")
    assert (result.exit_code, "made with another" in result.stderr) == (1, True)
    assert run("import", tmp_path / "a.npy", "-i", "x", "--made-by", "x", "--model", "resnet50").exit_code == 2
    assert run("import", tmp_path / "a.npy", "-i", "x", "--columns", "path").exit_code == 2


def test_left_out_rows_are_named_in_part(home: Path, tmp_path: Path) -> None:
    features: Any = unit(40).astype("<f4")
    features[10:] = np.nan
    np.save(tmp_path / "f.npy", features)
    (tmp_path / "f.txt").write_text("".join(f"\x1b[2J{row}.jpg\n" for row in range(40)))
    options = ("import", tmp_path / "f.npy", "--made-by", "x", "--root", tmp_path)
    result = run(*options, "-i", "x")
    assert result.stderr.count("left out: ") == 20
    assert "… and 10 more" in result.stderr
    assert "\x1b" not in result.output
    assert len(json.loads(run(*options, "-i", "y", "--json").stdout)["left_out"]) == 30
