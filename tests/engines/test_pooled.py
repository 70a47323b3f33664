"""What an engine pools is what a network's layers put out: the mean of each stage over its places, and the features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.network import _whole_cells
from cbir.engines.precision import drawn_images
from cbir.engines.select import open_engine
from cbir.errors import ModelError

#: Networks, and the layers after which they change the resolution, as their own definitions have them.
LAYERS = {
    "efficientnet_lite0": ["blocks.0", "blocks.2", "blocks.4", "blocks.10", "blocks.15"],
    "squeezenet1_0": ["features.1", "features.5", "features.10", "features.12"],
    "resnet18": ["relu", "layer1.1", "layer2.1", "layer3.1", "layer4.1"],
}


def layers_of(network: torch.nn.Module, names: list[str], images: np.ndarray) -> list[np.ndarray]:
    """The means over places of what layers put out, by hooks of torch's own, and the network's features."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: found.setdefault(name, output.clone())

    handles = [network.headless.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    with torch.inference_mode():
        features = network(torch.tensor(images))
    for handle in handles:
        handle.remove()
    return [*(found[name].mean((2, 3)).numpy() for name in names), features.numpy()]


@pytest.mark.parametrize("engine", ["torch", "openvino:f32"])
@pytest.mark.parametrize("name", LAYERS)
def test_stages_are_the_means_of_the_networks_layers(name: str, engine: str) -> None:
    backbone = describe(name, None if name == "efficientnet_lite0" else "untrained")
    images = drawn_images(3, backbone.preprocessing.crop)
    expected = layers_of(backbone.build(), LAYERS[name], images)
    opened = open_engine(backbone, engine=engine)
    found = opened.pooled(images)
    assert [one.shape for one in found] == [one.shape for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < 1e-4 * np.abs(other).max()
    assert np.allclose(found[-1], opened.features(images), atol=1e-5 * np.abs(found[-1]).max())


def test_several_batches_are_under_way_and_come_in_order(bundled: Backbone) -> None:
    engine = open_engine(bundled, engine="openvino", expected=1000)
    images = drawn_images(6, 224)
    alone = [engine.pooled(images[number : number + 1]) for number in range(6)]
    under_way = [engine.start_pooled(images[number : number + 1]) for number in range(6)]
    for finish, expected in zip(under_way, alone, strict=True):
        for one, other in zip(finish(), expected, strict=True):
            assert np.array_equal(one, other)


def test_the_fake_networks_stages_are_means_of_its_maps() -> None:
    engine = open_engine(describe("fake"))
    images = drawn_images(2, 224)
    *stages, feature = engine.pooled(images)
    for found, stage in zip(stages, engine.stages(images), strict=True):
        assert np.allclose(found, stage.mean(axis=(2, 3)), rtol=1e-5)
    assert np.array_equal(feature, engine.features(images))


@pytest.mark.parametrize("engine", ["torch", "openvino:f32"])
def test_a_network_of_patches_has_two_stages_of_tokens(engine: str) -> None:
    pytest.importorskip("timm")
    backbone = describe("timm:test_vit.r160_in1k", "untrained")
    opened = open_engine(backbone, engine=engine)
    images = drawn_images(2, backbone.preprocessing.crop)
    *stages, feature = opened.pooled(images)
    for found, stage in zip(stages, opened.stages(images), strict=True):
        assert np.allclose(found, stage.mean(axis=(2, 3)), atol=1e-4 * np.abs(stage).max())
    assert np.allclose(feature, opened.features(images), atol=1e-4 * np.abs(feature).max())


def test_pictures_for_tokens_have_whole_cells() -> None:
    assert _whole_cells(torch.zeros(1, 3, 518, 518)).shape[2:] == (544, 544)
    pictures = torch.rand(1, 3, 96, 96)
    assert _whole_cells(pictures) is pictures


def test_a_network_without_stages_says_so() -> None:
    opened = open_engine(describe("vit_b_16", "untrained"), engine="torch")
    with pytest.raises(ModelError, match="pictures of one size only"):
        opened.pooled(np.zeros((1, 224, 224, 3), dtype=np.uint8))
