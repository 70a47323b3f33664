"""The choice of the engine that suits a backbone, this machine, and how much there is to do."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cbir.backbones.backbone import Backbone
from cbir.backbones.catalog import FAKES
from cbir.engines.engine import Engine, TextEncoder
from cbir.errors import CbirError, EngineError
from cbir.utils.packages import check_torch, has_torch

if TYPE_CHECKING:
    from cbir.engines.torch_engine import TorchEngine

logger = logging.getLogger("cbir")

Opened = TypeVar("Opened")

#: From so many images on, the two seconds that importing torch takes are won back by a GPU.
WORTH_CUDA = 64

#: From so many images on, a CPU does several batches side by side, each on some of its cores.
WORTH_STREAMS = 16

#: From so many images on, precisions of a network that is ready within a second are tried: that takes as long as some
#: hundred images in float32. Others have to be converted first, which takes longer than trying them.
WORTH_TRIAL = 256

NAMES = ("auto", "openvino", "torch")

#: Numbers that images may be computed in.
PRECISIONS = ("auto", "f32", "bf16", "f16")


def open_engine(backbone: Backbone, *, engine: str | None = None, expected: int = 1) -> Engine:
    """Open the best engine here for `backbone`, one network on one view, and about `expected` images.

    `LazyEngine` opens those of several.
    `engine` is one of NAMES (default: `$CBIR_ENGINE`, else "auto"), and may end in a precision, ":f32", say, of
    PRECISIONS (default: `$CBIR_PRECISION`, else "auto", the fastest in which searches find the same). "auto" takes
    torch where there is a CUDA device and enough to do, else OpenVINO; where the device fails, OpenVINO does the work,
    where OpenVINO is missing or fails, torch, and a line says so. "openvino" and "torch" insist, and so does a
    precision.
    """
    engine, precision = engine_and_precision(engine)
    if backbone.name in FAKES:
        if engine != "auto":
            raise EngineError(f"The network {backbone.name} is none for {engine}: leave --engine or $CBIR_ENGINE out.")
        from cbir.engines.fake import FakeEngine

        return FakeEngine(backbone)
    if engine == "torch":
        return _torch_engine(backbone, precision)
    if engine == "auto" and expected >= WORTH_CUDA and backbone.runs_in_torch and has_cuda() and has_torch():
        try:
            on_torch = _torch_engine(backbone, precision)
            if on_torch.device.type == "cuda":  # a driver may be there, and a torch without CUDA
                on_torch.try_out()
                return on_torch
        except (RuntimeError, EngineError) as error:  # its memory is taken by others, or it is too old for this torch
            reason = _first_line(error)
            logger.warning("The graphics card cannot run %s here (%s); the processor does it.", backbone.name, reason)

    def on_openvino() -> Engine:
        from cbir.engines.openvino_engine import OpenVINOEngine

        tries = expected >= WORTH_TRIAL or not backbone.has_graph
        return OpenVINOEngine(backbone, many=expected >= WORTH_STREAMS, precision=precision, tries=tries)

    return _openvino_or_torch(backbone, engine, on_openvino, lambda: _torch_engine(backbone, precision))


def open_text_encoder(backbone: Backbone, *, engine: str | None = None) -> TextEncoder:
    """Open the text encoder of one network, without its images' part; `engine` as in `open_engine`.

    "auto" takes OpenVINO, as texts are few and short. ModelError where the network knows images only.
    """
    backbone.check_text()
    engine, _ = engine_and_precision(engine)

    def on_openvino() -> TextEncoder:
        from cbir.engines.openvino_engine import OpenVINOText

        return OpenVINOText(backbone)

    def on_torch() -> TextEncoder:
        check_torch("The engine torch")
        from cbir.engines.torch_engine import TorchText

        return TorchText(backbone)

    return on_torch() if engine == "torch" else _openvino_or_torch(backbone, engine, on_openvino, on_torch)


def _openvino_or_torch(
    backbone: Backbone, engine: str, on_openvino: Callable[[], Opened], on_torch: Callable[[], Opened]
) -> Opened:
    """Open something of a backbone on OpenVINO or, where that is missing or fails and nobody insists, on torch."""
    try:
        return on_openvino()
    except (CbirError, MemoryError):
        raise  # of weights or of room, not of OpenVINO: torch would fail alike
    except Exception as error:
        if engine == "openvino" or not backbone.runs_in_torch or not has_torch():
            raise EngineError(f"OpenVINO cannot run {backbone.name} here: {_first_line(error)}.") from error
        logger.warning(
            "OpenVINO cannot run %s here (%s); torch does it, more slowly.", backbone.name, _first_line(error)
        )
        return on_torch()


def engine_and_precision(engine: str | None) -> tuple[str, str | None]:
    """Return what `engine` asks for, as of `open_engine`: one of NAMES, and a precision unless that is "auto"."""
    engine, _, ending = (engine or "").partition(":")
    engine = engine or os.environ.get("CBIR_ENGINE") or "auto"
    if engine not in NAMES:
        raise EngineError(f"There is no engine {engine!r}: choose from {', '.join(NAMES)}.")
    numbers = ending or os.environ.get("CBIR_PRECISION") or "auto"
    if numbers not in PRECISIONS:
        raise EngineError(f"There is no precision {numbers!r}: choose from {', '.join(PRECISIONS)}.")
    return engine, None if numbers == "auto" else numbers


def has_cuda() -> bool:
    """Tell whether there seems to be a CUDA device, without importing torch; `CUDA_VISIBLE_DEVICES` is respected."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return False
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll").exists()
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def _torch_engine(backbone: Backbone, precision: str | None) -> TorchEngine:
    check_torch("The engine torch")
    from cbir.engines.torch_engine import TorchEngine

    return TorchEngine(backbone, precision)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
