"""Networks compiled by OpenVINO, as files of the cache, and networks converted from torch."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import openvino

from cbir.errors import EngineError
from cbir.utils.cache import keep, kept
from cbir.utils.room import check_room

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("cbir")

# A compiled network: the largest of torchvision's has 5 GB.
_MOST_BYTES = 16 << 30

# Address space that a network takes besides its file.
_ROOM = 64 << 20

# Precisions that a processor may be good at, and how OpenVINO calls that.
_CAPABILITIES = {"bf16": "BF16", "f16": "FP16"}


def settings(precision: str, hint: str) -> dict[str, str]:
    """Return the properties to compile with; `hint` is "LATENCY" or "THROUGHPUT"."""
    return {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": hint}


def precisions(core: openvino.Core) -> list[str]:
    """List the precisions that this processor computes in, "f32" first."""
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["f32", *(name for name, known_as in _CAPABILITIES.items() if known_as in capabilities)]


def check_precision(core: openvino.Core, precision: str) -> None:
    """Raise EngineError where this processor does not compute in `precision`."""
    if precision not in (there := precisions(core)):
        raise EngineError(
            f"This processor does not compute in {precision} with OpenVINO, only in {' and '.join(there)}."
        )


def processor(core: openvino.Core) -> str:
    """Describe this processor by all that a compiled network depends on."""
    capabilities = sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} {capabilities}"


def kept_content(path: Path) -> bytes:
    """Read what `keep_content` wrote; nothing where it is not there or damaged, which could crash the process."""
    stored = kept(path, _MOST_BYTES) or b""
    content = stored[32:]
    return content if hashlib.sha256(content).digest() == stored[:32] else b""


def keep_content(path: Path, *parts: bytes) -> None:
    """Write a file of the cache with its checksum; a line says so where that cannot be."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    try:
        keep(path, digest.digest(), *parts)
    except OSError as error:
        logger.warning("Cannot keep the prepared network in %s (%s); the next run prepares it again.", path, error)


def import_network(core: openvino.Core, blob: bytes, properties: dict[str, str]) -> openvino.CompiledModel | None:
    """Load a network that `export_network` wrote; None where there is none, or it is of no use any more.

    MemoryError where the process may not have enough for it.
    """
    if blob:
        check_room(_ROOM + len(blob))
        with contextlib.suppress(RuntimeError):
            return core.import_model(blob, "CPU", properties)
    return None


def export_network(compiled: openvino.CompiledModel) -> bytes:
    """Return a compiled network as bytes. MemoryError where there is not enough for them."""
    exported = compiled.export_model()
    try:
        return exported if isinstance(exported, bytes) else bytes(exported.getvalue())
    except ValueError as error:  # OpenVINO closes what it could not write to the end
        raise MemoryError from error


@contextlib.contextmanager
def _plain_attention(mha: ModuleType) -> Iterator[None]:
    """Let torch compute attention step by step: whether it takes its short cut may differ between two traces."""
    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)


def from_torch(module: torch.nn.Module, example: torch.Tensor, shape: list[int]) -> openvino.Model:
    """Convert a torch network, traced on `example`, to a graph that takes inputs of `shape`: -1 for any number.

    Goes through OpenVINO's PyTorch front end and not through `openvino.convert_model`, which reports its use to
    the maker.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), _plain_attention(torch.backends.mha):
        warnings.simplefilter("ignore")  # torch announces that tracing will go one day; OpenVINO's decoder needs it
        decoder = TorchScriptPythonDecoder(module, example_input=(example,))
        front_end = FrontEndManager().load_by_framework("pytorch")
        model = front_end.convert(front_end.load(decoder))
    model.reshape({model.inputs[0]: openvino.PartialShape(shape)})
    # the constants still live in torch's memory: the compiled model must own them before the decoder goes
    model.decoder = decoder
    return model
