"""The family of timm's networks: `timm:NAME`, up to what enters their classifier (timm's `num_classes=0`)."""

from __future__ import annotations

import math
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from timm.models import clean_state_dict, load_state_dict_from_hf
from torch import nn

from cbir.backbones.catalog import Known
from cbir.backbones.hub import fetch
from cbir.backbones.network import Network
from cbir.backbones.timm_maps import create, token_maps
from cbir.backbones.torch_state import load_state_dict
from cbir.backbones.weights import UNTRAINED_SEED, Weights, WeightsFile, head_in, remember
from cbir.errors import ModelError, WeightsError
from cbir.images.fit import Preprocessing
from cbir.utils.suggest import did_you_mean
from cbir.utils.vectors import Floats

# Names that are suggested where there is none of that name.
_NEAREST = 3

# Names that the hub has for weights, the best first.
_FILES = ("model.safetensors", "pytorch_model.bin")


def names() -> list[str]:
    """List the networks that have published weights."""
    return [f"timm:{name}" for name in timm.list_models(pretrained=True)]


def describe(name: str) -> Known:
    """Describe a network from timm's tables. ModelError, with the nearest names, where it has none so called."""
    config = _config(name)
    preprocessing = _preprocessing(name, config)
    with torch.inference_mode():
        try:
            with torch.device("meta"):
                dimension = _dimension(name, preprocessing.crop)
        except (NotImplementedError, RuntimeError):  # some compute with numbers as they are made, and "meta" has none
            dimension = _dimension(name, preprocessing.crop)
    return Known(dimension, preprocessing, "what enters the classifier", lambda: _own_weights(name, config))


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
    """Build the network with `weights`, float32, in evaluation mode; ModelError for another preprocessing."""
    config = _config(name)
    if preprocessing != _preprocessing(name, config):
        raise ModelError(f"The index has a preprocessing that is not that of {name}: index the folder again.")
    state, origin = None, ""
    if weights.source != "untrained":
        path = weights.locate(name)
        state, origin = clean_state_dict(load_state_dict(path)), str(path)
        if not all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point()):
            raise WeightsError(f"The weights in {origin} hold numbers that are not finite.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        try:
            model = _make(name, state)
        except Exception as error:
            if state is None:
                raise
            # RuntimeError of keys and shapes; filters of other makers' keys raise anything
            raise WeightsError(f"The weights in {origin} do not fit {name}: {_shortly(error)}.") from error
    if (maps := token_maps(model)) is not None:
        setattr(model, "token_maps", maps)  # noqa: B010
    return Network(model, preprocessing).eval()


def read_head(name: str, weights: Weights, dimension: int) -> Floats | str:
    """Read the layer that classifies features, as of `weights.head_in`."""
    layer = _config(name).get("classifier")
    if not isinstance(layer, str):
        return "have more than one classifier" if layer else "are without a classifier"
    state = clean_state_dict(load_state_dict(weights.locate(name)))
    found = {key: state[key].float().numpy() for key in (f"{layer}.weight", f"{layer}.bias") if key in state}
    return head_in(found, layer, dimension)


def _config(name: str) -> dict[str, Any]:
    """Return what timm knows of a network's weights and pictures. ModelError where it knows no such network."""
    own = name.partition(":")[2]
    architecture, _, tag = own.partition(".")
    if not timm.is_model(architecture) or (tag and not timm.models.is_model_pretrained(own)):
        hint = did_you_mean(name, names(), count=_NEAREST, cutoff=0.3)
        raise ModelError(f"timm has no network {name}.{hint}")
    config = timm.get_pretrained_cfg(own)
    return dict(config.to_dict()) if config is not None else {}


def _preprocessing(name: str, config: dict[str, Any]) -> Preprocessing:
    """Return what timm does with an image before it enters a network."""
    usual = resolve_data_config(pretrained_cfg=config)
    channels, height, width = usual["input_size"]
    resize = math.floor(height / usual["crop_pct"])
    if channels != 3 or height != width or usual["crop_mode"] == "border" or resize < height:
        raise ModelError(f"{name} takes pictures that are no squares, or have borders: cbir makes none such.")
    mean, std = (tuple(255 * value for value in usual[key]) for key in ("mean", "std"))
    return Preprocessing(resize, height, usual["interpolation"], mean, std, is_squashed=usual["crop_mode"] == "squash")


def _dimension(name: str, side: int) -> int:
    features = _make(name)(torch.zeros(1, 3, side, side))
    if not isinstance(features, torch.Tensor) or features.dim() != 2:
        raise ModelError(f"{name} makes no features of pictures, but something else of them.")
    return int(features.shape[1])


def _make(name: str, state: dict[str, torch.Tensor] | None = None) -> nn.Module:
    """Make a network, in evaluation mode, with the weights of a state dict, or with random ones.

    All weights have to be there, and no others, but for the classifier, which may know any classes.
    """
    own = name.partition(":")[2]
    if state is None:
        made: nn.Module = create(own, num_classes=0).eval()
        return made
    config = _config(name)
    layers = config.get("classifier") or ()
    head = state.get(f"{layers if isinstance(layers, str) else next(iter(layers), '')}.weight")
    counts = dict.fromkeys([config.get("num_classes", 0) if head is None else len(head), 0])
    for classes in counts:
        overlay = {"state_dict": dict(state), "custom_load": False, "num_classes": classes, "label_offset": 0}
        try:
            model = create(own, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay)
        except Exception:
            if classes == 0:  # the last that was tried
                raise
            continue
        model.reset_classifier(0)
        made = model.eval()
        return made
    raise AssertionError("one of them was the last")


def _own_weights(name: str, config: dict[str, Any]) -> Weights:
    """Find the published weights, or download them. WeightsError where there are none, or that fails."""
    if repository := config.get("hf_hub_id"):
        files = (config["hf_hub_filename"],) if config.get("hf_hub_filename") else _FILES
        return fetch(name, repository, files, lambda: load_state_dict_from_hf(repository, files[-1]))
    if not isinstance(url := config.get("url"), str) or not url:
        raise WeightsError(f"timm knows no weights of {name}: name your own with --weights FILE.")
    found = Weights.from_hub(WeightsFile(url, 0))
    remember(found, name)
    return found


def _shortly(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
