"""Tiny networks of open_clip's kinds, which open_clip knows while a block runs."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from open_clip import pretrained
from timm.models import register_model
from timm.models.eva import Eva, _create_eva
from timm.models.fastvit import FastVit, RepConditionalPosEnc, _create_fastvit
from timm.models.swin_transformer import SwinTransformer, _create_swin_transformer
from timm.models.vision_transformer import VisionTransformer, _create_vision_transformer


@register_model
def tiny_eva(pretrained: bool = False, **options: Any) -> Eva:
    """Make a small network of EVA-02's kind, with 16 x 16 patches."""
    own = {"img_size": 224, "patch_size": 14, "embed_dim": 48, "depth": 4, "num_heads": 3, "swiglu_mlp": True}
    rotary = {"use_rot_pos_emb": True, "ref_feat_shape": (16, 16)}
    return _create_eva("eva02_tiny_patch14_224", pretrained=pretrained, **{**own, **rotary, **options})


@register_model
def tiny_fastvit(pretrained: bool = False, **options: Any) -> FastVit:
    """Make a small network of MobileCLIP's kind."""
    own = {
        "layers": (1, 1, 1, 1),
        "embed_dims": (16, 32, 64, 128),
        "mlp_ratios": (2, 2, 2, 2),
        "pos_embs": (None, None, None, functools.partial(RepConditionalPosEnc, spatial_shape=(7, 7))),
        "token_mixers": ("repmixer", "repmixer", "repmixer", "attention"),
    }
    return _create_fastvit("fastvit_t8", pretrained=pretrained, **{**own, **options})


@register_model
def tiny_siglip(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """Make a small network of SigLIP's kind: tokens of places alone, of which attention makes one feature."""
    own = {"img_size": 160, "embed_dim": 96, "depth": 4, "num_heads": 3, "class_token": False, "global_pool": "map"}
    return _create_vision_transformer("vit_base_patch16_siglip_224", pretrained=pretrained, **{**own, **options})


@register_model
def tiny_swin(pretrained: bool = False, **options: Any) -> SwinTransformer:
    """Make a small network of Swin's kind."""
    own = {"embed_dim": 16, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8)}
    return _create_swin_transformer("swin_tiny_patch4_window7_224", pretrained=pretrained, **{**own, **options})


def _timms(name: str, size: int, pool: str, projection: str | None) -> dict[str, Any]:
    """Describe a network of timm's, as open_clip's configurations do."""
    own = {"timm_model_name": name, "timm_model_pretrained": False, "timm_pool": pool, "timm_proj": projection}
    return {"image_size": size, **own}


TEXT = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
#: Small networks of open_clip's kinds: its own transformer, that with CoCa's head, a ResNet, and those of timm's that
#: SigLIP (with its head of attention), EVA, MobileCLIP, Swin-CLIP and ConvNeXt-CLIP have.
TINY: dict[str, dict[str, Any]] = {
    "tiny-ViT": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
    "tiny-CoCa": {
        "image_size": 64,
        "layers": 2,
        "width": 64,
        "patch_size": 16,
        "head_width": 32,
        "attentional_pool": True,
        "attn_pooler_heads": 4,
    },
    "tiny-RN": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32, "patch_size": None},
    "tiny-timm": _timms("test_vit", 96, "", "linear"),
    "tiny-SigLIP": _timms("tiny_siglip", 160, "map", "none"),
    "tiny-EVA": _timms("tiny_eva", 224, "token", None),
    "tiny-MobileCLIP": _timms("tiny_fastvit", 128, "avg", None),
    "tiny-Swin": _timms("tiny_swin", 224, "", "linear"),
    "tiny-ConvNeXt": _timms("test_convnext", 160, "", "linear"),
}
_TAGS = {
    "tiny-RN": pretrained._mc2cfg(hf_hub="cbir-tests/tiny-rn/"),
    "tiny-timm": pretrained._slpcfg(hf_hub="cbir-tests/tiny-timm/"),
    "tiny-SigLIP": pretrained._slpcfg(hf_hub="cbir-tests/tiny-siglip/"),
}


@contextmanager
def known(folder: Path) -> Iterator[None]:
    """Have open_clip know the networks, and weights of each under the tag `local`, by files in a folder."""
    before = dict(open_clip.factory._MODEL_CONFIGS)
    for name, vision in TINY.items():
        embed = 96 if name == "tiny-SigLIP" else 32  # without a projection the width
        config = {
            "embed_dim": embed,
            "vision_cfg": vision,
            "text_cfg": TEXT,
            "custom_text": "timm_model_name" in vision,
        }
        (folder / f"{name}.json").write_text(json.dumps(config))
        pretrained._PRETRAINED[name] = {
            "local": _TAGS.get(name) or pretrained._pcfg(hf_hub=f"cbir-tests/{name.lower()}/")
        }
    open_clip.add_model_config(folder)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS.remove(folder)
    open_clip.factory._MODEL_CONFIGS = before
    for name in TINY:
        del pretrained._PRETRAINED[name]
