"""The engine on a CUDA device, where there is one: the same numbers, and no wait for what comes later."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from cbir.backbones.backbone import describe
from cbir.backbones.network import LastMap, PlaceMaps, Stages
from cbir.engines.precision import drawn_images
from cbir.engines.select import WORTH_CUDA, open_engine
from cbir.engines.torch_engine import TorchEngine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

#: The bundled network names its stages itself; those of the other are found by running it.
NETWORKS = ("efficientnet_lite0", "resnet18")


@pytest.fixture(scope="module", params=NETWORKS)
def backbone(request, bundled):
    return bundled if request.param == bundled.name else describe(request.param, "untrained")


@pytest.fixture(scope="module")
def engine(backbone):
    return TorchEngine(backbone)


def cosines(first, second):
    """Cosines of the rows of two arrays; what follows the first axis is flattened."""
    first, second = (np.asarray(each, dtype=np.float64).reshape(len(each), -1) for each in (first, second))
    return (first * second).sum(1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))


def test_features_and_maps_are_those_of_float32(backbone, engine):
    pictures = drawn_images(4, 224)
    with torch.inference_mode():
        given = torch.from_numpy(pictures)
        expected = [
            backbone.build()(given),
            *Stages(backbone.build())(given),
            LastMap(backbone.build())(given),
            *PlaceMaps(backbone.build())(given),
        ]
    found = [
        engine.features(pictures),
        *engine.stages(pictures),
        engine.last_map(pictures),
        *engine.place_maps(pictures),
    ]
    assert [each.shape for each in found] == [tuple(each.shape) for each in expected]
    for one, other in zip(expected, found, strict=True):
        assert other.dtype == np.float32
        assert cosines(one, other).min() >= 0.999


def test_batches_side_by_side_give_each_its_own_features(engine):
    batches = np.split(drawn_images(18, 224), 6)
    waiting = [engine.start(batch) for batch in batches[:2]]
    found = []
    for batch in batches[2:]:
        found.append(waiting.pop(0)())
        waiting.append(engine.start(batch))
    found += [finish() for finish in waiting]
    for batch, features in zip(batches, found, strict=True):
        assert np.array_equal(features, engine.features(batch))


def test_a_batch_is_not_waited_for_longer_than_it_takes(engine):
    pictures = drawn_images(4, 224)
    expected = engine.features(pictures)
    finish = engine.start(pictures)
    torch.cuda._sleep(2_000_000_000)  # a second or more of a card, counted in its cycles
    started = time.perf_counter()
    found = finish()
    took = time.perf_counter() - started
    torch.cuda.synchronize()
    assert took < (time.perf_counter() - started) / 2
    assert np.array_equal(found, expected)


def test_a_card_is_chosen_where_there_is_enough_to_do(backbone):
    chosen = open_engine(backbone, expected=WORTH_CUDA)
    assert isinstance(chosen, TorchEngine)
    assert chosen.device.type == "cuda"


def test_a_card_with_little_memory_computes_smaller_batches(backbone):
    torch.cuda.empty_cache()
    held, total = torch.cuda.memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((held + 250e6) / total)
    try:
        engine = TorchEngine(backbone)
        engine.try_out()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 1 <= engine.batch < TorchEngine(backbone).batch
