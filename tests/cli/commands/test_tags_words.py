"""`cbir tags --words`: tags of one's own, by a network that reads text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbir.cli import cli
from cbir.words.prompts import SCALE
from tests.helpers.toy import DRAWN, toy_index, toy_weights

WORDS = ["mountain lake", "hot air balloon", "galaxy", "chess board", "coral reef", "bowl of fruit"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def tags(*arguments: object) -> list[dict[str, Any]]:
    result = run("tags", *arguments, "--format", "jsonl")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("\n".join(["", *WORDS, " galaxy ", ""]))
    return file


def test_pictures_of_an_index_have_the_words_that_they_show(words: Path) -> None:
    found = {Path(one["path"]): one["tags"] for one in tags("--words", words, "--index", toy_index())}
    assert len(found) == 144
    shown = {"hot_air_balloons": "hot air balloon", "chess_boards": "chess board", "galaxies": "galaxy"}
    for folder, word in shown.items():
        first = [its[0]["word"] for path, its in found.items() if path.parent.name == folder]
        assert first.count(word) >= 11, (folder, first)
    everything = tags("--words", words, "--index", toy_index(), "--min-probability", "0.0001", "-k", 6)
    sums = [sum(tag["probability"] for tag in one["tags"]) for one in everything]
    assert max(abs(one - 1) for one in sums) < 0.001


def test_pictures_by_the_network_of_an_index_and_by_a_model_have_the_same(words: Path) -> None:
    picture = DRAWN / "coral_reefs" / "coral_reefs_02.jpg"
    (by_index,) = tags(picture, "--words", words, "--index", toy_index())
    (by_model,) = tags(picture, "--words", words, "--model", "toy", "--weights", toy_weights())
    assert by_index == by_model
    assert by_index["tags"][0]["word"] == "coral reef"
    (of_index,) = [one for one in tags("--words", words, "--index", toy_index()) if one["path"] == str(picture)]
    assert of_index["tags"][0]["probability"] == pytest.approx(by_index["tags"][0]["probability"], abs=0.05)


def test_a_picture_that_cannot_be_read_has_its_error(words: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("none")
    result = run("tags", tmp_path / "bad.jpg", "--words", words, "--index", toy_index(), "--format", "jsonl")
    assert result.exit_code == 1
    assert "no picture" in result.stderr


def test_probabilities_are_those_of_clips_softmax() -> None:
    from cbir.engines.lazy import LazyEngine
    from cbir.extract.of_index import backbone_of
    from cbir.index.store import Index
    from cbir.tags.by_text import TextTagger
    from cbir.tags.tagger import Choice
    from cbir.words.prompts import text_features

    index = Index.open(toy_index())
    engine = LazyEngine(backbone_of(index))
    texts = text_features(WORDS, engine.text)
    first = next(TextTagger(engine, WORDS, Choice(9, 0.0)).tag_index(index))
    row = min(range(index.rows), key=lambda one: index.files().paths[one])
    logits = np.float64(SCALE) * (index.features([row])[0] @ texts.T)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert first.tags is not None
    assert [tag.word for tag in first.tags] == [WORDS[place] for place in np.argsort(-expected)]
    assert [tag.probability for tag in first.tags] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["--index", "TOY", "--learnt", "subject"], "leave one of them out", 2),
        (["--index", "TOY", "--model", "fake"], "leave --model out", 2),
        (["--index", "TOY", "--max-general", "0.3"], "--max-general", 2),
        ([DRAWN / "galaxies", "--model", "fake"], "fake knows images only", 1),
        ([], "Name a picture", 2),
    ],
)
def test_what_does_not_go_together_is_refused(words: Path, arguments: list[object], said: str, code: int) -> None:
    given = [toy_index() if one == "TOY" else one for one in arguments]
    result = run("tags", "--words", words, *given)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "has 0 words"), (b"\n \n", "has 0 words"), (b"\xff\xfea", "UTF-16"), (b"a\n" * 3 + b"x\n" * 2, None)],
)
def test_a_list_of_words_is_checked(tmp_path: Path, content: bytes, said: str | None) -> None:
    (tmp_path / "list").write_bytes(content)
    result = run("tags", "--words", tmp_path / "list", "--index", toy_index())
    assert result.exit_code == (0 if said is None else 1), result.output
    assert said is None or said in result.stderr
    missing = run("tags", "--words", tmp_path / "none", "--index", toy_index())
    assert missing.exit_code == 1
    assert "Cannot read the list of words" in missing.stderr
