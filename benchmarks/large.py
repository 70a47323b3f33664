"""Point 2: pictures of 12 megapixels: the rate against the plain loop, and features against those of a full decode."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import pictures, plain, product
from benchmarks.extraction import Job, compare, weights_of
from benchmarks.harness import Settings, Worker
from benchmarks.machine import gpu
from benchmarks.results import Result, measured, noted


def run(settings: Settings) -> Iterator[Result]:
    """ResNet50 for the rate; EfficientNet-Lite0, whose weights are real, for the features."""
    files = pictures.large(settings.work, settings.pick(96, 36))
    drawings = files[: pictures.LARGE_DRAWINGS]
    name = "resnet50"
    engine = "openvino" if gpu() is not None else None
    weights, scratch = weights_of(settings, name), settings.scratch / "large"
    rates = compare(Job(name, weights, files, settings.pick(8, 6), scratch, settings.pick(3, 2), engine))
    yield measured("large-rate", rates.pair.ratio, rates.details, seconds_a_picture=rates.pair.to_json())
    share = rates.cbir / rates.ideal
    yield noted(2, "resnet50, 12 megapixels: cbir's rate against the ideal", share, "times", ideals=rates.ideals)
    with Worker() as worker:
        ours = worker.call(product.features, plain.LITE, None, drawings)
        full = worker.call(product.features_of_full_decode, plain.LITE, drawings)
    cosines = (ours * full).sum(axis=1)
    details = f"{len(drawings)} pictures, {plain.LITE}"
    yield measured("large-mean", cosines.mean(), details, cosines=cosines.tolist())
    yield measured("large-worst", cosines.min(), f"{drawings[int(cosines.argmin())].name} of these")
