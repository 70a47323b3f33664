"""Tiny networks of open_clip's kinds, which open_clip knows while a block runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
from open_clip import pretrained

TEXT = {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
#: Small networks of open_clip's kinds: its own transformer, a ResNet, one of timm's as SigLIP and MobileCLIP have.
TINY: dict[str, dict[str, Any]] = {
    "tiny-ViT": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
    "tiny-RN": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32, "patch_size": None},
    "tiny-timm": {
        "image_size": 96,
        "timm_model_name": "test_vit",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
    },
}
_TAGS = {
    "tiny-ViT": pretrained._pcfg(hf_hub="cbir-tests/tiny-vit/"),
    "tiny-RN": pretrained._mc2cfg(hf_hub="cbir-tests/tiny-rn/"),
    "tiny-timm": pretrained._slpcfg(hf_hub="cbir-tests/tiny-timm/"),
}


@contextmanager
def known(folder: Path) -> Iterator[None]:
    """Have open_clip know the networks, and weights of each under the tag `local`, by files in a folder."""
    before = dict(open_clip.factory._MODEL_CONFIGS)
    for name, vision in TINY.items():
        config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": TEXT, "custom_text": "timm_model_name" in vision}
        (folder / f"{name}.json").write_text(json.dumps(config))
        pretrained._PRETRAINED[name] = {"local": _TAGS[name]}
    open_clip.add_model_config(folder)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS.remove(folder)
    open_clip.factory._MODEL_CONFIGS = before
    for name in TINY:
        del pretrained._PRETRAINED[name]
