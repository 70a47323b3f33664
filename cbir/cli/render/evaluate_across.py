"""The output of `cbir evaluate --across`: measures in total and for each pair of domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column

if TYPE_CHECKING:
    from cbir.evaluation.across import AcrossEvaluation, Domains
    from cbir.evaluation.ground_truth import GroundTruth
    from cbir.evaluation.metrics import Scores
    from cbir.evaluation.sources import Collection

#: Pairs that the table shows, unless there are few more.
SHOWN = 100


def record(
    collection: Collection, domains: Domains, truth: GroundTruth, evaluations: Sequence[AcrossEvaluation]
) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    return {
        "root": str(collection.root),
        "pictures": len(collection.paths),
        "left_out": domains.left_out,
        "domains": list(domains.names),
        "classes": list(domains.classes),
        "queries": evaluations[0].overall.queries,
        "queries_without_relevant": truth.without_relevant,
        "systems": [evaluation.to_json() for evaluation in evaluations],
    }


def write_table(
    collection: Collection, domains: Domains, truth: GroundTruth, evaluations: Sequence[AcrossEvaluation]
) -> None:
    """Tell of each pair of domains, and of all together, for people."""
    queries, possible = evaluations[0].overall.queries, len(truth.judgements)
    of = f" of {possible:,}, drawn at random" if queries < possible else ""
    without = ""
    if truth.without_relevant:
        have = "has" if truth.without_relevant == 1 else "have"
        without = f" ({truth.without_relevant:,} more {have} nothing relevant)"
    output.say(
        f"{collection.root}: {len(collection.paths) - domains.left_out:,} pictures in {len(domains.classes):,} classes "
        f"of {len(domains.names):,} domains; {queries:,} {'query' if queries == 1 else 'queries'}{of}{without}"
    )
    output.say()
    _write_pairs(evaluations)
    overall = evaluations[0].overall
    output.say("All other domains together:")
    columns = [Column("system", cuts="end", least=16), Column("mAP", right=True, style={"bold": True})]
    columns += [Column(f"P@{rank}", right=True) for rank in overall.precision]
    columns += [Column(f"R@{rank}", right=True, optional=1) for rank in overall.recall]
    table.write(columns, [[one.name, *_figures(one.overall), *_recalls(one.overall)] for one in evaluations])


def _write_pairs(evaluations: Sequence[AcrossEvaluation]) -> None:
    one_model = len({evaluation.model for evaluation in evaluations}) == 1
    columns = [Column("queries", cuts="end", least=8), Column("answers", cuts="end", least=8)]
    columns += [Column("number", right=True, optional=1)]
    for evaluation in evaluations:
        columns.append(Column(evaluation.method if one_model else evaluation.name, right=True))
        columns += [Column(f"P@{rank}", right=True, optional=2) for rank in evaluation.overall.precision]
    pairs = list(evaluations[0].pairs)
    shown = pairs if len(pairs) <= SHOWN + SHOWN // 10 else pairs[:SHOWN]
    rows = []
    for pair in shown:
        figures = [figure for evaluation in evaluations for figure in _figures(evaluation.pairs[pair])]
        rows.append([*pair, f"{evaluations[0].pairs[pair].queries:,}", *figures])
    output.say("mAP and precision of the queries of one domain among the pictures of another:")
    table.write(columns, rows)
    if len(shown) < len(pairs):
        output.say(f"… and {len(pairs) - len(shown):,} more: --json and --format csv have all.")
    output.say()


def _figures(scores: Scores) -> list[str]:
    return [f"{value:.3f}" for value in (scores.average_precision, *scores.precision.values())]


def _recalls(scores: Scores) -> list[str]:
    return [f"{value:.3f}" for value in scores.recall.values()]


def write_separated(evaluations: Sequence[AcrossEvaluation], *, tabs: bool) -> None:
    """One line a system and pair of domains, those of all together, whose domains are empty, first."""
    overall = evaluations[0].overall
    header: list[Any] = ["system", "model", "method", "queries_of", "answers_of", "queries", "map"]
    header += [f"precision_at_{rank}" for rank in overall.precision] + [f"recall_at_{rank}" for rank in overall.recall]
    lines = [header]
    for evaluation in evaluations:
        found = evaluation.to_json()
        for one in ({"queries_of": "", "answers_of": "", **found}, *found["pairs"]):
            line = [evaluation.name, evaluation.model, evaluation.method, one["queries_of"], one["answers_of"]]
            line += [one["queries"], one["map"], *one["precision_at"].values(), *one["recall_at"].values()]
            lines.append(line)
    output.write_separated(lines, tabs=tabs)
