"""Networks of which everything is known without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cbir.backbones.weights import PACKAGES, Weights, WeightsFile, WeightsPackage
from cbir.images.fit import Preprocessing

BUNDLED = "efficientnet_lite0"

#: Preferred to the bundled network where its weights are at hand: twice as many classes apart, ten times the work.
PREFERRED = "resnet50"

#: The networks without training, for tests and for trying things out; `backbones.fake` is their family.
FAKE, FAKE_SMALL = FAKES = "fake", "fake_small"

#: Networks whose classifier sees places and not features: a ReLU comes between it and the mean.
PLACE_CLASSIFIERS = frozenset({"squeezenet1_0", "squeezenet1_1"})

#: Kinds of input that a network may turn into features; the first is what an index holds.
MODALITIES = ("image", "text")

#: torchvision's `ImageClassification` preset, in units of pixel values.
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
_TORCHVISION_PRESET = Preprocessing(256, 224, "bilinear", IMAGENET_MEAN, IMAGENET_STD)


@dataclass(frozen=True)
class Known:
    """A description of a backbone, before it is built.

    `features` says for people where they come from. `weights` are its own: a published file, a package that has them,
    or a function that finds them. An index calls it `name`, where that is not what it was asked for by.
    """

    dimension: int
    preprocessing: Preprocessing
    features: str
    weights: WeightsFile | WeightsPackage | Callable[[], Weights]
    modalities: tuple[str, ...] = ("image",)
    name: str | None = None

    def own_weights(self) -> Weights:
        """Find its own weights, and download those that are published. WeightsError, ModelError where that fails."""
        if isinstance(self.weights, WeightsFile):
            return Weights.from_hub(self.weights)
        return self.weights.find() if isinstance(self.weights, WeightsPackage) else self.weights()


def _efficientnet_lite(side: int, package: WeightsPackage) -> Known:
    """Return one of the family, all of which crop pictures by 32 pixels, to `side`."""
    preprocessing = Preprocessing(side + 32, side, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), "nearest")
    return Known(1280, preprocessing, "global average pool", package)


KNOWN = {
    "efficientnet_lite0": _efficientnet_lite(224, PACKAGES["efficientnet_lite0"]),
    "efficientnet_lite1": _efficientnet_lite(240, PACKAGES["efficientnet_lite1"]),
    "efficientnet_lite2": _efficientnet_lite(260, PACKAGES["efficientnet_lite2"]),
    "resnet50": Known(
        2048,
        _TORCHVISION_PRESET,
        "global average pool",
        WeightsFile("https://download.pytorch.org/models/resnet50-0676ba61.pth", 98),
    ),
    "vgg16": Known(
        4096,
        _TORCHVISION_PRESET,
        "fc2 after its ReLU",
        WeightsFile("https://download.pytorch.org/models/vgg16-397923af.pth", 528),
    ),
}
