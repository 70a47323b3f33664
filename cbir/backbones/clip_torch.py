"""open_clip's networks in torch: the tower of images alone, and the encoder of texts."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import timm_model
from open_clip.convert import convert_state_dict
from open_clip.model import _build_vision_tower, resize_pos_embed
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn

from cbir.backbones import timm_maps
from cbir.backbones.network import CELL
from cbir.backbones.torch_state import fill, load_state_dict
from cbir.backbones.weights import UNTRAINED_SEED, Weights
from cbir.errors import WeightsError

# Where an image's network is in the weights of both.
_VISUAL = "visual."

# Held while open_clip makes networks of timm's for pictures of any size.
_ANY_SIZE = threading.Lock()

# Endings by which open_clip tells how a file is to be read.
_ENDINGS = (".safetensors", ".bin", ".pt", ".pth")


class _Images(nn.Module):
    """The network of images, without that of texts, whose weights it may have been published with."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual: Any = visual
        self.units_in = "visual.trunk" if isinstance(visual, TimmModel) else "visual"

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        found = self.visual(pictures)
        # some return what they know of places as well
        features: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return features

    def forward_units(self, pictures: torch.Tensor) -> None:
        """Run what makes maps, as of `network.Stages`: a ResNet's head takes maps of one size only."""
        if isinstance(self.visual, ModifiedResNet):
            found = self.visual.stem(pictures)
            for layer in (self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4):
                found = layer(found)
        else:
            self.visual.trunk.forward_features(pictures)


class _Texts(nn.Module):
    """The encoder of texts."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.encode_text(tokens, normalize=False)
        return features


def _token_maps(visual: Any, pictures: torch.Tensor) -> list[torch.Tensor]:
    """Make two maps of tokens, as of `network.has_tokens`, of the same blocks as timm's networks."""
    patch = visual.patch_size[0]
    if patch != CELL:
        pictures = nn.functional.interpolate(pictures, scale_factor=patch / CELL, mode="bilinear")
    patches = visual.conv1(pictures)
    size, (rows, columns) = patches.shape[2:], visual.grid_size
    places = visual.positional_embedding[1:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    places = nn.functional.interpolate(places, size=size, mode="bicubic", antialias=True)
    first = visual.class_embedding + visual.positional_embedding[:1]
    tokens = (patches + places).flatten(2).permute(0, 2, 1)
    tokens = torch.cat([first.expand(tokens.shape[0], 1, -1), tokens], dim=1)
    depth = len(visual.transformer.resblocks)
    _, found = visual.transformer.forward_intermediates(visual.ln_pre(tokens), indices=[3 * depth // 4 - 1, depth - 1])
    # as the head takes them: CoCa's is made of attention, with a norm of its own
    norm = visual.ln_post if visual.attn_pool is None else visual.attn_pool.ln_k
    early, late = (norm(one)[:, 1:].permute(0, 2, 1).unflatten(2, size) for one in found)
    return [early, nn.functional.avg_pool2d(late, 2)]


def build(name: str, architecture: str, weights: Weights) -> nn.Module:
    """Build the network of images, float32. WeightsError where `weights` do not fit, or are not to be had."""
    state, origin = None, ""
    if weights.source != "untrained":
        path = weights.locate(name)
        state, origin = load_state_dict(path), str(path)
    config = open_clip.get_model_config(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        with _for_any_size():
            visual = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
    images = _Images(visual.eval())
    if isinstance(visual, VisionTransformer):
        setattr(images, "token_maps", functools.partial(_token_maps, visual))  # noqa: B010
    elif isinstance(visual, TimmModel) and (maps := timm_maps.token_maps(visual.trunk)) is not None:
        setattr(images, "token_maps", maps)  # noqa: B010
    if state is not None:
        try:
            # from the makers' own keys, and for pictures of another size
            state = convert_state_dict(images, {key.removeprefix("module."): value for key, value in state.items()})
            resize_pos_embed(state, images)
        except Exception as error:  # it expects them to be what they are called
            raise WeightsError(f"The weights in {origin} do not fit {name} ({error}).") from error
        fill(images, {key: state[key] for key in state if key.startswith(_VISUAL)}, network=name, origin=origin)
    return images


def build_text(name: str, architecture: str, weights: Weights) -> nn.Module:
    """Build the encoder of texts, float32. WeightsError as of `build`."""
    path = None if weights.source == "untrained" else weights.locate(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        model = open_clip.create_model(architecture, pretrained_text=False)
    if path is not None:
        load_state_dict(path)  # which says in words where a file is none
        try:
            with _with_ending(path) as file:
                open_clip.load_checkpoint(model, str(file))
        except Exception as error:  # RuntimeError of keys and shapes, KeyError of conversions, OSError
            raise WeightsError(f"The weights in {path} do not fit {name} ({error}).") from error
    model.visual = None
    return _Texts(model).eval()


class _Timm:
    """timm, as far as open_clip's networks of images use it, with networks for pictures of any size."""

    create_model = staticmethod(timm_maps.create)


@contextlib.contextmanager
def _for_any_size() -> Iterator[None]:
    """Have open_clip make networks of timm's for pictures of any size, for which it has no option."""
    with _ANY_SIZE:
        before, timm_model.timm = timm_model.timm, _Timm
        try:
            yield
        finally:
            timm_model.timm = before


@contextlib.contextmanager
def _with_ending(path: Path) -> Iterator[Path]:
    """Give a file of weights a name that open_clip knows how to read: its own, or that of a link."""
    if path.suffix in _ENDINGS:
        yield path
        return
    with path.open("rb") as file:
        is_safe = file.read(9)[8:] == b"{"
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "weights" + (_ENDINGS[0] if is_safe else _ENDINGS[1]))
        link.symlink_to(path)
        yield link
