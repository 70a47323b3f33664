"""State dicts in torch: read from files, and loaded into networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from cbir.backbones.state_dict import no_state_dict, unsafe
from cbir.backbones.weights import check_fit


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, without running code that a file may carry; WeightsError where it is none.

    By torch itself, which reads what it published ten years ago, too.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle error, a zip error, EOFError, OSError: whatever a wrong file makes of it
        raise unsafe(path, error) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise no_state_dict(path)
    return {str(key): value for key, value in content.items()}


def fill(model: nn.Module, state: Mapping[str, torch.Tensor], *, network: str, origin: str, head: str) -> None:
    """Load `state` into `model`, every key and shape checked, but for the classifier under the prefix `head`.

    Features do not use the classifier, so weights that were fine-tuned to other classes fit as well. Raises
    WeightsError that names the first keys that are wrong.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items() if not key.startswith(head)}
    state = {key: value for key, value in state.items() if not key.startswith(head)}
    found = {key: tuple(value.shape) for key, value in state.items()}
    wanted = {key: shape for key, shape in own.items() if key in found or not key.endswith("num_batches_tracked")}
    is_finite = all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point())
    check_fit(found, wanted, is_finite=is_finite, network=network, origin=origin)
    model.load_state_dict(state, strict=False)
