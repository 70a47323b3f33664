"""The CPU engine: the torch network converted once by OpenVINO, the compiled model kept in the user's cache.

From the second use on neither torch nor torchvision is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino

from cbir.backbones.backbone import Backbone
from cbir.engines import Features, Pictures
from cbir.engines.precision import (
    LEAST_COSINE,
    LEAST_COSINE_OF_MAPS,
    Choice,
    choose,
    compiled_folder,
    drawn_pictures,
    read_choice,
)
from cbir.utils.cache import keep, kept
from cbir.utils.vectors import l2_normalize

logger = logging.getLogger("cbir")

#: Counts changes of the converted graph, so that compiled models of older ones are not used any more.
GRAPH_VERSION = 2

# A compiled network: the largest of torchvision's has 5 GB.
_MOST_BYTES = 16 << 30

#: The largest batch. Larger ones gain nothing, and their maps do not fit into the processor's cache.
_MOST = 16

#: Graphs whose precision is measured, and how near float32 they must stay; the others are computed as features are.
_LEAST_COSINES = {"features": LEAST_COSINE, "place_maps": LEAST_COSINE_OF_MAPS}

#: Pictures that the maps of places are tried on, and their sides.
_LARGER = (4, 320)

#: Precisions that a processor may be good at, and how OpenVINO calls that.
_CAPABILITIES = {"bf16": "BF16", "f16": "FP16"}


class OpenVINOEngine:
    """A backbone compiled for this processor. Compiled models are made when they are first asked for.

    With `many`, several batches are computed side by side, each on a part of the cores: these then never wait for each
    other in the middle of a layer, also while pictures are decoded on them. A single batch is slower for it.
    """

    def __init__(self, backbone: Backbone, *, many: bool = False) -> None:
        self._backbone = backbone
        self._core = openvino.Core()
        self._capabilities = sorted(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        self._processor = f"{self._core.get_property('CPU', 'FULL_DEVICE_NAME')} {self._capabilities}"
        self._hint = "THROUGHPUT" if many else "LATENCY"
        self._stages: openvino.InferRequest | None = None
        self._last_map: openvino.InferRequest | None = None
        self._idle_places: list[openvino.InferRequest] | None = None
        self._choices = {graph: read_choice(self._choice_file(graph)) for graph in _LEAST_COSINES}
        compiled = self._load("features")
        # one more than are computed, so that the next is there when one is done
        self.depth = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1 if many else 1
        self._idle = [compiled.create_infer_request() for _ in range(self.depth)]
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]}, CPU, {self.precision}"

    @property
    def precision(self) -> str:
        """What the network is computed in: "f32", "bf16" or "f16"."""
        return self._precision_of("features")

    @property
    def batch(self) -> int:
        """How many pictures at a time suit it."""
        choice = self._choices["features"]
        return choice.batch if choice else _MOST

    def features(self, pictures: Pictures) -> Features:
        """See `engines.Engine.features`."""
        return self.start(pictures)()

    def start(self, pictures: Pictures) -> Callable[[], Features]:
        """See `engines.Engine.start`."""
        outputs = _started(self._idle, pictures)
        return lambda: outputs()[0]

    def stages(self, pictures: Pictures) -> list[Features]:
        """See `engines.Engine.stages`."""
        if self._stages is None:
            self._stages = self._load("stages").create_infer_request()
        self._stages.infer([np.ascontiguousarray(pictures)])
        return _outputs(self._stages)

    def last_map(self, pictures: Pictures) -> Features:
        """See `engines.Engine.last_map`."""
        if self._last_map is None:
            self._last_map = self._load("last_map").create_infer_request()
        self._last_map.infer([np.ascontiguousarray(pictures)])
        return _outputs(self._last_map)[0]

    def place_maps(self, pictures: Pictures) -> tuple[Features, Features]:
        """See `engines.Engine.place_maps`."""
        return self.start_places(pictures)()

    def start_places(self, pictures: Pictures) -> Callable[[], tuple[Features, Features]]:
        """See `engines.Engine.start_places`."""
        if self._idle_places is None:
            compiled = self._load("place_maps")
            self._idle_places = [compiled.create_infer_request() for _ in range(self.depth)]
        outputs = _started(self._idle_places, pictures)

        def finish() -> tuple[Features, Features]:
            coarse, fine = outputs()
            return coarse, fine

        return finish

    def _load(self, graph: str) -> openvino.CompiledModel:
        """The compiled model of `graph` (see `_convert`), from the cache where it is there and sound."""
        # of the others, the maps of one picture at a time are wanted
        hint = self._hint if graph in ("features", "place_maps") else "LATENCY"
        chosen_by = _chosen_by(graph)
        if self._choices[chosen_by] is not None:
            stored = kept(self._cache_file(graph), _MOST_BYTES) or b""
            blob = stored[32:]
            if hashlib.sha256(blob).digest() == stored[:32]:  # a damaged blob could crash the process
                with contextlib.suppress(RuntimeError):  # of no use any more: it is made anew
                    return self._core.import_model(blob, "CPU", _settings(self._precision_of(graph), hint))
        logger.info("Preparing %s for this processor (once) …", self._backbone.name)
        model = _convert(self._backbone, graph)
        if self._choices[chosen_by] is None:
            self._choices[chosen_by] = self._choose_precision(graph, model)
        compiled = self._core.compile_model(model, "CPU", _settings(self._precision_of(graph), hint))
        exported = compiled.export_model()
        made = exported if isinstance(exported, bytes) else exported.getvalue()
        path = self._cache_file(graph)
        try:
            keep(path, hashlib.sha256(made).digest(), made)
        except OSError as error:
            logger.warning("Cannot keep the prepared network in %s (%s); the next run prepares it again.", path, error)
        return compiled

    def _precision_of(self, graph: str) -> str:
        choice = self._choices[_chosen_by(graph)]
        return choice.precision if choice else "f32"

    def _choose_precision(self, graph: str, model: openvino.Model) -> Choice:
        """The precision for `model`, the graph of that name, measured in all that this processor has, and noted."""
        tried = ["f32", *(name for name, known_as in _CAPABILITIES.items() if known_as in self._capabilities)]

        def runner(name: str) -> Callable[[Pictures], Features]:
            request = self._core.compile_model(model, "CPU", _settings(name, "LATENCY")).create_infer_request()

            def run(pictures: Pictures) -> Features:
                request.infer([pictures])
                outputs = (l2_normalize(output.reshape(len(pictures), -1)) for output in _outputs(request))
                return np.concatenate(list(outputs), axis=1)

            return run

        run = {name: runner(name) for name in tried}
        pictures = drawn_pictures(*((_MOST, self._backbone.preprocessing.crop) if graph == "features" else _LARGER))
        choice = choose(run, pictures, _LEAST_COSINES[graph])
        with contextlib.suppress(OSError):  # what cannot be kept is told where the compiled model is
            keep(self._choice_file(graph), json.dumps(choice.to_json()).encode("ascii"))
        logger.debug("Tried on this processor: %s", choice)
        return choice

    def _choice_file(self, graph: str = "features") -> Path:
        what = "precision" if graph == "features" else f"{graph}-precision"
        return _cache_path(self._backbone, what, [self._processor], "json")

    def _cache_file(self, graph: str) -> Path:
        """Where the compiled model lies: named by all that goes into it."""
        return _cache_path(self._backbone, graph, [self._processor, self._precision_of(graph)], "blob")


def _chosen_by(graph: str) -> str:
    """The graph by which the precision of `graph` is chosen."""
    return graph if graph in _LEAST_COSINES else "features"


def _settings(precision: str, hint: str) -> dict[str, str]:
    return {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": hint}


def _started(idle: list[openvino.InferRequest], pictures: Pictures) -> Callable[[], list[Features]]:
    """Begin with a request of `idle`; what is returned waits for its outputs, and gives it back."""
    request = idle.pop()
    given = np.ascontiguousarray(pictures)
    request.start_async([given], share_inputs=True)

    def finish() -> list[Features]:
        assert given is not None  # the request reads from it until it is done
        request.wait()
        found = _outputs(request)
        idle.append(request)
        return found

    return finish


def _outputs(request: openvino.InferRequest) -> list[Features]:
    outputs = range(len(request.model_outputs))
    # copies: the request's own arrays are overwritten by the next call
    return [np.array(request.get_output_tensor(i).data, dtype=np.float32) for i in outputs]


def _cache_path(backbone: Backbone, what: str, runtime: list[str], suffix: str) -> Path:
    preprocessing = backbone.preprocessing
    picture = [preprocessing.crop, preprocessing.mean, preprocessing.std]
    key = json.dumps([backbone.weights.identity, picture, GRAPH_VERSION, openvino.__version__, *runtime])
    digest = hashlib.sha256(key.encode()).hexdigest()[:20]
    return compiled_folder() / f"{backbone.name}-{what}-{digest}.{suffix}"


def _convert(backbone: Backbone, graph: str) -> openvino.Model:
    """The torch network as an OpenVINO model that takes any number of pictures.

    `graph` says what of it: "features", "stages", "last_map" or "place_maps", as the methods of an engine are called.

    Goes through OpenVINO's PyTorch front end and not through `openvino.convert_model`, which reports its use to
    the maker.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from cbir.backbones.network import LastMap, PlaceMaps, Stages

    network = backbone.build()
    makers: dict[str, Callable[[], torch.nn.Module]] = {
        "features": lambda: network,
        "stages": lambda: Stages(network),
        "last_map": lambda: LastMap(network),
        "place_maps": lambda: PlaceMaps(network),
    }
    module, side = makers[graph](), backbone.preprocessing.crop if graph == "features" else 256
    example = torch.full((1, side, side, 3), 127, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that tracing will go one day; OpenVINO's decoder needs it
        decoder = TorchScriptPythonDecoder(module, example_input=(example,))
        front_end = FrontEndManager().load_by_framework("pytorch")
        model = front_end.convert(front_end.load(decoder))
    sides = [side, side] if graph == "features" else [-1, -1]
    model.reshape({model.inputs[0]: openvino.PartialShape([-1, *sides, 3])})
    # the constants still live in torch's memory: the compiled model must own them before the decoder goes
    model.decoder = decoder
    return model
