"""An engine: a backbone's network on a runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cbir.backbones.treatment import WITHOUT_EARLY_MAPS
from cbir.errors import ModelError

#: Images as a network takes them, shape (n, height, width, 3); normalisation belongs to the network.
Images = npt.NDArray[np.uint8]

Features = npt.NDArray[np.float32]

#: A text encoder on a runtime: computes features of n texts, shape (n, dimension), not normalised, whose cosines with
#: those of images compare. Any number of threads may call it.
TextEncoder = Callable[[Sequence[str]], Features]


class Engine(Protocol):
    """A network on a runtime. Any number of threads may call its methods.

    `description` names runtime, device and precision for people, `precision` the numbers that it computes features in:
    "f16", "bf16", "f32" or "f64". `batch` is how many images at a time suit it, `depth` how many batches under way.
    """

    description: str
    precision: str
    batch: int
    depth: int

    def start(self, images: Images) -> Callable[[], Features]:
        """Begin with a batch, and return at once; what is returned waits for its features (see `features`).

        It need not be called. Where more than `depth` batches are under way, this waits until the oldest is computed.
        """

    def features(self, images: Images) -> Features:
        """Compute features of images of the size of the backbone's crop: shape (n, dimension), not normalised."""
        return self.start(images)()

    def start_treated(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        """Begin with `treated`, and return at once; what is returned waits for them. As `start` else."""
        raise ModelError(WITHOUT_EARLY_MAPS)

    def treated(self, images: Images) -> tuple[Features, Features]:
        """Compute `features`, and in the same pass how images were treated: shape (n, numbers), not normalised.

        That is the mean and the deviation of each channel of two early maps, see `backbones.treatment`. ModelError
        where there are no such maps.
        """
        return self.start_treated(images)()

    def stages(self, images: Images) -> list[Features]:
        """Compute the maps before each change of resolution, fine to coarse: shapes (n, channels, rows, columns).

        The sides of `images` are multiples of 32. ModelError where there are fewer than two.
        """

    def last_map(self, images: Images) -> Features:
        """Compute the map whose mean over its rows and columns is the features: shape (n, dimension, rows, columns).

        The sides of `images` are multiples of 32. ModelError where the features are no such mean.
        """

    def start_places(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        """Begin with `place_maps`, and return at once; what is returned waits for them. As `start` else."""

    def place_maps(self, images: Images) -> tuple[Features, Features]:
        """Compute a coarse map (the last) and the stage just finer: shapes (n, channels, rows, columns).

        The sides of `images` are multiples of 32. ModelError where there are no such maps.
        """
        return self.start_places(images)()

    def start_pooled(self, images: Images) -> Callable[[], list[Features]]:
        """Begin with `pooled`, and return at once; what is returned waits for it. As `start` else."""

    def pooled(self, images: Images) -> list[Features]:
        """Compute the mean of each stage over its places, fine to coarse, and the features: shapes (n, channels).

        `images` are as for `features`, in one pass. ModelError where there are fewer than two stages.
        """
        return self.start_pooled(images)()


def two_of(outputs: Callable[[], list[Features]]) -> Callable[[], tuple[Features, Features]]:
    """Return what waits for outputs that are two, as a pair."""

    def finish() -> tuple[Features, Features]:
        one, other = outputs()
        return one, other

    return finish
