"""Evaluating systems: every query through each of them, and the means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbir.evaluation.ground_truth import GroundTruth, Items, Judgement
from cbir.evaluation.metrics import Scores, mean, score
from cbir.evaluation.systems import TIMED, Cost, System, Timing

#: The ranks at which recall is told, unless others are asked for.
RECALL_AT = (10, 100)

#: Queries whose exact neighbours are compared with what candidates bring.
RECALLED = 1000

#: The queries' scores as they come, how many there will be, and the system's name, to the scores: for a progress bar.
Watch = Callable[[Iterator[Scores], int, str], Iterator[Scores]]


@dataclass(frozen=True)
class Evaluation:
    """The measures that one system reached: over all queries, and in each class where there are classes."""

    name: str
    model: str
    method: str
    overall: Scores
    classes: dict[str, Scores]
    timing: Timing
    candidates_recall: float | None
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation for `--json`."""
        candidates, recall = self.timing.candidates, self.candidates_recall
        return {
            "system": self.name,
            "model": self.model,
            "method": self.method,
            **self.overall.to_json(),
            "query_ms": round(self.timing.milliseconds, 3),
            "shortlist_ms": None if candidates is None else round(candidates, 3),
            "shortlist_recall_at_10": None if recall is None else round(recall, 4),
            "network_ms": None if self.cost.network_ms is None else round(self.cost.network_ms, 2),
            "feature_bytes": self.cost.feature_bytes,
            "classes": [{"class": name, **scores.to_json()} for name, scores in self.classes.items()],
        }


def evaluate(
    system: System,
    truth: GroundTruth,
    recall_at: Sequence[int] = RECALL_AT,
    watch: Watch = lambda scores, total, name: scores,
) -> Evaluation:
    """Rank all pictures by each query of `truth`, of which there is at least one, and measure."""
    queries = [judgement.query for judgement in truth.judgements]
    # before the long part: it also finds out about damage
    timing = system.timing(_spread(queries, TIMED))
    scores = list(watch(_scores(system, truth.judgements, recall_at), len(queries), system.name))
    classes: dict[str, list[Scores]] = defaultdict(list)
    if truth.classes is not None:
        for query, one in zip(queries, scores, strict=True):
            classes[truth.classes[query]].append(one)
    return Evaluation(
        system.name,
        system.model,
        system.method,
        mean(scores),
        {name: mean(classes[name]) for name in sorted(classes)},
        timing,
        system.candidates_recall(_spread(queries, RECALLED)),
        system.cost(),
    )


def _scores(system: System, judgements: Sequence[Judgement], recall_at: Sequence[int]) -> Iterator[Scores]:
    rankings = system.rankings([judgement.query for judgement in judgements])
    for judgement, ranking in zip(judgements, rankings, strict=True):
        ranks, ranked = ranks_of(judgement, ranking)
        yield score(ranks, ranked, recall_at)


def ranks_of(judgement: Judgement, ranking: Items) -> tuple[Items, int]:
    """Return the ranks of the relevant pictures, from 1, and how many pictures are ranked.

    The query and what the judgement ignores is taken out of `ranking`, which has every picture once, first.
    """
    kept = np.ones(len(ranking), dtype=np.bool_)
    kept[judgement.ignored] = False
    kept[judgement.query] = False
    relevant = np.zeros(len(ranking), dtype=np.bool_)
    relevant[judgement.relevant] = True
    counted = relevant[ranking[kept[ranking]]]
    return np.flatnonzero(counted) + 1, len(counted)


def _spread(queries: Sequence[int], count: int) -> Sequence[int]:
    """Pick at most `count` of the queries, from all over."""
    places = np.unique(np.linspace(0, len(queries) - 1, min(count, len(queries))).round().astype(int))
    return [queries[place] for place in places]
