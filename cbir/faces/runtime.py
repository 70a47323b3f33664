"""The networks for faces on OpenVINO, compiled once and kept in the user's cache, or on torch."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cbir.engines.select import WORTH_CUDA, WORTH_STREAMS, engine_and_precision, has_cuda
from cbir.errors import CbirError, EngineError
from cbir.faces import mtcnn, resnet
from cbir.faces.layers import Build, Start
from cbir.faces.packages import OUTPUT, PROPOSAL, RECOGNITION, REFINEMENT, PackageFile
from cbir.utils.packages import check_torch, has_torch
from cbir.utils.workers import usable_cores

logger = logging.getLogger("cbir")

#: Counts changes of the graphs, so that compiled ones of older versions are not used any more.
GRAPH_VERSION = 1


@dataclass(frozen=True)
class Known:
    """A network for faces: its name, its weights, what makes it, and the shape of its images; -1 for any number."""

    name: str
    file: PackageFile
    network: Callable[[], Build]
    shape: Sequence[int]


PROPOSER = Known("face-proposals", PROPOSAL, mtcnn.proposal, (1, -1, -1, 3))
REFINER = Known("face-refinement", REFINEMENT, mtcnn.refinement, (-1, mtcnn.REFINED, mtcnn.REFINED, 3))
LAST = Known("face-output", OUTPUT, mtcnn.output, (-1, mtcnn.LAST, mtcnn.LAST, 3))
RECOGNISER = Known("face-recognition", RECOGNITION, resnet.network, (-1, resnet.SIDE, resnet.SIDE, 3))


class Runtime:
    """A runtime for networks of faces. `engine` and `expected` are as in `engines.select.open_engine`.

    Many pictures are computed in bfloat16 where the processor has it: distances are moved by .003 at most.
    """

    def __init__(self, *, engine: str | None = None, expected: int = 1) -> None:
        self._engine, self._insisted = engine_and_precision(engine)
        self._many = expected >= WORTH_STREAMS
        is_worth_it = expected >= WORTH_CUDA and self._insisted in (None, "f32")
        if self._engine == "auto" and is_worth_it and has_cuda() and has_torch() and _reaches_card():
            self._engine = "torch"
        elif self._engine == "torch":
            check_torch("Finding faces in torch", "OpenVINO does it")
            if self._insisted not in (None, "f32"):
                raise EngineError(f"torch computes networks for faces in f32, not in {self._insisted}.")

    def open(self, known: Known) -> Start:
        """Open a network."""
        if self._engine == "torch":
            return self._in_torch(known)
        try:
            return self._in_openvino(known)
        except (CbirError, MemoryError):
            raise
        except Exception as error:  # of OpenVINO, which raises nearly anything, or is not there
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            if self._engine == "openvino" or not has_torch():
                raise EngineError(f"OpenVINO cannot find faces here: {reason}.") from error
            logger.warning("OpenVINO cannot find faces here (%s); torch does it, more slowly.", reason)
            self._engine = "torch"
            return self._in_torch(known)

    def _in_torch(self, known: Known) -> Start:
        from cbir.faces.torch_layers import start

        return start(known.network())

    def _in_openvino(self, known: Known) -> Start:
        import openvino

        from cbir.engines.compiled import (
            check_precision,
            export_network,
            import_network,
            keep_content,
            kept_content,
            precisions,
            processor,
            settings,
        )
        from cbir.engines.precision import compiled_folder
        from cbir.engines.requests import Requests
        from cbir.faces.graph_layers import build
        from cbir.utils.openvino_core import compile_network, open_core

        core = open_core()
        if self._insisted is not None:
            check_precision(core, self._insisted)
        fast = "bf16" if self._many and "bf16" in precisions(core) else "f32"
        precision = self._insisted or fast
        hint = "THROUGHPUT" if self._many else "LATENCY"
        key = json.dumps(
            [known.file.sha256, GRAPH_VERSION, precision, hint, openvino.__version__, processor(core)],
        )
        file = compiled_folder() / f"{known.name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.blob"
        properties = settings(precision, hint)
        _ = known.file.path  # raises where the weights are gone, although they would not be read
        compiled = import_network(core, kept_content(file), properties)
        if compiled is None:
            logger.info("Preparing %s for this processor (once) …", known.name)
            compiled = compile_network(core, build(known.network(), known.shape), properties)
            keep_content(file, export_network(compiled))
        return Requests(compiled, usable_cores() + 1 if self._many else 1).start


def _reaches_card() -> bool:
    """Tell whether torch can compute on a card: there may be a driver and a torch without CUDA, or no memory left."""
    import torch

    try:
        return torch.cuda.is_available() and bool(torch.ones(1, device="cuda").item())
    except RuntimeError as error:
        logger.warning("The graphics card cannot find faces here (%s); the processor does it.", type(error).__name__)
        return False
