"""A network's last layer in NumPy: the classes of features are those that the whole network finds in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones import head
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.head import TOP, Classifier, classifier_of, open_classifier
from cbir.backbones.torch_state import load_state_dict
from cbir.backbones.weights import Weights
from cbir.errors import ModelError, WeightsError
from cbir.extract.classes import EXACT, ClassMaker
from cbir.extract.extractor import Extractor


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "heads_folder", lambda: tmp_path / "cache" / "heads")


def pictures(draw_picture: Callable[..., object], count: int) -> np.ndarray:
    return np.stack([np.asarray(draw_picture(seed, (224, 224))) for seed in range(count)])


def check(classifier: Classifier, features: np.ndarray, logits: np.ndarray) -> None:
    """Hold probabilities and top classes against those of the whole network's logits, in double precision."""
    exact = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    assert np.allclose(classifier.probabilities(features), exact, atol=1e-5, rtol=1e-3)
    top = classifier.top(features)
    assert top.numbers.shape == top.probabilities.shape == (len(features), TOP)
    order = np.argsort(-exact, axis=1)
    for row in range(len(features)):
        # classes may change places only where they are as good as equally probable
        found, right = exact[row, top.numbers[row]], exact[row, order[row, :TOP]]
        assert np.allclose(found, right, atol=1e-5, rtol=1e-3)
        assert len(set(top.numbers[row].tolist())) == TOP
    assert np.array_equal(top.numbers[:, 0], order[:, 0])
    assert np.allclose(top.probabilities, np.take_along_axis(exact, top.numbers.astype(int), axis=1), atol=1e-5)


def test_the_bundled_network_classifies_as_it_does_in_torch(
    bundled: Backbone, draw_picture: Callable[..., object]
) -> None:
    import torch

    network = bundled.build()
    state = load_state_dict(Path(str(bundled.weights.path)))
    # the network is built for features, without its classifier's weights
    network.headless.fc.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    given = torch.from_numpy(pictures(draw_picture, 6))
    with torch.inference_mode():
        features = network(given).numpy()
        logits = network.headless.classify(network.normalise(given)).numpy()
    assert np.ptp(logits) > 5
    check(open_classifier(bundled), features, logits)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "alexnet", "swin_t"])
def test_torchvisions_networks_classify_as_they_do_in_torch(
    name: str, tmp_path: Path, draw_picture: Callable[..., object]
) -> None:
    import torch
    import torchvision

    torch.manual_seed(3)
    model = torchvision.models.get_model(name, weights=None).eval()
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    torch.nn.init.normal_(last.weight, std=0.5)  # or untrained networks find all classes equally probable
    torch.nn.init.normal_(last.bias)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    backbone = describe(name, str(tmp_path / "weights.pth"))
    network = backbone.build()
    given = torch.from_numpy(pictures(draw_picture, 3))
    with torch.inference_mode():
        features = network(given).numpy()
        logits = model(network.normalise(given)).numpy()
    assert np.ptp(logits) > 1
    check(open_classifier(backbone), features, logits)


def test_a_last_layer_without_a_bias_will_do(bundled: Backbone, tmp_path: Path) -> None:
    import torch

    state = load_state_dict(Path(str(bundled.weights.path)))
    del state["_fc.bias"]
    torch.save(state, tmp_path / "no-bias.pth")
    features = np.random.default_rng(1).random((2, 1280), dtype=np.float32)
    logits = features @ state["_fc.weight"].numpy().T
    check(open_classifier(replace(bundled, weights=Weights.from_file(tmp_path / "no-bias.pth"))), features, logits)


def test_equally_probable_classes_come_in_the_order_of_their_numbers() -> None:
    bias = np.zeros(1000, dtype=np.float32)
    bias[[700, 3, 500]] = 2
    top = Classifier(np.zeros((1000, 4), dtype=np.float32), bias).top(np.ones((1, 4), dtype=np.float32), 3)
    assert top.numbers.tolist() == [[3, 500, 700]]
    assert top.probabilities[0].tolist() == pytest.approx([np.e**2 / (997 + 3 * np.e**2)] * 3)


def test_features_that_are_not_finite_have_no_classes(bundled: Backbone) -> None:
    features = np.ones((3, 1280), dtype=np.float32)
    features[1, 7] = np.nan
    of_each = open_classifier(bundled).top_of_each(features)
    assert [one is None for one in of_each] == [False, True, False]
    assert np.array_equal(of_each[0].numbers, open_classifier(bundled).top(features[:1]).numbers[0])  # type: ignore[union-attr]


def test_extraction_tells_classes_with_each_feature(
    bundled: Backbone, extractor: Extractor, photo_folder: Callable[..., Path]
) -> None:
    """Also of pictures in the middle of several batches, and of none that no network saw."""
    files = sorted(photo_folder(21).iterdir())
    (files[0].parent / "broken.jpg").write_text("broken")
    classifier = open_classifier(bundled)
    asked = [(path, path) for path in [*files[:5], files[0].parent / "broken.jpg", *files[3:]]]
    results = list(Extractor(bundled, makers=[ClassMaker(classifier, EXACT)]).run(asked))
    assert sum("classes" in result.records for result in results) == 21
    for result in results:
        assert ("classes" in result.records) == (result.feature is not None)
        if result.feature is not None:
            top = classifier.top(result.feature[np.newaxis])
            assert result.records["classes"]["class"].tolist() == top.numbers[0].tolist()
            assert np.allclose(result.records["classes"]["probability"], top.probabilities[0], rtol=1e-5)
    assert not any(result.records for result in extractor.run(asked))


def test_networks_without_the_classes_say_why(
    bundled: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    caplog.set_level("DEBUG", logger="cbir")
    state = load_state_dict(Path(str(bundled.weights.path)))
    torch.save({**state, "_fc.weight": torch.ones(10, 1280), "_fc.bias": torch.ones(10)}, tmp_path / "tuned.pth")
    torch.save({**state, "_fc.weight": torch.full((1000, 1280), torch.nan)}, tmp_path / "broken.pth")
    gone = Weights("0" * 64, "file", str(tmp_path / "gone.pth"))
    for backbone, error, message in (
        (describe("efficientnet_lite0", "untrained"), ModelError, "untrained"),
        (replace(bundled, weights=Weights.from_file(tmp_path / "tuned.pth")), ModelError, r"of shape \(10, 1280\)"),
        (replace(bundled, weights=Weights.from_file(tmp_path / "broken.pth")), ModelError, "know nothing"),
        (replace(bundled, name="squeezenet1_1"), ModelError, "of each place"),
        (replace(bundled, weights=gone), WeightsError, "not on this machine"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            for _ in range(2):
                with pytest.raises(error, match=message):
                    open_classifier(backbone)
                assert classifier_of(backbone) is None
                assert str(caplog.records[-1].message).startswith("No classes of pictures: ")
                if error is ModelError:  # the second time torch is not needed to know it
                    patch.setattr(head, "family_of", lambda name: pytest.fail("the weights were to be loaded"))
    assert all(record.levelname == "DEBUG" for record in caplog.records)


def test_a_changed_bit_in_the_cache_is_noticed(bundled: Backbone) -> None:
    right = open_classifier(bundled).probabilities(np.ones((1, 1280), dtype=np.float32))
    (file,) = head.heads_folder().iterdir()
    good = file.read_bytes()
    file.write_bytes(good[:5000] + bytes([good[5000] ^ 64]) + good[5001:])
    again = open_classifier(bundled).probabilities(np.ones((1, 1280), dtype=np.float32))
    assert np.array_equal(again, right)
    assert file.read_bytes() == good
