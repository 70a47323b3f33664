"""The toy network's text encoder in torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from cbir.backbones.weights import UNTRAINED_SEED
from cbir.utils.vectors import Floats


class BagOfWords(nn.Module):
    """An encoder whose feature of a text is the sum of its words' vectors, brought to `dimension` numbers.

    `forward` takes numbers of words, shape (n, length), 0 being none, and returns features, shape (n, dimension).
    Without weights it has seeded random ones.
    """

    def __init__(self, words: int, width: int, dimension: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(UNTRAINED_SEED)
            self.words = nn.Embedding(1 + words, width, padding_idx=0)
            self.out = nn.Linear(width, dimension, bias=False)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.out(self.words(numbers).sum(1))
        return features

    def load(self, state: Mapping[str, Floats]) -> None:
        """Take weights by their names."""
        self.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
