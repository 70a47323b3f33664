"""The CPU engine: a network built for OpenVINO or converted from torch once, and kept compiled in the user's cache.

From the second use on neither torch nor torchvision is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

from cbir.backbones.backbone import Backbone
from cbir.backbones.families import OF_CROPS
from cbir.backbones.names import file_name
from cbir.engines.compiled import (
    check_precision,
    export_network,
    from_torch,
    import_network,
    keep_content,
    kept_content,
    precisions,
    processor,
    settings,
)
from cbir.engines.engine import Engine, Features, Images, two_of
from cbir.engines.precision import (
    Choice,
    Trial,
    choose,
    compiled_folder,
    drawn_images,
    read_choice,
)
from cbir.engines.requests import Requests, outputs_of
from cbir.utils.cache import keep
from cbir.utils.openvino_core import compile_network, open_core
from cbir.utils.vectors import l2_normalize

if TYPE_CHECKING:
    import torch

    from cbir.backbones.network import Network

logger = logging.getLogger("cbir")

#: Counts changes of the converted graph, so that compiled models of older ones are not used any more.
GRAPH_VERSION = 4

#: The largest batch. Larger ones gain nothing, and their maps do not fit into the processor's cache.
_MOST = 16

#: Graphs whose precision is measured, and when one is near enough to float32.
_IS_ENOUGH: dict[str, Callable[[Trial], bool]] = {
    "features": lambda trial: trial.finds_the_same,
    "place_maps": lambda trial: trial.keeps_maps,
}

#: Graphs that several batches are computed of side by side.
_MANY = (*OF_CROPS, "place_maps")

#: Images that features are tried on: each has 31 others to be near to.
_TRIED = 32

#: Images that the maps of places are tried on, and their sides.
_LARGER = (4, 320)


class OpenVINOEngine(Engine):
    """An engine that compiles a backbone for this processor, graph by graph as they are asked for.

    With `many`, several batches are computed side by side, each on a part of the cores: these then never wait for each
    other in the middle of a layer, also while pictures are decoded on them. A single batch is slower for it. Images are
    computed in the `precision` of that name, by default the fastest in which searches find the same; EngineError where
    this processor has it not. With `tries` that is found out if it was not yet; without, such images are in float32.
    """

    def __init__(
        self, backbone: Backbone, *, many: bool = False, precision: str | None = None, tries: bool = True
    ) -> None:
        self._backbone = backbone
        self._core = open_core()
        self._precisions = precisions(self._core)
        if precision is not None:
            check_precision(self._core, precision)
        self._insisted = precision
        self._processor = processor(self._core)
        self._hint = "THROUGHPUT" if many else "LATENCY"
        self._tries = tries
        self._loading = threading.Lock()
        self._graphs: dict[str, Requests] = {}
        self._choices = {graph: read_choice(self._choice_file(graph)) for graph in _IS_ENOUGH}
        compiled = self._load("features")
        # one more than are computed, so that the next is there when one is done
        self.depth = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1 if many else 1
        self._graphs["features"] = Requests(compiled, self.depth)
        choice = self._choices["features"]
        self.precision, self.batch = self._precision_of("features"), choice.batch if choice else _MOST
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]}, CPU, {self.precision}"

    def start(self, images: Images) -> Callable[[], Features]:
        outputs = self._graphs["features"].start(images)
        return lambda: outputs()[0]

    def start_treated(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        return two_of(self._requests("treated", self.depth).start(images))

    def stages(self, images: Images) -> list[Features]:
        return self._requests("stages", 1).start(images)()

    def last_map(self, images: Images) -> Features:
        return self._requests("last_map", 1).start(images)()[0]

    def start_places(self, images: Images) -> Callable[[], tuple[Features, Features]]:
        return two_of(self._requests("place_maps", self.depth).start(images))

    def start_pooled(self, images: Images) -> Callable[[], list[Features]]:
        return self._requests("pooled", self.depth).start(images)

    def _requests(self, graph: str, count: int) -> Requests:
        """Return so many requests of `graph`, which is loaded now if it was not yet."""
        if graph not in self._graphs:
            with self._loading:
                if graph not in self._graphs:
                    self._graphs[graph] = Requests(self._load(graph), count)
        return self._graphs[graph]

    def _load(self, graph: str) -> openvino.CompiledModel:
        """Load the compiled model of `graph`, as of `_convert`, from the cache where it is there and sound."""
        # of the others, the maps of one image at a time are wanted
        hint = self._hint if graph in _MANY else "LATENCY"
        chosen_by = _chosen_by(graph)
        is_untried = self._tries and self._choices[chosen_by] is None
        if not is_untried:
            properties = settings(self._precision_of(graph), hint)
            found = import_network(self._core, kept_content(self._cache_file(graph)), properties)
            if found is not None:
                return found
        logger.info("Preparing %s for this processor (once) …", self._backbone.name)
        model = graph_of(self._backbone, graph)
        if is_untried:
            self._choices[chosen_by] = self._choose_precision(graph, model)
        compiled = compile_network(self._core, model, settings(self._precision_of(graph), hint))
        keep_content(self._cache_file(graph), export_network(compiled))
        return compiled

    def _precision_of(self, graph: str) -> str:
        choice = self._choices[_chosen_by(graph)]
        if self._insisted is not None:
            return self._insisted
        if choice is None:
            return "f32"  # not tried yet
        # means over all places are compared as features are, and features the same ones, whatever comes with them
        return choice.precision if graph in (*_IS_ENOUGH, *OF_CROPS) else choice.exact

    def _choose_precision(self, graph: str, model: openvino.Model) -> Choice:
        """Measure the precisions of this processor with `model`, the graph of that name, and note the choice."""

        def runner(name: str) -> Callable[[Images], Features]:
            request = compile_network(self._core, model, settings(name, "LATENCY")).create_infer_request()

            def run(images: Images) -> Features:
                request.infer([images])
                outputs = (l2_normalize(output.reshape(len(images), -1)) for output in outputs_of(request))
                return np.concatenate(list(outputs), axis=1)

            return run

        run = {name: partial(runner, name) for name in self._precisions}
        images = drawn_images(*((_TRIED, self._backbone.preprocessing.crop) if graph == "features" else _LARGER))
        choice = choose(run, images, _IS_ENOUGH[graph])
        with contextlib.suppress(OSError):  # what cannot be kept is told where the compiled model is
            keep(self._choice_file(graph), json.dumps(choice.to_json()).encode("ascii"))
        logger.debug("Tried on this processor: %s", choice)
        return choice

    def _choice_file(self, graph: str = "features") -> Path:
        what = "precision" if graph == "features" else f"{graph}-precision"
        return _cache_path(self._backbone, what, [self._processor], "json")

    def _cache_file(self, graph: str) -> Path:
        """Name the file of the compiled model by all that goes into it."""
        return _cache_path(self._backbone, graph, [self._processor, self._precision_of(graph)], "blob")


class OpenVINOText:
    """The text encoder of a backbone, converted from torch once and kept compiled, in float32: texts are short."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        core = open_core()
        file, properties = _cache_path(backbone, "text", [processor(core)], "blob"), settings("f32", "LATENCY")
        compiled = import_network(core, kept_content(file), properties)
        if compiled is None:
            logger.info("Preparing the text encoder of %s for this processor (once) …", backbone.name)
            compiled = compile_network(core, _convert_text(backbone), properties)
            keep_content(file, export_network(compiled))
        self._requests = Requests(compiled, 1)

    def __call__(self, texts: Sequence[str]) -> Features:
        return self._requests.start(self._backbone.tokens(texts))()[0]


def _chosen_by(graph: str) -> str:
    """Return the graph by which the precision of `graph` is chosen."""
    return graph if graph in _IS_ENOUGH else "features"


def _cache_path(backbone: Backbone, what: str, runtime: list[str], suffix: str) -> Path:
    preprocessing = backbone.preprocessing
    picture = [preprocessing.crop, preprocessing.mean, preprocessing.std]
    key = json.dumps([backbone.weights.identity, picture, GRAPH_VERSION, openvino.__version__, *runtime])
    digest = hashlib.sha256(key.encode()).hexdigest()[:20]
    return compiled_folder() / f"{file_name(backbone.name)}-{what}-{digest}.{suffix}"


def graph_of(backbone: Backbone, graph: str) -> openvino.Model:
    """Return a graph of one network, as of `Backbone.build_graph`, converted from torch where need be."""
    return backbone.build_graph(graph) or _convert(backbone, graph)


def _convert(backbone: Backbone, graph: str) -> openvino.Model:
    """Convert the torch network to an OpenVINO model that takes any number of images.

    `graph` says what of it: "features", "stages", "last_map", "place_maps", "pooled" or "treated", as the methods of an
    engine.
    """
    module, example, shape = _traced(backbone, graph)
    return from_torch(module, example, shape)


def _traced(backbone: Backbone, graph: str) -> tuple[torch.nn.Module, torch.Tensor, list[int]]:
    """Build what `graph` is converted from, an input to trace it with, and the shape of inputs: -1 for any number."""
    import torch

    from cbir.backbones.network import LastMap, PlaceMaps, Pooled, Stages, Treated

    makers: dict[str, Callable[[Network], torch.nn.Module]] = {
        "features": lambda network: network,
        "pooled": Pooled,
        "treated": Treated,
        "stages": Stages,
        "last_map": LastMap,
        "place_maps": PlaceMaps,
    }
    module = makers[graph](backbone.build())
    side = backbone.preprocessing.crop
    # no square where sizes differ: a network of patches leaves out of a trace of its own size what resamples positions
    height, width, sides = (side, side, side) if graph in OF_CROPS else (256, 192, -1)
    return module, torch.full((1, height, width, 3), 127, dtype=torch.uint8), [-1, sides, sides, 3]


def _convert_text(backbone: Backbone) -> openvino.Model:
    """Convert the text encoder to an OpenVINO model that takes any number of texts, as tokens."""
    import torch

    tokens = backbone.tokens([""])
    return from_torch(backbone.build_text().eval(), torch.from_numpy(tokens), [-1, tokens.shape[1]])
