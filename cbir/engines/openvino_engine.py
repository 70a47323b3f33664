"""The CPU engine: the torch network converted once by OpenVINO, the compiled model kept in the user's cache.

From the second use on neither torch nor torchvision is imported.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import openvino
import platformdirs

from cbir.backbones.registry import Backbone
from cbir.engines import Features, Pictures

logger = logging.getLogger("cbir")

#: Counts changes of the converted graph, so that compiled models of older ones are not used any more.
GRAPH_VERSION = 1

# What keeps features within cosine 0.999 of float32's on each image, as measured; a network that is not listed
# stays in float32. EfficientNet-Lite's depthwise layers lose too much in bf16 (0.990 at worst).
_PRECISION = {"efficientnet_lite0": "f16", "resnet50": "bf16", "vgg16": "bf16"}
_CAPABILITY = {"f16": "FP16", "bf16": "BF16"}


class OpenVINOEngine:
    """A backbone compiled for this processor. Compiled models are made when they are first asked for."""

    batch = 16

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._core = openvino.Core()
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        wanted = _PRECISION.get(backbone.name, "f32")
        self._precision = wanted if _CAPABILITY.get(wanted) in capabilities else "f32"
        self._processor = f"{self._core.get_property('CPU', 'FULL_DEVICE_NAME')} {sorted(capabilities)}"
        self._requests: dict[str, openvino.InferRequest] = {}
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]}, CPU, {self._precision}"
        self._request("features")

    def features(self, pictures: Pictures) -> Features:
        """See `engines.Engine.features`."""
        return self._infer("features", pictures)[0]

    def stages(self, pictures: Pictures) -> list[Features]:
        """See `engines.Engine.stages`."""
        return self._infer("stages", pictures)

    def _infer(self, graph: str, pictures: Pictures) -> list[Features]:
        request = self._request(graph)
        request.infer([np.ascontiguousarray(pictures)])
        outputs = range(len(request.model_outputs))
        # copies: the request's own arrays are overwritten by the next call
        return [np.array(request.get_output_tensor(i).data, dtype=np.float32) for i in outputs]

    def _request(self, graph: str) -> openvino.InferRequest:
        if graph not in self._requests:
            self._requests[graph] = self._compile(graph).create_infer_request()
        return self._requests[graph]

    def _compile(self, graph: str) -> openvino.CompiledModel:
        """The compiled model of `graph` ("features" or "stages"), from the cache where it is there and sound."""
        # one stream over all cores: pictures come in batches, one after another
        settings = {"INFERENCE_PRECISION_HINT": self._precision, "PERFORMANCE_HINT": "LATENCY"}
        path = self._cache_file(graph)
        try:
            with path.open("rb") as file:
                digest, blob = file.read(32), file.read()
            if hashlib.sha256(blob).digest() == digest:  # a damaged blob could crash the process
                return self._core.import_model(blob, "CPU", settings)
        except (OSError, RuntimeError):
            pass  # not there yet, or of no use any more: it is made anew
        logger.info("Preparing %s for this processor (once) …", self._backbone.name)
        compiled = self._core.compile_model(_convert(self._backbone, graph), "CPU", settings)
        exported = compiled.export_model()
        _write_blob(path, exported if isinstance(exported, bytes) else exported.getvalue())
        return compiled

    def _cache_file(self, graph: str) -> Path:
        """Where the compiled model lies: named by all that goes into it."""
        preprocessing = self._backbone.preprocessing
        picture = [preprocessing.crop, preprocessing.mean, preprocessing.std]
        runtime = [GRAPH_VERSION, openvino.__version__, self._processor, self._precision]
        key = json.dumps([self._backbone.weights.identity, picture, runtime])
        digest = hashlib.sha256(key.encode()).hexdigest()[:20]
        return platformdirs.user_cache_path("cbir") / "compiled" / f"{self._backbone.name}-{graph}-{digest}.blob"


def _write_blob(path: Path, blob: bytes) -> None:
    """Keep a compiled model, after its SHA-256; a cache that cannot be written only costs time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                file.write(hashlib.sha256(blob).digest())
                file.write(blob)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        logger.warning("Cannot keep the prepared network in %s (%s); the next run prepares it again.", path, error)


def _convert(backbone: Backbone, graph: str) -> openvino.Model:
    """The torch network as an OpenVINO model that takes any number of pictures.

    Goes through OpenVINO's PyTorch front end and not through `openvino.convert_model`, which reports its use to
    the maker.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from cbir.backbones.network import Stages

    network = backbone.build()
    module, side = (network, backbone.preprocessing.crop) if graph == "features" else (Stages(network), 256)
    example = torch.full((1, side, side, 3), 127, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that tracing will go one day; OpenVINO's decoder needs it
        decoder = TorchScriptPythonDecoder(module, example_input=(example,))
        front_end = FrontEndManager().load_by_framework("pytorch")
        model = front_end.convert(front_end.load(decoder))
    sides = [-1, -1] if graph == "stages" else [side, side]
    model.reshape({model.inputs[0]: openvino.PartialShape([-1, *sides, 3])})
    # the constants still live in torch's memory: the compiled model must own them before the decoder goes
    model.decoder = decoder
    return model
