"""The family of open_clip's networks: features of their images and of texts can be compared.

`clip:ARCH/TAG` is an architecture with published weights, as `open_clip.list_pretrained()` has them; `clip:ARCH` is one
without, for weights of one's own.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cbir.backbones.catalog import MODALITIES, Known
from cbir.backbones.clip_tokens import clip_tokens, has_own_tokens
from cbir.backbones.families import Tokens
from cbir.backbones.hub import fetch, without_hub
from cbir.backbones.weights import Weights
from cbir.errors import ModelError, WeightsError
from cbir.images.fit import Preprocessing
from cbir.utils.printable import shortened
from cbir.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from cbir.backbones.network import Network

logger = logging.getLogger("cbir")

# Names that are suggested where there is none of that name.
_NEAREST = 3


def names() -> list[str]:
    """List the networks that have published weights."""
    import open_clip

    return [f"clip:{architecture}/{tag}" for architecture, tag in open_clip.list_pretrained()]


def describe(name: str) -> Known:
    """Describe a network from open_clip's tables. ModelError, with the nearest names, where it has none so called."""
    import open_clip

    architecture, tag = _parts(name)
    config = open_clip.get_model_config(architecture)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if config is None or (tag and tag not in tags):
        known = names() if config is None else [f"clip:{architecture}/{one}" for one in tags]
        hint = did_you_mean(name, known, count=_NEAREST, cutoff=0.3)
        raise ModelError(f"open_clip has no network {name}.{hint} `open_clip.list_pretrained()` in Python lists them.")
    # whoever has weights of one's own for it has likely trained published ones further
    published = open_clip.get_pretrained_cfg(architecture, tag or next(iter(tags), ""))
    preprocessing = _preprocessing(name, config["vision_cfg"].get("image_size", 224), published)
    return Known(
        config["embed_dim"],
        preprocessing,
        "embedding of images",
        lambda: _own_weights(name, open_clip.get_pretrained_cfg(architecture, tag), tags),
        MODALITIES,
    )


def build(name: str, weights: Weights, preprocessing: Preprocessing) -> Network:
    """Build the network of images with `weights`; ModelError where the preprocessing is another one's."""
    from cbir.backbones import clip_torch
    from cbir.backbones.network import Network

    if preprocessing != describe(name).preprocessing:
        raise ModelError(f"The index has a preprocessing that is not that of {name}: index the folder again.")
    return Network(clip_torch.build(name, _parts(name)[0], weights), preprocessing).eval()


def read_head(name: str, weights: Weights, dimension: int) -> str:
    """Say that there is no layer that classifies."""
    return "are those of a network for sentences"


def tokens(name: str, texts: Sequence[str]) -> Tokens:
    """Turn n texts into what the text encoder takes, shape (n, length), as open_clip does."""
    with _as_it_is_here(name):
        return clip_tokens(_parts(name)[0], texts)


def build_text(name: str, weights: Weights) -> nn.Module:
    """Build the text encoder, float32: from tokens (n, length) to features (n, dimension)."""
    from cbir.backbones import clip_torch

    with _as_it_is_here(name):
        return clip_torch.build_text(name, _parts(name)[0], weights)


def _parts(name: str) -> tuple[str, str]:
    """Return the architecture that a name has, and the tag of its weights, if any."""
    architecture, _, tag = name.partition(":")[2].partition("/")
    return architecture, tag


def _preprocessing(name: str, size: int | Sequence[int], published: Mapping[str, Any]) -> Preprocessing:
    """Return what open_clip does with an image before it enters a network."""
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    usual = merge_preprocess_dict(PreprocessCfg(), published)
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1 or usual["resize_mode"] not in ("shortest", "squash"):
        raise ModelError(f"{name} takes pictures that are no squares, or have borders: cbir makes none such.")
    side = sides.pop()
    mean, std = (tuple(255 * value for value in usual[key]) for key in ("mean", "std"))
    return Preprocessing(side, side, usual["interpolation"], mean, std, is_squashed=usual["resize_mode"] == "squash")


def _own_weights(name: str, published: Mapping[str, Any], tags: Sequence[str]) -> Weights:
    """Find the published weights, or download them. WeightsError where there are none, or that fails."""
    from open_clip.pretrained import _get_safe_alternatives, download_pretrained

    if not published:
        known = f"add one of its tags ({', '.join(f'/{tag}' for tag in tags)}), or " if tags else ""
        raise WeightsError(f"{name} says nothing of weights: {known}name your own with --weights FILE.")
    repository, _, file = published["hf_hub"].rpartition("/")
    file = file or "open_clip_pytorch_model.bin"
    files = [*_get_safe_alternatives(file), file]
    found = fetch(name, repository, files, lambda: download_pretrained(dict(published)))
    _fetch_vocabulary(name)
    return found


def _fetch_vocabulary(name: str) -> None:
    """Fetch what a text encoder needs beside its weights, where another library has it, and it is not here yet."""
    try:
        tokens(name, [""])
    except ModelError:
        import open_clip

        architecture = _parts(name)[0]
        try:
            open_clip.get_tokenizer(architecture)
            if described := (open_clip.get_model_config(architecture) or {})["text_cfg"].get("hf_model_name"):
                from transformers import AutoConfig

                AutoConfig.from_pretrained(described)
        except Exception as error:  # of several libraries; pictures are found without it
            reason = shortened((str(error).splitlines() or [type(error).__name__])[0])
            logger.warning("The vocabulary of %s cannot be fetched (%s): it reads no sentences here.", name, reason)


@contextlib.contextmanager
def _as_it_is_here(name: str) -> Iterator[None]:
    """Take what a text encoder needs beside its weights from the cache alone; ModelError where it is not there."""
    if has_own_tokens(_parts(name)[0]):
        yield
        return
    try:
        with without_hub():
            yield
    except (OSError, ValueError, ImportError) as error:
        reason = shortened((str(error).splitlines() or [type(error).__name__])[0])
        raise ModelError(
            f"{name} cannot read sentences here: its vocabulary, or what describes its text encoder, is not on this "
            f"machine ({reason}). `cbir models --download {name}` fetches it."
        ) from error
