"""Any classification network of torchvision, cut where its features enter the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.squeezenet import SqueezeNet

from cbir.backbones.catalog import KNOWN, Known
from cbir.backbones.network import Network
from cbir.backbones.torch_state import fill, load_state_dict
from cbir.backbones.weights import UNTRAINED_SEED, Weights, WeightsFile, head_in
from cbir.errors import ModelError, WeightsError
from cbir.images.fit import Preprocessing
from cbir.utils.suggest import did_you_mean
from cbir.utils.vectors import Floats

# Numbers of a network that takes seconds to make, and a gigabyte.
_LARGE = 200_000_000


def names() -> list[str]:
    """List the names of torchvision's classification networks."""
    return list(torchvision.models.list_models(module=torchvision.models))


def describe(name: str) -> Known:
    """Describe a network of torchvision from torchvision's own tables.

    Raises ModelError, with the nearest names, where torchvision has no such classification network.
    """
    available = names()
    if name not in available:
        hint = did_you_mean(name, [*KNOWN, *available])
        raise ModelError(f"There is no backbone {name!r}.{hint} `cbir models --all` lists them.")
    default = _published(name)
    preset: Any = default.transforms()
    mean, std = (tuple(255 * value for value in values) for values in (preset.mean, preset.std))
    preprocessing = Preprocessing(preset.resize_size[0], preset.crop_size[0], preset.interpolation.value, mean, std)
    try:
        with torch.device("meta"):
            dimension = _dimension(name, preprocessing.crop)
    except NotImplementedError:  # RegNet computes its widths in tensors, which "meta" has no values for
        dimension = _dimension(name, preprocessing.crop)
    megabytes = round(default.meta["_file_size"])
    return Known(dimension, preprocessing, "what enters the last linear layer", WeightsFile(default.url, megabytes))


def _dimension(name: str, side: int) -> int:
    headless, _ = cut(_make(name), side)
    with torch.inference_mode():
        dimension: int = headless(torch.zeros(1, 3, side, side)).shape[1]
    return dimension


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
    """Build the network with `weights`, headless, float32, in evaluation mode; ModelError for another preprocessing."""
    if preprocessing != (KNOWN.get(name) or describe(name)).preprocessing:
        raise ModelError(f"The index has a preprocessing that is not that of {name}: index the folder again.")
    state, origin = {}, ""
    if weights.source != "untrained":
        # first, since a network may be large, and what an index says of it a lie
        path = weights.locate()
        state, origin = load_state_dict(path), str(path)
        _check_size(name, state, origin)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        model = _make(name)
    headless, head = cut(model, preprocessing.crop, replace=False)
    if weights.source != "untrained":
        fill(model, state, network=name, origin=origin, head=f"{head}.")
    headless, _ = cut(model, preprocessing.crop)
    return Network(headless, preprocessing).eval()


def _check_size(name: str, state: Mapping[str, torch.Tensor], origin: str) -> None:
    """Refuse, before a large network takes its memory, a state dict that is none of it: WeightsError."""
    needed = int(_published(name).meta["num_params"])
    there = sum(value.numel() for value in state.values())
    if needed > _LARGE and there < needed / 2:
        raise WeightsError(
            f"The weights in {origin} do not fit {name}: they are {there:,} numbers, and not about {needed:,}."
        )


def read_head(name: str, weights: Weights, dimension: int) -> Floats | str:
    """Read the layer that classifies the features, as of `weights.head_in`."""
    layer, state = _head_of(name), load_state_dict(weights.locate())
    found = {key: state[key].float().numpy() for key in (f"{layer}.weight", f"{layer}.bias") if key in state}
    return head_in(found, layer, dimension)


def _head_of(name: str) -> str:
    """Find the name, in a state dict, of the layer that turns the features of a network into its classes' logits."""
    side = (KNOWN.get(name) or describe(name)).preprocessing.crop
    try:
        with torch.device("meta"):  # where a network has no numbers, however large it is
            model = _make(name)
            _, head = cut(model, side, replace=False)
    except NotImplementedError:  # see `describe`
        with torch.random.fork_rng(devices=[]):
            model = _make(name)
        _, head = cut(model, side, replace=False)
    return f"{head}.1" if isinstance(model, SqueezeNet) else head


def cut(model: nn.Module, side: int, *, replace: bool = True) -> tuple[nn.Module, str]:
    """Cut `model` off before its classifier; the classifier's name in it comes second.

    What enters the last linear layer that runs on a picture of `side` pixels becomes the output: fc2 after its
    ReLU in VGG16, the flattened average pool in ResNet50, the class token in a vision transformer. SqueezeNet
    classifies by a convolution; there the pooled features are it. Changes `model` unless `replace` is False.
    """
    if isinstance(model, SqueezeNet):
        if replace:
            model.classifier = nn.AdaptiveAvgPool2d(1)
        return model, "classifier"
    ran: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.inference_mode():
            device = next(model.parameters()).device
            model(torch.zeros(1, 3, side, side, device=device))
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        raise ModelError(
            f"{type(model).__name__} has no linear layer at its end, so where its features are is unknown."
        )
    last = ran[-1]
    if replace:
        parent, _, attribute = last.rpartition(".")
        setattr(model.get_submodule(parent), attribute, nn.Identity())
    return model, last


def _published(name: str) -> Any:
    """Return the weights that cbir takes for `name`: torchvision's default, but of known networks the first edition."""
    if name in KNOWN:
        return torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    return torchvision.models.get_model_weights(name).DEFAULT


def _make(name: str) -> nn.Module:
    """Make an untrained network, in evaluation mode, with the options that its published weights were made with."""
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        # published weights hold the auxiliary classifiers and expect their own renormalisation of the input
        options = {"transform_input": True, "aux_logits": True, "init_weights": False}
    if name.startswith("vit_"):
        options["image_size"] = _published(name).meta["min_size"][0]  # vit_h_14: 518
    model: nn.Module = torchvision.models.get_model(name, weights=None, **options).eval()
    return model
