"""Measures of the stages of networks: how well what each sees finds a class across domains, and within one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from cbir.evaluation.across import AcrossEvaluation, Domains, evaluate_across, less_means
from cbir.evaluation.ground_truth import GroundTruth, Items, Judgement
from cbir.evaluation.metrics import Scores, mean, score
from cbir.evaluation.runner import RECALL_AT, Watch, ranks_of
from cbir.evaluation.stages import Stage, name_of
from cbir.evaluation.systems import LESS_MEANS, ClassicalSystem
from cbir.utils.vectors import Floats, l2_normalize


@dataclass(frozen=True)
class StageEvaluation:
    """The measures that one stage of a network reached; `stage` is its number, None that of the feature.

    `across` is by cosine, `less` with the mean of each domain taken off before. `within` ranks a query's own domain
    alone, by cosine, by the domains' names; a domain whose queries have no other picture of their class there is
    missing. `own_domain` is the share of queries whose nearest picture of all is of their own domain.
    """

    model: str
    stage: int | None
    channels: int
    precision: str
    across: AcrossEvaluation
    less: AcrossEvaluation
    within: dict[str, Scores]
    own_domain: float

    @property
    def name(self) -> str:
        """The stage's name for people, without the network's."""
        return name_of(self.stage)

    @property
    def inside(self) -> Scores | None:
        """The means over the queries of all domains, within them; None where there are none."""
        return mean_of(self.within)

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation for `--json`."""
        inside = self.inside
        return {
            "model": self.model,
            "stage": self.stage,
            "channels": self.channels,
            "precision": self.precision,
            "across": _record(self.across),
            "less_means": _record(self.less),
            "within": None if inside is None else inside.to_json(),
            "domains": [{"domain": name, **scores.to_json()} for name, scores in self.within.items()],
            "nearest_of_own_domain": round(self.own_domain, 4),
        }


@dataclass(frozen=True)
class Chance:
    """The means that rankings by chance would reach, of the measures of the same names."""

    average_precision: float
    precision: float
    within_average_precision: float | None
    own_domain: float

    def to_json(self) -> dict[str, float | None]:
        """Return them for `--json`."""
        within = self.within_average_precision
        return {
            "map": round(self.average_precision, 4),
            "precision_at_1": round(self.precision, 4),
            "within_map": None if within is None else round(within, 4),
            "nearest_of_own_domain": round(self.own_domain, 4),
        }


def seen_of(domains: Domains, seen: Items) -> Domains:
    """Return the domains of the pictures that were `seen`, True or False of each; the others are in none."""
    domain_of, class_of = (np.where(seen, one, -1) for one in (domains.domain_of, domains.class_of))
    return Domains(domains.names, domains.classes, domain_of, class_of)


def evaluate_stage(
    stage: Stage,
    domains: Domains,
    truth: GroundTruth,
    recall_at: Sequence[int] = RECALL_AT,
    watch: Watch = lambda scores, total, name: scores,
) -> StageEvaluation:
    """Measure a stage by the queries of `truth`, of which there is at least one, as `evaluate_across` does a system."""
    system = _System(stage, l2_normalize(stage.vectors), domains=domains, recall_at=recall_at)
    across = evaluate_across(system, domains, truth, recall_at, watch)
    less_system = _System(stage, less_means(stage.vectors, domains), LESS_MEANS)
    less = evaluate_across(less_system, domains, truth, recall_at, watch)
    within = {name: mean(system.within[name]) for name in sorted(system.within)}
    channels, own = stage.vectors.shape[1], fmean(system.own_first)
    return StageEvaluation(stage.model, stage.number, channels, stage.precision, across, less, within, own)


def chance_of(domains: Domains, truth: GroundTruth) -> Chance:
    """Compute what rankings by chance would reach by the queries of `truth`."""
    sizes = np.bincount(domains.domain_of[domains.domain_of >= 0], minlength=len(domains.names))
    across, precisions, within, own = [], [], [], []
    for judgement in truth.judgements:
        domain = int(domains.domain_of[judgement.query])
        others, beside = int(sizes.sum() - sizes[domain]), int(sizes[domain]) - 1
        across.append(_by_chance(len(judgement.relevant), others))
        precisions.append(len(judgement.relevant) / others)
        own.append(beside / (others + beside))
        alike = len(domains.judgement(judgement.query, domain).relevant) - 1
        if alike:
            within.append(_by_chance(alike, beside))
    return Chance(fmean(across), fmean(precisions), fmean(within) if within else None, fmean(own))


def mean_of(within: dict[str, Scores]) -> Scores | None:
    """Return the means over the queries of several domains, each query counting alike; None without domains."""
    if not within:
        return None
    listed = list(within.values())
    weights = [one.queries for one in listed]

    def weighted(values: Sequence[float]) -> float:
        return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)

    return Scores(
        sum(weights),
        weighted([one.average_precision for one in listed]),
        {rank: weighted([one.precision[rank] for one in listed]) for rank in listed[0].precision},
        {rank: weighted([one.recall[rank] for one in listed]) for rank in listed[0].recall},
    )


class _System(ClassicalSystem):
    """Ranks by the vectors of a stage and, with `domains`, notes what the rankings say within them."""

    def __init__(
        self,
        stage: Stage,
        vectors: Floats,
        less: str | None = None,
        *,
        domains: Domains | None = None,
        recall_at: Sequence[int] = RECALL_AT,
    ) -> None:
        super().__init__(stage.model, vectors, less)
        self.name = f"{stage.model} {stage.name}"
        self.within: dict[str, list[Scores]] = defaultdict(list)
        self.own_first: list[bool] = []
        self._domains, self._recall_at = domains, recall_at

    def rankings(self, queries: Sequence[int]) -> Iterator[Items]:
        """Rank by cosine; equal ones in the order of pictures."""
        for query, ranking in zip(queries, super().rankings(queries), strict=True):
            if self._domains is not None:
                self._note(self._domains, query, ranking)
            yield ranking

    def _note(self, domains: Domains, query: int, ranking: Items) -> None:
        own = int(domains.domain_of[query])
        judgement = domains.judgement(query, own)
        alike = judgement.relevant[judgement.relevant != query]
        if len(alike):
            ranks, ranked = ranks_of(Judgement(query, alike, judgement.ignored), ranking)
            self.within[domains.names[own]].append(score(ranks, ranked, self._recall_at))
        # pictures of no domain are no answers
        domain_of = domains.domain_of[ranking[ranking != query]]
        self.own_first.append(bool(domain_of[domain_of >= 0][0] == own))


def _record(evaluation: AcrossEvaluation) -> dict[str, Any]:
    record = evaluation.to_json()
    return {name: value for name, value in record.items() if name not in ("system", "model", "method")}


def _by_chance(relevant: int, ranked: int) -> float:
    """Return the mean of the average precision over all orders of so many pictures, of which some are relevant."""
    harmonic = float((1 / np.arange(1, ranked + 1)).sum())
    others = (relevant - 1) / (ranked - 1) * (ranked - harmonic) if ranked > 1 else 0.0
    return (harmonic + others) / ranked
