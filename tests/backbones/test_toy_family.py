"""A family of networks in one file, this one: it knows ten colours, of images and of words.

That it is the module of a family, as `cbir.backbones.families` describes it, and its line in the table there is all
that cbir is told of it; the rest of the file shows that its indexes are as good as any.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from cbir.backbones import torchvision
from cbir.backbones.backbone import Backbone
from cbir.backbones.backbone import describe as described
from cbir.backbones.catalog import Known
from cbir.backbones.families import FAMILIES
from cbir.backbones.network import Network
from cbir.backbones.weights import Weights
from cbir.cli import cli
from cbir.engines.lazy import LazyEngine
from cbir.engines.select import open_engine, open_text_encoder
from cbir.errors import ModelError
from cbir.images.fit import Preprocessing
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.search.searcher import Searcher
from cbir.utils.vectors import l2_normalize
from tests.helpers.faults import Server, content, serve, unnamed_files

NAME = "ten_colours"
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (220, 20, 20),
    "green": (20, 160, 20),
    "blue": (20, 40, 220),
    "yellow": (240, 230, 20),
    "orange": (250, 140, 10),
    "purple": (130, 20, 150),
    "pink": (250, 150, 190),
}
_WORDS = 4
_WEIGHTS = Weights(hashlib.sha256(repr(COLOURS).encode()).hexdigest(), "bundled")

# --- the family


def describe(name: str) -> Known:
    preprocessing = Preprocessing(64, 64, "bilinear", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
    return Known(len(COLOURS), preprocessing, "share of each colour", lambda: _WEIGHTS, ("image", "text"))


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
    return Network(_Shares(), preprocessing).eval()


def read_head(name: str, weights: Weights, dimension: int) -> str:
    return "know colours"


def tokens(name: str, texts: Sequence[str]) -> np.ndarray:
    """The numbers of the first four colours of each text, from 1; 0 is no colour."""
    found = np.zeros((len(texts), _WORDS), dtype=np.int64)
    for row, text in zip(found, texts, strict=True):
        known = [list(COLOURS).index(word) + 1 for word in text.lower().split() if word in COLOURS][:_WORDS]
        row[: len(known)] = known
    return found


def build_text(name: str, weights: Weights) -> torch.nn.Module:
    return _Named().eval()


class _Shares(torch.nn.Module):
    """The share of the pixels that are nearest to each colour."""

    def __init__(self) -> None:
        super().__init__()
        colours = torch.tensor(list(COLOURS.values())) / 255
        self.colours = torch.nn.Parameter(colours, requires_grad=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        distances = ((pictures.unsqueeze(1) - self.colours.view(1, -1, 3, 1, 1)) ** 2).sum(2)
        return (distances <= distances.amin(1, keepdim=True)).float().mean((2, 3))


class _Named(torch.nn.Module):
    """The colours of a text, all alike."""

    def __init__(self) -> None:
        super().__init__()
        rows = torch.cat([torch.zeros(1, len(COLOURS)), torch.eye(len(COLOURS))])
        self.rows = torch.nn.Embedding.from_pretrained(rows)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.rows(given).sum(1)
        return found


# --- its line, and what follows


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, NAME, __name__)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures of two colours each, two thirds of the first: `red-blue.png` and so on."""
    folder = tmp_path / "photos"
    folder.mkdir()
    names = list(COLOURS)
    for number, first in enumerate(names):
        for step in (1, 2, 3):
            draw(folder, first, names[(number + step) % len(names)])
    return folder


def draw(folder: Path, first: str, second: str) -> Path:
    image = Image.new("RGB", (96, 96), COLOURS[first])
    image.paste(COLOURS[second], (0, 0, 96, 32))
    image.save(folder / f"{first}-{second}.png")
    return folder / f"{first}-{second}.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def make_index(photos: Path) -> Index:
    result = run("index", photos, "--model", NAME)
    assert result.exit_code == 0, result.output
    return Index.open(photos.parent / "indexes" / "photos")


def found_by_text(index: Index, text: str, count: int = 3) -> list[str]:
    searcher = Searcher(index)
    (feature,) = l2_normalize(open_text_encoder(searcher.backbone)([text]))
    rows, _ = searcher.ranked(feature, count, reranked=False)
    paths = {row: record.path for row, record in index.records()}
    return [paths[int(row)] for row in rows]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_images_and_texts_have_features_that_compare(engine: str) -> None:
    opened = open_engine(described(NAME), engine=engine)
    pixels = np.stack([np.broadcast_to(np.uint8(colour), (64, 64, 3)) for colour in COLOURS.values()])
    assert np.allclose(opened.features(pixels), np.eye(10), atol=1e-3)
    texts = [*COLOURS, "Red and blue", "nothing of it"]
    encode = open_text_encoder(described(NAME), engine=engine)
    found = encode(texts)
    assert found.dtype == np.float32
    expected = np.zeros((12, 10))
    expected[:10] = np.eye(10)
    expected[10, [3, 5]] = 1
    assert np.array_equal(found, expected)
    assert np.array_equal(encode(texts[10:11]), expected[10:11])


def test_the_kept_text_encoder_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_text_encoder(described(NAME), engine="openvino")(["red"])
    monkeypatch.setattr(sys.modules[__name__], "build_text", lambda *_: pytest.fail("it was to be built"))
    assert np.array_equal(open_text_encoder(described(NAME), engine="openvino")(["red"]), first)


def test_several_networks_read_text_by_those_that_do() -> None:
    engine = LazyEngine(f"fake+{NAME}")
    assert engine.backbone.modalities == ("image", "text")
    assert Backbone.from_json(json.loads(json.dumps(engine.backbone.to_json()))) == engine.backbone
    (alone,), (joined,) = LazyEngine(NAME).text(["red blue"]), engine.text(["red blue"])
    assert not joined[:128].any()
    assert np.allclose(joined[128:], alone)
    assert np.isclose(np.linalg.norm(joined), 1)
    many = LazyEngine(NAME).text(["red", "blue"] * 70)  # more than go through at a time
    assert np.array_equal(many[::2], np.repeat(many[:1], 70, axis=0))
    with pytest.raises(ModelError, match="images only"):
        LazyEngine("fake+fake_small").text(["red"])


def test_a_text_needs_no_network_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbir.engines.select.open_engine", lambda *_, **__: pytest.fail("it was opened"))
    assert LazyEngine(NAME).text(["red"]).shape == (1, 10)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_network_of_images_knows_no_text(bundled: Backbone, engine: str) -> None:
    with pytest.raises(ModelError, match="efficientnet_lite0 knows images only"):
        open_text_encoder(bundled, engine=engine)


def test_meta_json_names_modalities_only_where_there_is_text(bundled: Backbone) -> None:
    backbone = described(NAME)
    record = json.loads(json.dumps(backbone.to_json()))
    assert record["modalities"] == ["image", "text"]
    assert Backbone.from_json(record) == backbone
    assert "modalities" not in bundled.to_json()
    assert bundled.modalities == ("image",)
    for wrong in (["text"], ["text", "image"], ["image", "text", "text"], "image", ["image", ["text"]], {}, None, 7):
        with pytest.raises(ValueError, match="modalities"):
            Backbone.from_json({**record, "modalities": wrong})
    with pytest.raises(ValueError, match="modalities"):
        Backbone.from_json({**bundled.to_json(), "modalities": ["image", "text"]})
    # an index may say so of a network whose family has no text
    liar = Backbone.from_json({**record, "name": "fake"})
    with pytest.raises(ModelError, match="fake knows images only"):
        liar.tokens(["red"])


def test_an_index_is_searched_by_image_and_by_text(photos: Path, tmp_path: Path) -> None:
    index = make_index(photos)
    assert find_problems(index, verify=True) == []
    query = draw(tmp_path, "green", "pink")
    result = run("search", query, "--index", "photos", "--format", "json", "-k", 3)
    assert result.exit_code == 0, result.output
    first = {Path(match["path"]).name.split("-")[0] for match in json.loads(result.stdout)["matches"]}
    assert first == {"green"}
    for colour in COLOURS:
        assert {name.split("-")[0] for name in found_by_text(index, colour)} == {colour}
    assert found_by_text(index, "orange purple", 1) == ["orange-purple.png"]


def test_commands_say_that_it_takes_text(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision, "names", lambda: ["alexnet"])  # to describe all takes a minute
    make_index(photos)
    record = json.loads(run("info", "--index", "photos", "--json").stdout)
    assert (record["model"], record["modalities"]) == (NAME, ["image", "text"])
    assert f"{NAME}, 10 features of images and text, weights bundled" in run("info", "--index", "photos").stdout
    listed = {one["name"]: one for one in json.loads(run("models", "--all", "--json").stdout)}
    assert listed[NAME]["modalities"] == ["image", "text"]
    assert listed["alexnet"]["modalities"] == ["image"]
    assert "image, text" in run("models", "--all").stdout


def test_a_damaged_index_is_repaired(photos: Path) -> None:
    index = make_index(photos)
    before = content(index.directory)
    (file,) = index.directory.glob("features-*.npy")
    data = bytearray(file.read_bytes())
    data[-30] ^= 0xFF
    file.write_bytes(data)
    assert find_problems(Index.open(index.directory), verify=True) != []
    assert run("info", "--index", "photos", "--verify").exit_code == 1
    result = run("index", photos, "--repair")
    assert result.exit_code == 0, result.output
    assert find_problems(Index.open(index.directory), verify=True) == []
    assert content(index.directory) == before
    assert found_by_text(Index.open(index.directory), "orange purple", 1) == ["orange-purple.png"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(__file__)
    yield running
    running.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts a process's steps in /proc")
@pytest.mark.faults
def test_a_run_that_is_killed_leaves_a_committed_state(photos: Path, tmp_path: Path, server: Server) -> None:
    def index(where: str, kill_at: int = 0) -> tuple[int, list[str], str]:
        arguments = ("index", photos, "--index", tmp_path / where, "--model", NAME)
        return server.run(*arguments, directory=tmp_path / where, kill_at=kill_at)

    status, steps, error = index("clean")
    assert status == 0, error
    clean = content(tmp_path / "clean")
    assert len(clean) == 30
    seen = set()
    for kill_at in (3, len(steps) // 2, len(steps) - 3):
        directory = tmp_path / f"killed {kill_at}"
        status, _, error = index(directory.name, kill_at)
        assert status == -signal.SIGKILL, error
        if (directory / "meta.json").exists():
            assert find_problems(Index.open(directory), verify=True) == []
            found = content(directory)
            assert found.items() <= clean.items()
            seen.add(len(found))
        status, _, error = index(directory.name)
        assert status == 0, error
        assert content(directory) == clean
        assert unnamed_files(directory) == set()
        assert found_by_text(Index.open(directory), "orange purple", 1) == ["orange-purple.png"]
    assert len(seen) >= 2


if __name__ == "__main__":  # the processes that are killed have the family, too
    FAMILIES[NAME] = "tests.backbones.test_toy_family"
    serve()
