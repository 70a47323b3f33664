"""State dicts in torch: read from files, and loaded into networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from cbir.backbones.state_dict import no_state_dict, unsafe
from cbir.backbones.weights import check_fit
from cbir.utils.opening import open_regular

# Bytes before the description that a safetensors file begins with, which tell how long that is.
_LENGTH = 8


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, without running code that a file may carry; WeightsError where it is none.

    By torch itself, which reads what it published ten years ago, too, or by safetensors.
    """
    try:
        with open_regular(path) as file:
            is_safetensors = file.read(_LENGTH + 1)[_LENGTH:] == b"{"
        if is_safetensors:
            from safetensors.torch import load_file

            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle error, a zip error, EOFError, OSError: whatever a wrong file makes of it
        raise unsafe(path, error) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise no_state_dict(path)
    return {str(key): value for key, value in content.items()}


def fill(
    model: nn.Module, state: Mapping[str, torch.Tensor], *, network: str, origin: str, head: str | None = None
) -> None:
    """Load `state` into `model`, every key and shape checked, but for the classifier under the prefix `head`, if any.

    Features do not use the classifier, so weights that were fine-tuned to other classes fit as well. Raises
    WeightsError that names the first keys that are wrong.
    """

    def counts(key: str) -> bool:
        return head is None or not key.startswith(head)

    own = {key: tuple(value.shape) for key, value in model.state_dict().items() if counts(key)}
    state = {key: value for key, value in state.items() if counts(key)}
    found = {key: tuple(value.shape) for key, value in state.items()}
    wanted = {key: shape for key, shape in own.items() if key in found or not key.endswith("num_batches_tracked")}
    is_finite = all(bool(value.isfinite().all()) for value in state.values() if value.is_floating_point())
    check_fit(found, wanted, is_finite=is_finite, network=network, origin=origin)
    model.load_state_dict(state, strict=False)
