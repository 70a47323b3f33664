"""`cbir search --text`, by a network that reads text, and by one that reads none."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cbir
from cbir.cli import cli
from tests.helpers.toy import DRAWN, toy_index

LAKE = DRAWN / "mountain_lakes" / "mountain_lakes_05.jpg"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def search(*arguments: object) -> dict[str, Any]:
    result = run("search", *arguments, "--index", toy_index(), "--format", "jsonl")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def folders(record: dict[str, Any]) -> list[str]:
    return [Path(match["path"]).parent.name for match in record["matches"]]


def test_the_right_pictures_come_first() -> None:
    record = search("--text", "hot air balloons over the hills", "-k", 6)
    assert set(folders(record)) == {"hot_air_balloons"}
    assert record["query"] == "hot air balloons over the hills"
    assert record["texts"] == [{"text": "hot air balloons over the hills", "weight": 1.0}]
    best = record["matches"][0]
    assert best["percentile"] > 90
    assert best["relevance"] is None
    assert 0.1 < best["score"] < 0.4


def test_texts_are_weighed_and_moved_away_from() -> None:
    one, other = "a coral reef", "a chess board"
    assert set(folders(search("--text", f"5:{one}", "--text", other, "-k", 5))) == {"coral_reefs"}
    assert set(folders(search("--text", one, "--text", f"5:{other}", "-k", 5))) == {"chess_boards"}
    by_day = search("--text", "mountain lakes", "--not-text", "9:evening", "-k", 3, "--no-rerank")
    in_the_evening = search("--text", "mountain lakes in the evening", "-k", 3, "--no-rerank")
    assert not {m["path"] for m in by_day["matches"]} & {m["path"] for m in in_the_evening["matches"]}
    assert by_day["not_texts"] == [{"text": "evening", "weight": 9.0}]


def test_a_picture_and_a_text_are_one_query() -> None:
    record = search(LAKE, "--text", "4:a sea at sunset", "-k", 4)
    assert record["query"] == str(LAKE)
    assert "sunset_seas" in folders(record)
    assert "mountain_lakes" not in folders(search(LAKE, "--not-text", "30:mountain lakes", "-k", 4))
    both = search("--together", LAKE, DRAWN / "galaxies" / "galaxies_01.jpg", "--text", "3:galaxies", "-k", 4)
    assert both["query"] == [str(LAKE), str(DRAWN / "galaxies" / "galaxies_01.jpg")]
    assert set(folders(both)) == {"galaxies"}


def test_each_picture_of_a_list_has_the_text(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{LAKE}\n{DRAWN / 'galaxies' / 'galaxies_01.jpg'}\n")
    result = run(
        "search",
        "--files-from",
        tmp_path / "list",
        "--text",
        "9:fruit",
        "--index",
        toy_index(),
        "-k",
        3,
        "--format",
        "json",
    )
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    assert set(folders(first)) == set(folders(second)) == {"fruit_bowls"}
    assert first["texts"] == second["texts"] == [{"text": "fruit", "weight": 9.0}]


def test_filters_and_least_scores() -> None:
    only = search("--text", "galaxies", "--folder", DRAWN / "chess_boards")
    assert set(folders(only)) == {"chess_boards"}
    some = search("--text", "galaxies", "--min-score", "95%", "-k", 100)
    assert len(some["matches"]) == 7  # a twentieth of 144
    assert search("--text", "galaxies", "--min-score", "0.5")["matches"] == []


def test_tables_and_pages_show_texts(tmp_path: Path) -> None:
    page, sheet = tmp_path / "found.html", tmp_path / "found.png"
    result = run(
        "search", "--text", "fruit <b>", "--not-text", "night", "--index", toy_index(), "-k", 3, "--format", "table",
        "--html", page, "--sheet", sheet,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "percentile" in result.stdout.splitlines()[0]
    assert "relevance" not in result.stdout
    text = page.read_text()
    assert "fruit &lt;b&gt;, not night" in text
    assert "<b>" not in text.split("fruit")[1][:200]
    assert sheet.stat().st_size > 1000


def test_csv_has_no_probability() -> None:
    result = run("search", "--text", "fruit", "--index", toy_index(), "-k", 1, "--format", "csv")
    (line,) = csv.DictReader(io.StringIO(result.stdout))
    assert "probability" not in line
    assert (line["query"], line["relevance"]) == ("fruit", "")
    assert float(line["percentile"]) > 90


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", ""], "needs one"),
        (["--text", "0:dog"], "no number from"),
        (["--not-text", "dog"], "say from where with --text"),
        (["--text", "dog", "--learnt", "subject"], "--learnt"),
        ([LAKE, "--text", "dog", "--parts"], "--parts and --kind cannot be used with --text"),
        ([LAKE, "--text", "dog", "--kind"], "--parts and --kind cannot be used with --text"),
        ([LAKE, "--text", "dog", "--class-weights", "dog"], "--class-weights and --learnt cannot be used with --text"),
        (["--text", "dog", "--unlike", LAKE], "name one"),
        (["--text", "dog", "--min-probability", "0.5"], "--word"),
        ([], "--text"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[object], said: str) -> None:
    result = run("search", *arguments, "--index", toy_index())
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())


ODD = [
    "\0",
    "🎈" * 50,
    "שלום עולם",
    "鐵路",
    "&amp;lt;b&amp;gt;",
    "a\nb",
    "\u202egnp",
    "x" * 10_000,
    "...",
    "'",
    '"',
    "%s {}",
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_texts_are_texts(odd: str) -> None:
    record = search("--text", odd, "-k", 2)
    assert len(record["matches"]) == 2
    assert record["query"] == odd


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """An index by a network that reads no text."""
    assert run("index", DRAWN / "mountain_lakes", "--index", tmp_path / "plain", "-q").exit_code == 0
    return str(tmp_path / "plain")


def test_of_another_network_the_nouns_are_looked_for(plain: str) -> None:
    result = run("search", "--text", "an alp above a lakeside", "--index", plain, "-k", 2, "--format", "csv")
    assert result.exit_code == 0, result.output
    assert "reads no text: pictures are looked for that show alp and lakeside, by words (`--word`)." in result.stderr
    by_words = run("search", "--word", "alp", "--word", "lakeside", "--index", plain, "-k", 2, "--format", "csv")
    rows, expected = (list(csv.DictReader(io.StringIO(one.stdout))) for one in (result, by_words))
    assert [(row["path"], row["probability"]) for row in rows] == [
        (row["path"], row["probability"]) for row in expected
    ]
    record = json.loads(run("search", "--text", "an alp", "--index", plain, "--format", "json").stdout)
    assert record["notices"][0].startswith("The network of the index plain, efficientnet_lite0, reads no text")
    refused = run("search", "--text", "of it", "--index", plain)
    assert refused.exit_code == 1
    assert "no noun in it that WordNet knows" in refused.stderr


def test_in_python() -> None:
    drawn = cbir.open(toy_index())
    matches = drawn.search(text="a sea at sunset", count=3)
    assert {match.path.parent.name for match in matches} == {"sunset_seas"}
    mixed = drawn.search(LAKE, text=["9:galaxies"], not_text="evening", count=3)
    assert {match.path.parent.name for match in mixed} == {"galaxies"}
    query = cbir.FeedbackQuery(cbir.TextQuery.from_text("galaxies"), more=(cbir.Query.from_path(LAKE),) * 3)
    assert "mountain_lakes" in {match.path.parent.name for match in drawn.search(query, count=10)}
    with pytest.raises(TypeError, match="needs a query, or a text"):
        drawn.search()
    with pytest.raises(TypeError, match="beside pictures"):
        drawn.search(cbir.WordQuery.from_text("dog"), text="a dog")
    with pytest.raises(ValueError, match="needs one"):
        drawn.search(text=" ")
