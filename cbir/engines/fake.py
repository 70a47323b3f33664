"""The engine of the fake network: NumPy, and no runtime."""

from __future__ import annotations

from collections.abc import Callable

from cbir.backbones import fake
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.treatment import early, moments
from cbir.engines.engine import Engine, Features, Images
from cbir.errors import ModelError


class FakeEngine(Engine):
    """An engine that computes at once, the same on every machine. ModelError where `backbone` is not as cbir has it."""

    description = "NumPy, float64"
    precision = "f64"
    batch = 16
    depth = 1

    def __init__(self, backbone: Backbone) -> None:
        if backbone != describe(backbone.name):
            raise ModelError(
                f"The network {backbone.name} has its own weights and preprocessing and no others: "
                "leave --weights out, or index the folder again."
            )
        self._side = fake.SIDES[backbone.name]

    def start(self, images: Images) -> Callable[[], Features]:
        features = fake.features_of(images, self._side)
        return lambda: features

    def start_treated(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        found = self.features(images), moments(early(self.stages(images)))
        return lambda: found

    def stages(self, images: Images) -> list[Features]:
        return [fake.map_of(images, side) for side in fake.STAGES]

    def last_map(self, images: Images) -> Features:
        return fake.map_of(images, self._side)

    def start_places(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        maps = fake.map_of(images, self._side), fake.map_of(images, self._side // 2)
        return lambda: maps

    def start_pooled(self, images: Images) -> Callable[[], list[Features]]:
        pooled = [*(fake.features_of(images, side) for side in fake.STAGES), fake.features_of(images, self._side)]
        return lambda: pooled
