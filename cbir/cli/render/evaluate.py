"""The output of `cbir evaluate`: measures of searches as tables, lines and records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column

if TYPE_CHECKING:
    from cbir.evaluation.ground_truth import GroundTruth
    from cbir.evaluation.metrics import Scores
    from cbir.evaluation.runner import Evaluation
    from cbir.evaluation.sources import Collection

#: Classes that the table shows, unless there are few more.
SHOWN = 100


def record(
    collection: Collection, truth: GroundTruth, file: Path | None, evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    return {
        "root": str(collection.root),
        "pictures": len(collection.paths),
        "ground_truth": "folders" if file is None else str(file),
        "classes": None if truth.classes is None else len(set(truth.classes)),
        "queries": evaluations[0].overall.queries,
        "queries_without_relevant": truth.without_relevant,
        "systems": [evaluation.to_json() for evaluation in evaluations],
    }


def write_table(collection: Collection, truth: GroundTruth, evaluations: Sequence[Evaluation]) -> None:
    classes = f" in {len(set(truth.classes)):,} classes" if truth.classes is not None else ""
    queries, possible = evaluations[0].overall.queries, len(truth.judgements)
    of = f" of {possible:,}, drawn at random" if queries < possible else ""
    without = ""
    if truth.without_relevant:
        have = "has" if truth.without_relevant == 1 else "have"
        without = f" ({truth.without_relevant:,} more {have} nothing relevant)"
    asked = f"{queries:,} {'query' if queries == 1 else 'queries'}{of}{without}"
    output.say(f"{collection.root}: {len(collection.paths):,} pictures{classes}; {asked}")
    output.say()
    _write_classes(evaluations)
    overall = evaluations[0].overall
    several = len({evaluation.model for evaluation in evaluations}) > 1
    header = ["system", "mAP", *(f"P@{rank}" for rank in overall.precision), *(f"R@{rank}" for rank in overall.recall)]
    rows = []
    for one in evaluations:
        speed = [_milliseconds(one.timing.milliseconds), *(_cost(one) if several else []), _candidates(one)]
        rows.append([one.name, *_figures(one.overall), *speed])
    columns = [Column("system", cuts="end", least=16), Column("mAP", right=True, style={"bold": True})]
    columns += [Column(name, right=True, optional=2 * (name[0] == "R")) for name in header[2:]]
    costs = ("network", "bytes") if several else ()
    columns += [Column("ms", right=True), *(Column(name, right=True, optional=1) for name in costs)]
    columns += [Column("shortlist", cuts="end", least=16, optional=1)]
    table.write(columns, rows)


def _write_classes(evaluations: Sequence[Evaluation]) -> None:
    names = list(evaluations[0].classes)
    if not names:
        return
    one = len({evaluation.model for evaluation in evaluations}) == 1
    header = ["class", "queries", *(evaluation.method if one else evaluation.name for evaluation in evaluations)]
    rows = [
        [
            name,
            f"{evaluations[0].classes[name].queries:,}",
            *(f"{evaluation.classes[name].average_precision:.3f}" for evaluation in evaluations),
        ]
        for name in (names if len(names) <= SHOWN + SHOWN // 10 else names[:SHOWN])
    ]
    output.say("mAP of each class:")
    columns = [Column("class", cuts="end", least=16), *(Column(name, right=True) for name in header[1:])]
    table.write(columns, rows)
    if len(rows) < len(names):
        output.say(f"… and {len(names) - len(rows):,} more: --json and --format csv have all.")
    output.say()


def _figures(scores: Scores) -> list[str]:
    return [f"{value:.3f}" for value in (scores.average_precision, *scores.precision.values(), *scores.recall.values())]


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _cost(one: Evaluation) -> list[str]:
    network, size = one.cost.network_ms, one.cost.feature_bytes
    return ["" if network is None else f"{_milliseconds(network)} ms", "" if size is None else f"{size:,}"]


def _candidates(evaluation: Evaluation) -> str:
    if evaluation.timing.candidates is None or evaluation.candidates_recall is None:
        return "exact"
    return f"{_milliseconds(evaluation.timing.candidates)} ms, recall at 10 {evaluation.candidates_recall:.3f}"


def write_separated(evaluations: Sequence[Evaluation], *, tabs: bool) -> None:
    """One line a system and class, those of all queries, whose class is empty, before those of its classes."""
    overall = evaluations[0].overall
    header: list[Any] = ["system", "model", "method", "class", "queries", "map"]
    header += [f"precision_at_{rank}" for rank in overall.precision] + [f"recall_at_{rank}" for rank in overall.recall]
    costs = ["query_ms", "shortlist_ms", "shortlist_recall_at_10", "network_ms", "feature_bytes"]
    lines = [header + costs]
    for evaluation in evaluations:
        record = evaluation.to_json()
        for scores in ({"class": "", **record}, *record["classes"]):
            line = [evaluation.name, evaluation.model, evaluation.method, scores["class"], scores["queries"]]
            line += [scores["map"], *scores["precision_at"].values(), *scores["recall_at"].values()]
            lines.append(line + ["" if scores["class"] else record[key] for key in costs])
    output.write_separated(lines, tabs=tabs)
