"""Point 25: which stage of networks finds the same class across domains, on the paintings, cartoons, photos and
sketches of `shared/pacs`; what all stages cost beside the feature alone.

Untrained networks are a control: what they find is by colours and lines alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.harness import Settings
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import Backbone, describe
from cbir.backbones.catalog import BUNDLED
from cbir.engines.lazy import LazyEngine
from cbir.evaluation.across import Domains
from cbir.evaluation.by_stage import StageEvaluation, evaluate_stage, seen_of
from cbir.evaluation.sources import Pictures, Wanted, open_pictures
from cbir.evaluation.stage_run import StageResult, measure_stages
from cbir.evaluation.stages import look


def run(settings: Settings) -> Iterator[Result]:
    """Measure each stage of each network that is here."""
    folder = settings.shared / "pacs"
    if not folder.is_dir():
        yield noted(25, "stages", 0, "pictures", f"{folder} is not there: stages are not measured")
        return
    pictures = replace(open_pictures(Wanted(folder, models=[BUNDLED])), backbones=_networks(settings))
    result = measure_stages(pictures)
    chance = result.chance
    details = f"within a domain {chance.within_average_precision:.3f}, own domain first {chance.own_domain:.2f}"
    yield noted(25, "by chance, across domains: mAP", chance.average_precision, "", details)
    for model in result.models:
        yield from _of_network(result, model)
    yield from _halves(pictures)
    yield from _cost()


def _networks(settings: Settings) -> list[Backbone]:
    """The networks whose weights are here, and others with random ones."""
    squeezenet = settings.shared / "weights" / "squeezenet1_0.pth"
    trained = [describe(BUNDLED), *([describe("squeezenet1_0", str(squeezenet))] if squeezenet.is_file() else [])]
    return [*trained, *(describe(name, "untrained") for name in settings.pick((BUNDLED, "resnet50"), ()))]


def _of_network(result: StageResult, model: str) -> Iterator[Result]:
    for one in result.of(model):
        yield noted(25, f"{model}, {one.name}: mAP", one.across.overall.average_precision, "", _told(one))
    best = result.best_of(model)
    pairs = {f"{of} > {to}": scores.average_precision for (of, to), scores in best.across.pairs.items()}
    pairs |= {f"{name} > {name}": scores.average_precision for name, scores in best.within.items()}
    told = "; ".join(f"{pair} {value:.2f}" for pair, value in sorted(pairs.items()))
    yield noted(25, f"{model}: the stage that finds most", best.stage or len(result.of(model)), "", told, raw=pairs)


def _told(one: StageEvaluation) -> str:
    inside = one.inside
    assert inside is not None
    return (
        f"P@1 {one.across.overall.precision[1]:.3f}; less means {one.less.overall.average_precision:.3f}, P@1 "
        f"{one.less.overall.precision[1]:.3f}; within {inside.average_precision:.3f}; own domain first "
        f"{one.own_domain:.2f}"
    )


def _halves(pictures: Pictures) -> Iterator[Result]:
    """Ask each half of the pictures for the stages' order, which chance would not make the same."""
    domains = Domains.of_paths(pictures.paths)
    staged = look(describe(BUNDLED), pictures.files)
    figures = []
    for half in range(2):
        own = seen_of(domains, staged.seen & (np.arange(len(pictures.paths)) % 2 == half))
        found = [evaluate_stage(stage, own, own.truth()) for stage in staged.stages]
        figures.append([one.across.overall.average_precision for one in found])
    # the feature is so near to the last stage that halves may differ about these two
    orders = [np.argsort(its[:-1], kind="stable").tolist() for its in figures]
    told = " and ".join(" ".join(f"{value:.4f}" for value in its) for its in figures)
    details = f"mAP of the stages, fine to coarse, the feature last: {told}"
    yield noted(25, "stages in the same order by each half of the pictures", float(orders[0] == orders[1]), "", details)


def _cost() -> Iterator[Result]:
    """Measure the time of the network on images in memory, with all stages and without."""
    engine = LazyEngine(describe(BUNDLED), expected=1000).opened()
    images = np.random.default_rng(1).integers(0, 256, (engine.batch, 224, 224, 3), dtype=np.uint8)
    seconds: dict[str, list[float]] = {"features": [], "pooled": []}
    for _ in range(30):
        for name, its in seconds.items():
            began = time.process_time()
            getattr(engine, name)(images)
            its.append(time.process_time() - began)
    ratio = min(seconds["pooled"]) / min(seconds["features"])
    yield measured("stages-cost", ratio, f"batches of {engine.batch} in {engine.precision}", raw=seconds)
