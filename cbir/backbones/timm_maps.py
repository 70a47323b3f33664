"""timm's networks for pictures of any size, and their maps: open_clip has them as networks of images, too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import nn

from cbir.backbones.network import CELL
from cbir.images.large import MULTIPLE


def create(name: str, **options: Any) -> Any:
    """Create a network; one of patches that can, for pictures of any size, of which its maps are."""
    try:
        return timm.create_model(name, dynamic_img_size=True, **options)
    except TypeError:  # others know no such option
        return timm.create_model(name, **options)


def token_maps(model: Any) -> Callable[[torch.Tensor], list[torch.Tensor]] | None:
    """Return what makes the maps of a network's tokens, as of `network.has_tokens`; None of a network without."""
    if not getattr(model, "dynamic_img_size", False):
        return None
    if hasattr(model, "blocks"):
        return functools.partial(_of_blocks, model)
    reductions = [stage["reduction"] for stage in model.feature_info]
    if CELL in reductions and MULTIPLE in reductions:
        return functools.partial(_of_stages, model, [reductions.index(one) for one in (CELL, MULTIPLE)])
    return None


def _of_blocks(model: Any, pictures: torch.Tensor) -> list[torch.Tensor]:
    """Make two maps: of a block of three quarters of a network's depth, which knows best what is where (Amir et al.,
    "Deep ViT Features as Dense Visual Descriptors", 2021), and of its last.
    """
    patch = model.patch_embed.feat_ratio()  # with what convolutions before the patches reduce, as MobileCLIP-B's
    if patch != CELL:
        pictures = nn.functional.interpolate(pictures, scale_factor=patch / CELL, mode="bilinear")
    depth = len(model.blocks)
    taken = [3 * depth // 4 - 1, depth - 1]
    early, late = model.forward_intermediates(pictures, indices=taken, norm=True, intermediates_only=True)
    return [early, nn.functional.avg_pool2d(late, 2)]


def _of_stages(model: Any, indices: list[int], pictures: torch.Tensor) -> list[torch.Tensor]:
    """Make two maps of a network whose tokens get fewer by the stage, as a Swin's."""
    found: list[torch.Tensor] = model.forward_intermediates(
        pictures, indices=indices, norm=True, intermediates_only=True, output_fmt="NCHW"
    )
    return found
