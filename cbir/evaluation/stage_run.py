"""Measuring the stages of networks from what is wanted to what is told: pictures, networks, figures, drawings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cbir.errors import CbirError, ImageReadError, ModelError
from cbir.evaluation.across import Domains
from cbir.evaluation.by_stage import Chance, StageEvaluation, chance_of, evaluate_stage, seen_of
from cbir.evaluation.ground_truth import GroundTruth
from cbir.evaluation.runner import RECALL_AT
from cbir.evaluation.sources import Pictures
from cbir.evaluation.stages import Staged, look

if TYPE_CHECKING:
    from PIL import Image

    from cbir.evaluation.kept import Kept

logger = logging.getLogger("cbir")

#: Pictures that cannot be read and are named one by one.
_NAMED = 5

#: A function (items, total, what) that passes items on as they come: the place for a progress bar.
Watch = Callable[..., Iterator[Any]]


@dataclass(frozen=True)
class StageResult:
    """The measures of all stages of some networks, on `pictures` of which those in `domains` could be read.

    `chosen` are the queries of `truth` that were asked.
    """

    pictures: Pictures
    domains: Domains
    truth: GroundTruth
    chosen: GroundTruth
    evaluations: tuple[StageEvaluation, ...]
    chance: Chance

    @property
    def models(self) -> list[str]:
        """The networks, in order."""
        return list(dict.fromkeys(one.model for one in self.evaluations))

    def of(self, model: str) -> list[StageEvaluation]:
        """Return the stages of a network, fine to coarse, the feature last."""
        return [one for one in self.evaluations if one.model == model]

    def best_of(self, model: str) -> StageEvaluation:
        """Return the stage of a network that finds most across domains, by cosine; of equal ones the last."""
        return max(reversed(self.of(model)), key=lambda one: one.across.overall.average_precision)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "root": str(self.pictures.root),
            "pictures": int(np.count_nonzero(self.domains.domain_of >= 0)),
            "domains": list(self.domains.names),
            "classes": len(self.domains.classes),
            "queries": len(self.chosen.judgements),
            "queries_without_relevant": self.truth.without_relevant,
            "chance": self.chance.to_json(),
            "stages": [one.to_json() for one in self.evaluations],
        }


@dataclass(frozen=True)
class Drawn:
    """Pictures and what networks keep of them: the middle of each, by its number, and what each network draws of it."""

    originals: dict[int, Image.Image]
    kept: tuple[Kept, ...]


def measure_stages(
    pictures: Pictures,
    engine: str | None = None,
    *,
    sample: int | None = None,
    recall_at: Sequence[int] = RECALL_AT,
    watch: Watch = lambda items, *_, **__: items,
) -> StageResult:
    """Pass pictures through each network once, and measure each of its stages.

    Pictures that one network could not be shown are left out of all figures, and a line says so. CbirError where
    folders are no domains, or no picture can be read; what opening a network raises.
    """
    domains = Domains.of_paths(pictures.paths)
    if domains.left_out:
        logger.warning("%s of %s pictures lie in no class of a domain, and are left out.", *_counts(domains))
    staged = [look(backbone, pictures.files, engine, watch) for backbone in pictures.backbones]
    seen = np.logical_and.reduce([one.seen for one in staged])
    _tell_problems(staged)
    domains = seen_of(domains, seen)
    truth = domains.truth()
    if not truth.judgements:
        raise CbirError("Of the pictures that can be read, no class has any in two domains: nothing can be found.")
    chosen = truth if sample is None else truth.sample(sample)
    evaluations = [
        evaluate_stage(stage, domains, chosen, recall_at, watch) for network in staged for stage in network.stages
    ]
    return StageResult(pictures, domains, truth, chosen, tuple(evaluations), chance_of(domains, chosen))


def draw_kept(result: StageResult, count: int, watch: Watch = lambda items, *_, **__: items) -> Drawn:
    """Draw what each network's stages keep of `count` pictures. Networks that cannot be drawn by are told and left out.

    It needs torch.
    """
    from cbir.evaluation.kept import choose, invert, original

    files = result.pictures.files
    originals: dict[int, Image.Image] = {}
    for number in choose(result.domains, count):
        try:
            originals[number] = original(files[number])
        except ImageReadError as error:
            logger.warning("Nothing is drawn of a picture that cannot be read any more. %s", error)
    kept = []
    for backbone in result.pictures.backbones:
        try:
            kept.append(invert(backbone, originals, watch))
        except ModelError as error:
            logger.warning("Nothing is drawn by %s: %s", backbone.label, error)
    return Drawn(originals, tuple(kept))


def _counts(domains: Domains) -> tuple[str, str]:
    return f"{domains.left_out:,}", f"{len(domains.domain_of):,}"


def _tell_problems(staged: Sequence[Staged]) -> None:
    problems = {error.name: error for one in staged for error in one.problems}
    for error in list(problems.values())[:_NAMED]:
        logger.warning("  left out: %s", error)
    if len(problems) > _NAMED:
        logger.warning("  … and %s more", f"{len(problems) - _NAMED:,}")
