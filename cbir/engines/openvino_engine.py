"""The CPU engine: the torch network converted once by OpenVINO, the compiled model kept in the user's cache.

From the second use on neither torch nor torchvision is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
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
        self._loading = threading.Lock()
        self._graphs: dict[str, _Requests] = {}
        self._choices = {graph: read_choice(self._choice_file(graph)) for graph in _LEAST_COSINES}
        compiled = self._load("features")
        # one more than are computed, so that the next is there when one is done
        self.depth = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1 if many else 1
        self._graphs["features"] = _Requests(compiled, self.depth)
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
        outputs = self._graphs["features"].start(pictures)
        return lambda: outputs()[0]

    def stages(self, pictures: Pictures) -> list[Features]:
        """See `engines.Engine.stages`."""
        return self._requests("stages", 1).start(pictures)()

    def last_map(self, pictures: Pictures) -> Features:
        """See `engines.Engine.last_map`."""
        return self._requests("last_map", 1).start(pictures)()[0]

    def place_maps(self, pictures: Pictures) -> tuple[Features, Features]:
        """See `engines.Engine.place_maps`."""
        return self.start_places(pictures)()

    def start_places(self, pictures: Pictures) -> Callable[[], tuple[Features, Features]]:
        """See `engines.Engine.start_places`."""
        outputs = self._requests("place_maps", self.depth).start(pictures)

        def finish() -> tuple[Features, Features]:
            coarse, fine = outputs()
            return coarse, fine

        return finish

    def _requests(self, graph: str, count: int) -> _Requests:
        """Return so many requests of `graph`, which is loaded now if it was not yet."""
        if graph not in self._graphs:
            with self._loading:
                if graph not in self._graphs:
                    self._graphs[graph] = _Requests(self._load(graph), count)
        return self._graphs[graph]

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


class _Requests:
    """The requests of one compiled network, for any number of threads and of batches under way.

    Where none is idle, whoever needs one waits for the oldest, and keeps its outputs for whoever began it. So it does
    not matter whether that one ever asks for them, and none waits for another who waits for it.
    """

    def __init__(self, compiled: openvino.CompiledModel, count: int) -> None:
        self._all = [_Request(compiled.create_infer_request()) for _ in range(count)]
        self._begun = 0
        self._turn = threading.Lock()  # to begin: those who need a request wait for one in the order of their coming

    def start(self, pictures: Pictures) -> Callable[[], list[Features]]:
        """Begin with a batch; what is returned waits for its outputs. RuntimeError where OpenVINO cannot."""
        with self._turn:
            request = min(self._all, key=lambda one: one.number)
            request.end()
            self._begun += 1
            return request.start(np.ascontiguousarray(pictures), self._begun)


class _Request:
    """A request, which has one batch at a time under way: the `number`th of its network, or none, 0.

    An interrupt may come anywhere: what was begun is then ended by the next who needs the request.
    """

    def __init__(self, request: openvino.InferRequest) -> None:
        self._request = request
        self._under_way: tuple[Future[list[Features]], Pictures] | None = None
        self._number = 0
        self._changing = threading.Lock()  # never held while the network computes

    @property
    def number(self) -> int:
        return self._number if self._under_way is not None else 0

    def start(self, pictures: Pictures, number: int) -> Callable[[], list[Features]]:
        batch: Future[list[Features]] = Future()
        with self._changing:
            self._number = number
            self._under_way = batch, pictures  # which the request reads from until it is done
            try:
                self._request.start_async([pictures], share_inputs=True)
            except Exception:
                self._under_way = None
                raise

        def finish() -> list[Features]:
            self._end(batch)
            return batch.result()

        return finish

    def end(self) -> None:
        """Wait until what is under way is done, if something is, and keep its outputs, or why there are none."""
        if (under_way := self._under_way) is not None:
            self._end(under_way[0])

    def _end(self, batch: Future[list[Features]]) -> None:
        if batch.done():
            return
        failure: Exception | None = None
        try:
            self._request.wait()
        except Exception as error:
            failure = error
        with self._changing:
            if batch.done():  # another thread was quicker
                return
            if failure is None:
                batch.set_result(_outputs(self._request))
            else:
                batch.set_exception(failure)
            self._under_way = None


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
