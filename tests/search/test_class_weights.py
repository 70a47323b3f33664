"""Classes of ImageNet: their names, what a network's head knows of them, and searches by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cbir.backbones import head
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.head import class_weights
from cbir.backbones.imagenet import classes, find_class
from cbir.backbones.torch_state import load_state_dict
from cbir.backbones.weights import Weights
from cbir.cli import cli
from cbir.errors import ModelError
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from cbir.search.ranker import Ranker
from cbir.search.searcher import Searcher
from cbir.search.space import ScaledSpace
from cbir.utils.vectors import l2_normalize


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of heads for each test; that of converted networks is the session's."""
    monkeypatch.setattr(head, "heads_folder", lambda: tmp_path / "cache" / "heads")


@pytest.fixture
def photos(photo_folder: Callable[..., Path]) -> Path:
    """An indexed folder of 12 pictures; the index is called `photos`."""
    root = photo_folder(12)
    build_index(choose_target(root))
    return root


def test_the_classes_are_torchvisions_in_the_order_of_their_ids() -> None:
    from torchvision.models import ResNet50_Weights

    assert [one.name for one in classes()] == ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    ids = [one.wordnet_id for one in classes()]
    assert ids == sorted(set(ids))
    assert [one.number for one in classes()] == list(range(1000))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("tench", 0),
        ("grand piano", 579),
        ("Grand_Piano", 579),
        ("grand-piano", 579),
        ("n02510455", 388),
        ("Cardigan", 264),
        ("cardigan", 474),
        ("crane", 517),
        ("crane bird", 134),
        ("toilet tissue", 999),
    ],
)
def test_a_class_is_found_by_name_or_id(name: str, number: int) -> None:
    assert find_class(name).number == number


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acordion", r"no class 'acordion'\. Did you mean accordion, "),
        ("panda", r"Did you mean giant panda, lesser panda\?"),
        ("CARDIGAN", r"more than one class.*n02113186 \(Cardigan\) or n02963159 \(cardigan\)"),
        ("n00000000", r"no class 'n00000000'"),
        ("", r"no class ''\.$"),
    ],
)
def test_what_is_no_class_is_told_with_the_nearest_names(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_class(name)


def test_a_class_weighs_by_its_row_of_the_head(bundled: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.abs(load_state_dict(Path(str(bundled.weights.path)))["_fc.weight"][281].numpy())
    assert np.array_equal(class_weights(bundled, "tabby"), right)
    # the second time torch is not needed, for another class neither
    monkeypatch.setattr(head, "family_of", lambda name: pytest.fail("the weights were to be loaded"))
    assert np.array_equal(class_weights(bundled, "n02123045"), right)
    assert not np.array_equal(class_weights(bundled, "tench"), right)


@pytest.mark.parametrize("damage", [b"", b"nonsense", bytes(4 * 1000 * 1280 + 1)])
def test_a_damaged_cache_is_made_again(bundled: Backbone, damage: bytes) -> None:
    right = class_weights(bundled, "tabby")
    (file,) = head.heads_folder().iterdir()
    good = file.read_bytes()
    file.write_bytes(damage)
    assert np.array_equal(class_weights(bundled, "tabby"), right)
    assert file.read_bytes() == good


def test_a_cache_that_cannot_be_written_is_done_without(bundled: Backbone) -> None:
    head.heads_folder().parent.write_text("a file in the folder's place")
    assert class_weights(bundled, "tabby").shape == (1280,)


def test_weights_without_the_classes_are_refused(bundled: Backbone, tmp_path: Path) -> None:
    import torch

    with pytest.raises(ModelError, match="untrained"):
        class_weights(describe("efficientnet_lite0", "untrained"), "tabby")
    state = load_state_dict(Path(str(bundled.weights.path)))
    for name, change, message in (
        ("tuned", {"_fc.weight": torch.ones(10, 1280)}, r"classifier of shape \(10, 1280\)"),
        ("headless", {"_fc.weight": None}, "without a classifier"),
        ("empty", {"_fc.weight": torch.zeros(1000, 1280)}, "know nothing of the class"),
    ):
        changed = {key: value for key, value in {**state, **change}.items() if value is not None}
        torch.save(changed, tmp_path / f"{name}.pth")
        with pytest.raises(ModelError, match=message):
            class_weights(replace(bundled, weights=Weights.from_file(tmp_path / f"{name}.pth")), "tabby")


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("squeezenet1_1", "classifier.1", (1000, 512)),
        ("mobilenet_v3_small", "classifier.3", (1000, 1024)),
        ("resnet18", "fc", (1000, 512)),
    ],
)
def test_the_heads_of_torchvisions_networks(name: str, layer: str, shape: tuple[int, int], tmp_path: Path) -> None:
    import torch
    import torchvision

    torch.manual_seed(1)
    model = torchvision.models.get_model(name, weights=None)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    right = model.state_dict()[f"{layer}.weight"].numpy().reshape(shape)
    assert np.array_equal(class_weights(describe(name, str(tmp_path / "weights.pth")), "tench"), np.abs(right[0]))


@pytest.mark.parametrize("count", [300, 5300])
def test_rows_are_ranked_by_cosines_of_weighted_features(tmp_path: Path, count: int) -> None:
    """In an index whose rows are kept in memory, and in one that has candidates, which are not asked for."""
    rng = np.random.default_rng(3)
    features = l2_normalize(rng.random((count, 24), dtype=np.float32))
    model = {**describe("efficientnet_lite0", "untrained").to_json(), "dimension": 24}
    writer = Writer(tmp_path, Meta(model, 24, "/photos", "2026", "2026"))
    for row, feature in enumerate(features):
        writer.add(FileRecord(f"{row}.jpg", 1, 1, f"{row:064x}"), feature)
    writer.commit()
    writer.tidy()
    index = Index.open(tmp_path)
    assert (index.meta.candidates is not None) == (count > 5000)
    scale = np.zeros(24, dtype=np.float32)
    scale[:3] = 2, 1, 0.5
    stored = index.features(range(count))[:, :3] * [2, 1, 0.5]
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    cosines = stored @ stored[7]
    rows, scores, *_ = Ranker(index, ScaledSpace(scale)).ranked(index.features([7])[0], 25, reranked=False)
    assert rows[0] == 7
    assert scores == pytest.approx(np.sort(cosines)[::-1][:25], abs=1e-5)
    assert cosines[rows] == pytest.approx(scores, abs=1e-5)
    reranked = Ranker(index, ScaledSpace(scale)).ranked(index.features([7])[0], 25, reranked=True).rows
    assert len(set(reranked.tolist())) == len(reranked) >= 25
    assert cosines[reranked].min() > np.sort(cosines)[-400 if count == 300 else -1000 :][0] - 1e-5


def test_a_search_by_a_class_orders_anew_and_keeps_scores(photos: Path) -> None:
    searcher = Searcher(open_index("photos"))
    query = photos / "img_000.jpg"
    (plain,) = searcher.search([query], reranked=False, count=11)
    (weighted,) = searcher.search([query], reranked=False, count=11, class_name="tabby")
    before = {match.path: match.score for match in plain.matches}
    after = {match.path: match.score for match in weighted.matches}
    assert after == pytest.approx(before, abs=1e-5)
    assert list(after) != list(before)
    weights = class_weights(searcher.backbone, "tabby")
    index = searcher.index
    rows = l2_normalize(index.features(range(12)) * weights)
    of = {index.root / record.path: row for row, record in index.records()}
    ranked = [float(rows[of[path]] @ rows[of[query]]) for path in after]
    assert ranked == sorted(ranked, reverse=True)
    (again,) = searcher.search([query], reranked=False, count=11)
    assert again.matches == plain.matches


def test_classes_on_the_command_line(photos: Path) -> None:
    def run(*arguments: str | Path) -> object:
        return CliRunner().invoke(cli, ["search", str(photos / "img_000.jpg"), *map(str, arguments)])

    record = json.loads(run("--class-weights", "Tabby", "--format", "json").stdout)  # type: ignore[attr-defined]
    assert record["class_weights"] == "tabby"
    assert len(record["matches"]) == 10
    wrong = run("--class-weights", "taby")
    assert wrong.exit_code == 1  # type: ignore[attr-defined]
    assert "Error: ImageNet has no class 'taby'. Did you mean tabby" in wrong.stderr  # type: ignore[attr-defined]
