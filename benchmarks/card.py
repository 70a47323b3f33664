"""The work of a graphics card, for a process of its own (`harness.Worker`): runs of cbir's, and networks alone.

Where there is no CUDA device all of it is done on the CPU, in float32: of use for trying the benchmark itself.
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import product
from cbir.backbones.backbone import describe
from cbir.backbones.network import LastMap, Network, PlaceMaps, Stages
from cbir.engines.precision import drawn_images
from cbir.engines.select import WORTH_CUDA
from cbir.engines.torch_engine import TorchEngine
from cbir.errors import ModelError
from cbir.index.store import Index
from cbir.utils.vectors import Floats, l2_normalize

#: Sides of the pictures whose maps are compared, and how many.
_MAPS = (4, 320)

#: Seconds that a network alone is timed for.
_SECONDS = 0.4

PRECISIONS = {"float32": torch.float32, "half": torch.float16, "bfloat16": torch.bfloat16}


class Likeness(NamedTuple):
    """How near arrays are to those of float32 on the CPU, one of each picture.

    Cosines, and the largest distance in units of the median distance of two pictures: untrained networks see all
    pictures alike, so that cosines say little of them.
    """

    worst: float
    mean: float
    distance: float


class Run(NamedTuple):
    """A run of `cbir index`: seconds, those in which the card had a network's work, batches, and MB of the card.

    These are what torch held of it at most beyond what lay there before.
    """

    seconds: float
    at_work: float
    batches: int
    reserved: float


def likenesses(name: str, weights: Path | None, count: int) -> dict[str, Likeness]:
    """Features and maps of the card against those of float32 on the CPU, where the network has such maps."""
    engine, network = _engine(name, weights), _built(name, weights)
    pictures, larger = drawn_images(count, describe(name, _named(weights)).preprocessing.crop), drawn_images(*_MAPS)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures)).numpy()
    found = {
        "features": _likeness(expected, engine.features(pictures)),
        "features, one at a time": _likeness(
            expected, np.concatenate([engine.features(one[np.newaxis]) for one in pictures])
        ),
    }
    kinds: dict[str, tuple[Callable[[Network], torch.nn.Module], Callable[[npt.NDArray[np.uint8]], Sequence[Floats]]]]
    kinds = {
        "stage": (Stages, engine.stages),
        "last map": (LastMap, lambda given: [engine.last_map(given)]),
        "place map": (PlaceMaps, engine.place_maps),
    }
    for kind, (make, run) in kinds.items():
        try:
            module = make(_copy(network))
        except ModelError:
            continue  # VGG16's features are no mean of a map
        with torch.inference_mode():
            maps = module(torch.from_numpy(larger))
        maps = [maps] if isinstance(maps, torch.Tensor) else maps
        for number, (one, other) in enumerate(zip(maps, run(larger), strict=True), start=1):
            found[f"{kind} {number}"] = _likeness(one.numpy(), other)
    return found


def index(
    folder: Path,
    directory: Path,
    name: str,
    weights: Path | None,
    *,
    batch: int | None = None,
    cores: int | None = None,
    parts: bool = False,
) -> Run:
    """Make an index, the engine being open, with another batch or on fewer cores if these are given."""
    engine = _engine(name, weights, sum(1 for _ in folder.iterdir()))
    usual, engine.batch = engine.batch, batch or engine.batch
    is_cuda = engine.device.type == "cuda"
    if is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if is_cuda else 0
    try:
        with _on(cores), _watched(engine) as at_work:
            seconds = product.index(folder, directory, name, weights, "torch", parts or None)
    finally:
        engine.batch = usual
    reserved = (torch.cuda.max_memory_reserved() - before) / 10**6 if is_cuda else 0.0
    each = at_work()
    return Run(seconds, sum(each), len(each), reserved)


def held_against(directory: Path, files: Sequence[Path], features: Floats) -> Likeness:
    """An index's features of some files against others of these."""
    stored = Index.open(directory)
    rows = {record.path: row for row, record in stored.records()}
    return _likeness(l2_normalize(features), stored.features([rows[path.name] for path in files]))


def alone(name: str, weights: Path | None, batch: int, precision: str, channels_last: bool, tuned: bool) -> float:
    """Pictures a second of a network whose pictures lie on the card; `tuned` lets cuDNN try its ways first."""
    engine = _engine(name, weights)
    network = _copy(_built(name, weights))
    network.headless.to(PRECISIONS[precision])
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(engine.device).to(memory_format=layout)
    crop = describe(name, _named(weights)).preprocessing.crop
    pictures = torch.randint(0, 256, (batch, crop, crop, 3), dtype=torch.uint8).to(engine.device)
    if not channels_last:  # as pictures lie that torchvision has preprocessed
        pictures = pictures.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    torch.backends.cudnn.benchmark = tuned
    try:
        with torch.inference_mode():
            for _ in range(3):
                network(pictures)
            _wait(engine.device)
            done, started = 0, time.perf_counter()
            while time.perf_counter() - started < _SECONDS:
                for _ in range(4):
                    network(pictures)
                _wait(engine.device)
                done += 4 * batch
            return done / (time.perf_counter() - started)
    finally:
        torch.backends.cudnn.benchmark = False


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _engine(name: str, weights: Path | None, pictures: int = WORTH_CUDA) -> TorchEngine:
    engine = product.opened(name, weights, "torch", pictures)
    assert isinstance(engine, TorchEngine)
    return engine


@contextlib.contextmanager
def _watched(engine: TorchEngine) -> Iterator[Callable[[], list[float]]]:
    """A function that tells, of each batch so far, the seconds from the network's first layer to its last."""
    is_cuda = engine.device.type == "cuda"
    marks: list[tuple[Any, Any]] = []
    begun: list[Any] = []

    def now() -> Any:
        if not is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def at_work() -> list[float]:
        _wait(engine.device)
        return [last - first if isinstance(first, float) else first.elapsed_time(last) / 1000 for first, last in marks]

    network = engine.network
    before = network.register_forward_pre_hook(lambda module, given: begun.append(now()))
    after = network.register_forward_hook(lambda module, given, output: marks.append((begun.pop(), now())))
    try:
        yield at_work
    finally:
        before.remove()
        after.remove()


@contextlib.contextmanager
def _on(cores: int | None) -> Iterator[None]:
    """What is started within this runs on so many cores only."""
    if cores is None:
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@cache
def _built(name: str, weights: Path | None) -> Network:
    """The network on the CPU in float32."""
    return describe(name, _named(weights)).build()


def _copy(network: Network) -> Network:
    return copy.deepcopy(network)


def _named(weights: Path | None) -> str | None:
    return str(weights) if weights else None


def _likeness(expected: Floats, found: Floats) -> Likeness:
    first, second = (each.reshape(len(each), -1).astype(np.float64) for each in (expected, found))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / lengths
    apart = np.linalg.norm(first - second, axis=1).max()
    others = [np.linalg.norm(first[i] - first[i - 1]) for i in range(len(first))]
    return Likeness(float(cosines.min()), float(cosines.mean()), float(apart / np.median(others)))
