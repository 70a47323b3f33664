"""The plain way, which cbir is held against: Pillow, torchvision's preset, torch in float32, one picture after another.

Runs in a process of its own (`harness.Worker`), or as a script: `python plain.py NETWORK WEIGHTS PICTURE`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from cbir.utils.vectors import Floats

BATCH = 32
LITE = "efficientnet_lite0"


def features(
    name: str, weights: Path | None, files: Sequence[Path], device: str = "cpu", half: bool = False
) -> tuple[float, Floats]:
    """Seconds from the first file to the last feature, and the features, not normalised.

    `weights` is a state dict's file; None for the network that comes with cbir. With `half` in half precision.
    """
    network, preprocess = _network(name, weights, device, half)
    precision = torch.float16 if half else torch.float32
    started = time.perf_counter()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(files), BATCH):
            batch = []
            for path in files[start : start + BATCH]:
                with Image.open(path) as image:
                    batch.append(preprocess(image.convert("RGB")))
            parts.append(network(torch.stack(batch).to(device, precision)).float().cpu().numpy())
    return time.perf_counter() - started, np.concatenate(parts)


class Preprocessed(torch.utils.data.Dataset[torch.Tensor]):
    """Pictures as a network takes them, for a DataLoader."""

    def __init__(self, files: Sequence[Path], preprocess: Callable[[Image.Image], torch.Tensor]) -> None:
        self._files, self._preprocess = files, preprocess

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> torch.Tensor:
        with Image.open(self._files[number]) as image:
            return self._preprocess(image.convert("RGB"))


def loaded(
    name: str, weights: Path | None, files: Sequence[Path], device: str, half: bool, workers: int, batch: int
) -> float:
    """Seconds of the less plain way: a DataLoader's processes decode, and what they have decoded is pinned."""
    network, preprocess = _network(name, weights, device, half)
    precision = torch.float16 if half else torch.float32
    pinned = device == "cuda"
    started = time.perf_counter()
    loader = torch.utils.data.DataLoader(
        Preprocessed(files, preprocess), batch, num_workers=workers, pin_memory=pinned, timeout=60
    )
    with torch.inference_mode():
        found = [network(each.to(device, non_blocking=True).to(precision)) for each in loader]
        torch.cat(found).float().cpu().numpy()
    return time.perf_counter() - started


def make_weights(name: str, path: Path) -> Path:
    """A file of seeded random weights, made if it is not there: what takes time is the same as with learnt ones."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(20)
        unfinished = path.with_suffix(".part")
        torch.save(torchvision.models.get_model(name, weights=None).state_dict(), unfinished)
        unfinished.replace(path)
    return path


def has_cuda() -> bool:
    """Whether torch has a CUDA device here."""
    return torch.cuda.is_available()


@cache
def _network(
    name: str, weights: Path | None, device: str, half: bool = False
) -> tuple[torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    if name == LITE:
        from cbir.backbones.backbone import describe

        # without cbir's own normalisation, whose channels-last copy is faster than plain
        network = describe(name).build().headless.to(device)
        return network.half() if half else network, _preprocess_lite
    if weights is None:
        raise ValueError(f"{name} needs a file of weights")
    # what every example does builds the network at random first and then loads its weights
    model = torchvision.models.get_model(name, weights=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    if hasattr(model, "fc"):
        model.fc = torch.nn.Identity()
    elif name.startswith("vgg"):
        model.classifier = model.classifier[:5]  # to fc2's ReLU
    else:  # SqueezeNet
        model.classifier = torch.nn.AdaptiveAvgPool2d(1)
    preset = torchvision.models.get_model_weights(name).DEFAULT if name != "resnet50" else None
    if preset is None:  # the second version of ResNet50's weights has another preset
        preset = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    model = model.to(device)
    return model.half() if half else model, preset.transforms()


def _preprocess_lite(image: Image.Image) -> torch.Tensor:
    """EfficientNet-Lite's own: shorter side 256 bicubic, the central 224, (x - 127) / 128."""
    scale = 256 / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 224) // 2, (height - 224) // 2
    pixels = np.array(image.crop((left, top, left + 224, top + 224)), dtype=np.float32)
    return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1).contiguous()


if __name__ == "__main__":
    features(sys.argv[1], Path(sys.argv[2]), [Path(sys.argv[3])])
