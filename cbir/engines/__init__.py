"""The runtimes that carry a backbone's network out, and the choice between them.

An engine takes uint8 pictures of shape (n, height, width, 3); normalisation belongs to its network.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from cbir.backbones.backbone import Backbone
from cbir.errors import CbirError, EngineError

if TYPE_CHECKING:
    from cbir.engines.torch_engine import TorchEngine

logger = logging.getLogger("cbir")

# `import openvino` alone reports to its maker, from a process that it forks, and keeps an identity in ~/intel. Where
# this package of its is missing it does not, so it is missing for this process.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

Pictures = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]

#: From this many pictures on, the two seconds that importing torch takes are won back by a GPU.
WORTH_CUDA = 64

#: From this many pictures on, a CPU does several batches side by side, each on some of its cores.
WORTH_STREAMS = 16

NAMES = ("auto", "openvino", "torch")


class Engine(Protocol):
    """A network on a runtime.

    `description` names runtime, device and precision for people; `batch` is how many pictures at a time suit it, and
    `depth` how many batches under way. Any number of threads may call its methods.
    """

    description: str
    depth: int

    @property
    def batch(self) -> int:
        """See above."""

    def start(self, pictures: Pictures) -> Callable[[], Features]:
        """Begin with a batch, and return at once; what is returned waits for its features (see `features`).

        It need not be called. Where more than `depth` batches are under way, this waits until the oldest is computed.
        """

    def features(self, pictures: Pictures) -> Features:
        """Features of `pictures`, which have the size of the backbone's crop: shape (n, dimension), not normalised."""

    def stages(self, pictures: Pictures) -> list[Features]:
        """Maps before each change of resolution, fine to coarse: shapes (n, channels, rows, columns).

        The sides of `pictures` are multiples of 32.
        """

    def last_map(self, pictures: Pictures) -> Features:
        """The map whose mean over its rows and columns is the features: shape (n, dimension, rows, columns).

        The sides of `pictures` are multiples of 32. ModelError where the features are no such mean.
        """

    def place_maps(self, pictures: Pictures) -> tuple[Features, Features]:
        """In one pass, a coarse map (the last) and the stage just finer: shapes (n, channels, rows, columns).

        The sides of `pictures` are multiples of 32. ModelError where there are no such maps.
        """

    def start_places(self, pictures: Pictures) -> Callable[[], tuple[Features, Features]]:
        """Begin with `place_maps`, and return at once; what is returned waits for them. As `start` else."""


def open_engine(backbone: Backbone, *, engine: str | None = None, pictures: int = 1) -> Engine:
    """The best engine here for `backbone` and about that many `pictures`.

    `engine` is one of NAMES (default: `$CBIR_ENGINE`, else "auto"). "auto" takes torch where there is a CUDA
    device and enough to do, else OpenVINO; where the device fails, OpenVINO does the work, where OpenVINO is missing or
    fails, torch, and a line says so. "openvino" and "torch" insist.
    """
    engine = engine or os.environ.get("CBIR_ENGINE") or "auto"
    if engine not in NAMES:
        raise EngineError(f"There is no engine {engine!r}: choose from {', '.join(NAMES)}.")
    if engine == "torch":
        return _torch_engine(backbone)
    if engine == "auto" and pictures >= WORTH_CUDA and has_cuda():
        try:
            on_torch = _torch_engine(backbone)
            if on_torch.device.type == "cuda":  # a driver may be there, and a torch without CUDA
                on_torch.try_out()
                return on_torch
        except RuntimeError as error:  # its memory is taken by others, or it is too old for this torch
            reason = _first_line(error)
            logger.warning("The graphics card cannot run %s here (%s); the processor does it.", backbone.name, reason)
    try:
        from cbir.engines.openvino_engine import OpenVINOEngine

        return OpenVINOEngine(backbone, many=pictures >= WORTH_STREAMS)
    except CbirError:
        raise  # of weights, not of OpenVINO: torch would fail alike
    except Exception as error:
        if engine == "openvino":
            raise EngineError(f"OpenVINO cannot run {backbone.name} here: {_first_line(error)}.") from error
        logger.warning(
            "OpenVINO cannot run %s here (%s); torch does it, more slowly.", backbone.name, _first_line(error)
        )
        return _torch_engine(backbone)


def has_cuda() -> bool:
    """Whether there seems to be a CUDA device, without importing torch; `CUDA_VISIBLE_DEVICES` is respected."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return False
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll").exists()
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def _torch_engine(backbone: Backbone) -> TorchEngine:
    from cbir.engines.torch_engine import TorchEngine

    return TorchEngine(backbone)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
