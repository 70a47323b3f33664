"""The page of `cbir evaluate`: the figures, the classes, and what the best and the worst queries found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cbir.evaluation.ground_truth import GroundTruth
from cbir.evaluation.metrics import Scores
from cbir.evaluation.runner import Evaluation, Watch, ranks_of
from cbir.evaluation.systems import RERANKED, System
from cbir.report.card import Card, Group
from cbir.report.page import write_page

if TYPE_CHECKING:
    from cbir.evaluation.across import AcrossEvaluation, Domains
    from cbir.evaluation.sources import Collection

#: Queries that are shown of the best and of the worst, and how many of their matches.
SHOWN, MATCHES = 8, 10

# Of one class: one of the best, since there many find everything, and some of the worst.
_OF_A_CLASS = {"best": 1, "worst": 3}


class EvaluationPage:
    """The part of a page beside the figures: the queries of one system, the re-ranked one if there is one."""

    def __init__(self) -> None:
        self._precisions: dict[str, list[float]] = {}
        self._system = ""
        self._best: list[Group] = []
        self._worst: list[Group] = []

    def noting(self, watch: Watch) -> Watch:
        """Return the same as `watch`, and the average precision of each query is kept."""

        def noted(scores: Iterator[Scores], total: int, name: str) -> Iterator[Scores]:
            kept = self._precisions[name] = []
            for one in watch(scores, total, name):
                kept.append(one.average_precision)
                yield one

        return noted

    def look(
        self, collection: Collection, truth: GroundTruth, systems: Sequence[System], method: str = RERANKED
    ) -> None:
        """Search once more by the best and the worst queries, while the features are still there.

        It is by the first of `systems` of that method.
        """
        system = next((one for one in systems if one.method == method), systems[0])
        self._system = system.name
        precisions = self._precisions[system.name]
        order = np.argsort(precisions, kind="stable").tolist()
        count = min(SHOWN, len(order) // 2)
        worst = _spread(order, truth, _OF_A_CLASS["worst"], count)
        best = _spread([one for one in reversed(order) if one not in worst], truth, _OF_A_CLASS["best"], count)
        self._best, self._worst = (
            [_group(collection, truth, system, one, precisions[one]) for one in some] for some in (best, worst)
        )

    def write(
        self,
        path: Path,
        collection: Collection,
        truth: GroundTruth,
        evaluations: Sequence[Evaluation],
        *,
        force: bool = False,
    ) -> None:
        """Write the page; CbirError where that cannot be."""
        overall = evaluations[0].overall
        classes = None if truth.classes is None else len(set(truth.classes))
        write_page(
            "evaluate.html",
            [*self._worst, *self._best],
            path,
            force=force,
            root=str(collection.root),
            pictures=len(collection.paths),
            classes=classes,
            queries=overall.queries,
            evaluations=evaluations,
            bars=_bars(evaluations),
            system=self._system,
            worst=self._worst,
            best=self._best,
        )

    def write_across(
        self,
        path: Path,
        collection: Collection,
        domains: Domains,
        evaluations: Sequence[AcrossEvaluation],
        *,
        force: bool = False,
    ) -> None:
        """Write the page of searches across domains; CbirError where that cannot be."""
        write_page(
            "evaluate_across.html",
            [*self._worst, *self._best],
            path,
            force=force,
            root=str(collection.root),
            pictures=len(collection.paths) - domains.left_out,
            domains=domains,
            queries=evaluations[0].overall.queries,
            evaluations=evaluations,
            system=self._system,
            worst=self._worst,
            best=self._best,
        )


def _spread(order: Sequence[int], truth: GroundTruth, most: int, count: int) -> list[int]:
    """Return the first `count` of `order`, but no more than `most` of a class while there are others."""
    of_class: Counter[Any] = Counter()
    chosen = []
    for one in order:
        name = None if truth.classes is None else truth.classes[truth.judgements[one].query]
        of_class[name] += 1
        if name is None or of_class[name] <= most:
            chosen.append(one)
            if len(chosen) == count:
                break
    for one in order:
        if len(chosen) == count:
            break
        if one not in chosen:
            chosen.append(one)
    return chosen


def _group(collection: Collection, truth: GroundTruth, system: System, number: int, precision: float) -> Group:
    """Return a query and its first matches, which are marked as right or wrong."""
    judgement = truth.judgements[number]
    ranking = next(iter(system.rankings([judgement.query])))
    left_out = {judgement.query, *judgement.ignored.tolist()}
    relevant = set(judgement.relevant.tolist())
    ranks, _ = ranks_of(judgement, ranking)
    found = []
    for item in ranking.tolist():
        if item not in left_out:
            found.append(item)
            if len(found) == MATCHES:
                break
    cards = [
        Card(collection.paths[item], collection.root / collection.paths[item], rank, mark=_mark(item in relevant))
        for rank, item in enumerate(found, start=1)
    ]
    name = collection.paths[judgement.query]
    among = int((ranks <= len(found)).sum())
    last = f"; the last of them has rank {int(ranks[-1]):,}" if among < len(ranks) else ""
    notes = [f"Average precision {precision:.3f}. {among} of {len(ranks):,} among the first {len(found)}{last}."]
    return Group(name, cards, [Card(name, collection.root / name)], notes=notes)


def _mark(is_relevant: bool) -> str:
    return "right" if is_relevant else "wrong"


def _bars(evaluations: Sequence[Evaluation]) -> list[tuple[str, int, list[float]]]:
    """Each class, how many queries it has, and its mean average precision by each system; the best class first."""
    place = next((number for number, one in enumerate(evaluations) if one.method == RERANKED), 0)
    rows = [
        (name, scores.queries, [one.classes[name].average_precision for one in evaluations])
        for name, scores in evaluations[0].classes.items()
    ]
    return sorted(rows, key=lambda row: -row[2][place])
