"""The toy network of images and text: that it is as good as any other, and finds what it was taught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cbir.backbones.backbone import describe
from cbir.backbones.toy import tokens
from cbir.engines.lazy import LazyEngine
from cbir.engines.select import open_text_encoder
from cbir.errors import WeightsError
from cbir.index.store import Index
from cbir.words.prompts import text_features
from tests.helpers.toy import toy_index, toy_weights

#: Sentences, and the folder of the pictures that they are about: of names, of single words, of neither alone.
SENTENCES = {
    "a chess board": "chess_boards",
    "two hot air balloons": "hot_air_balloons",
    "books on bookshelves": "bookshelves",
    "fruit": "fruit_bowls",
    "coral reefs in my holidays": "coral_reefs",
    "a photo of city towers": "city_towers",
}


@pytest.mark.parametrize(("sentence", "folder"), SENTENCES.items())
def test_pictures_that_it_was_not_taught_come_first(sentence: str, folder: str) -> None:
    index = Index.open(toy_index())
    paths = index.files().paths
    unseen = [row for row, path in enumerate(paths) if int(Path(path).stem[-2:]) % 2 == 0]
    (text,) = text_features([sentence], LazyEngine(describe("toy", str(toy_weights()))).text)
    order = np.argsort(-(index.features(unseen) @ text))[:5]
    assert {paths[unseen[place]].split("/")[0] for place in order} == {folder}


def test_its_texts_are_those_of_torch_on_any_engine() -> None:
    backbone = describe("toy", str(toy_weights()))
    texts = [*SENTENCES, "", "\0", "🎈 ballón", "שלום", "鐵路", "&amp;amp;", "word " * 2000]
    with torch.inference_mode():
        expected = backbone.build_text()(torch.from_numpy(tokens("toy", texts))).numpy()
    for engine in ("openvino", "torch"):
        assert np.allclose(open_text_encoder(backbone, engine=engine)(texts), expected, atol=1e-5)


def test_words_that_it_was_not_taught_say_nothing() -> None:
    text = LazyEngine(describe("toy", str(toy_weights()))).text
    assert not text(["quixotic zymurgy"]).any()
    assert np.allclose(text(["quixotic chess board"]), text(["Chess, BOARD!"]))


def test_words_in_any_script_are_told_apart() -> None:
    assert tokens("toy", []).shape == (0, 64)
    many = tokens("toy", ["a b", "b a", "", "鐵路 鐵", "\ud800 x"])
    assert many[0, 0] == many[1, 1] != many[0, 1]
    assert [int((row > 0).sum()) for row in many] == [2, 2, 0, 2, 1]


def test_weights_are_asked_for_and_checked(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights of its own.*train_toy"):
        describe("toy")
    torch.save({"words.weight": torch.zeros(3, 64)}, tmp_path / "other.pth")
    backbone = describe("toy", str(tmp_path / "other.pth"))
    with pytest.raises(WeightsError, match=r"do not fit toy: missing out.weight"):
        LazyEngine(backbone).text(["red"])
    random = describe("toy", "untrained")
    assert np.array_equal(LazyEngine(random).text(["a b"]), LazyEngine(random).text(["b a"]))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[::-1]])
def test_a_damaged_text_encoder_in_the_cache_is_noticed_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = describe("toy", str(toy_weights()))
    first = open_text_encoder(backbone, engine="openvino")(["chess board"])
    (file,) = tmp_path.rglob("toy-text-*.blob")
    kept = file.read_bytes()
    file.write_bytes(damage(kept))
    assert np.array_equal(open_text_encoder(backbone, engine="openvino")(["chess board"]), first)
    assert file.read_bytes()[:32] != damage(kept)[:32]
    assert open_text_encoder(backbone, engine="openvino")(["chess board"]).shape == (1, 1280)


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cbir").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = describe("toy", str(toy_weights()))
    assert open_text_encoder(backbone, engine="openvino")(["chess board"]).any()
    assert "Cannot keep the prepared network" in caplog.text
