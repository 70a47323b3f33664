"""The output of `cbir evaluate --stages`: what the stages of networks find across domains."""

from __future__ import annotations

from typing import Any

from cbir.cli.terminal import output, table
from cbir.cli.terminal.table import Column
from cbir.evaluation.across import AcrossEvaluation
from cbir.evaluation.by_stage import StageEvaluation
from cbir.evaluation.metrics import Scores
from cbir.evaluation.stage_run import StageResult


def write(result: StageResult, format_: str) -> None:
    """Write the measures in the format that is asked for."""
    if format_ == "json":
        output.write_json(result.to_json())
    elif format_ == "table":
        write_table(result)
    else:
        write_separated(result, tabs=format_ == "tsv")


def write_table(result: StageResult) -> None:
    """Tell of each stage, of chance, and of each network's best stage by pairs of domains, for people."""
    seen, domains = result.to_json()["pictures"], result.domains
    possible, asked = len(result.truth.judgements), len(result.chosen.judgements)
    of = f" of {possible:,}, drawn at random" if asked < possible else ""
    without = result.truth.without_relevant
    more = f" ({without:,} more {'has' if without == 1 else 'have'} nothing relevant)" if without else ""
    output.say(
        f"{result.pictures.root}: {seen:,} pictures of {len(domains.classes):,} classes in {len(domains.names):,} "
        f"domains; {asked:,} {'query' if asked == 1 else 'queries'}{of}{more}"
    )
    output.say()
    columns = [
        Column("network", cuts="end", least=16),
        Column("stage"),
        Column("numbers", right=True, optional=1),
        Column("across: mAP", right=True, style={"bold": True}),
        Column("P@1", right=True),
        Column("less means: mAP", right=True),
        Column("P@1", right=True),
        Column("within: mAP", right=True),
        Column("own first", right=True),
    ]
    table.write(columns, [*(_row(one) for one in result.evaluations), _chance(result)])
    for model in result.models:
        best = result.best_of(model)
        output.say()
        output.say(f"mAP by the {best.name} of {model}; queries of a domain, answers of another:")
        header = [Column("queries of", cuts="end", least=16)]
        header += [Column(name, right=True) for name in result.domains.names]
        table.write(header, [[name, *map(_figure, its)] for name, its in pairs_of(best, result.domains.names)])


def pairs_of(evaluation: StageEvaluation, names: tuple[str, ...]) -> list[tuple[str, list[float | None]]]:
    """List for each domain of queries its mAP with answers of each domain, its own among them; None without any."""
    found = {pair: scores.average_precision for pair, scores in evaluation.across.pairs.items()}
    found |= {(name, name): scores.average_precision for name, scores in evaluation.within.items()}
    return [(of, [found.get((of, to)) for to in names]) for of in names]


def write_separated(result: StageResult, *, tabs: bool) -> None:
    """One line a stage, method and pair of domains; answers of all others have no name, nor have their queries."""
    overall = result.evaluations[0].across.overall
    header: list[Any] = ["model", "stage", "channels", "method", "queries_of", "answers_of", "queries", "map"]
    header += [f"precision_at_{rank}" for rank in overall.precision] + [f"recall_at_{rank}" for rank in overall.recall]
    lines = [header]
    for one in result.evaluations:
        for across in (one.across, one.less):
            found: dict[tuple[str, str], Scores] = {("", ""): across.overall, **across.pairs}
            if across is one.across:
                found |= {(name, name): scores for name, scores in one.within.items()}
            for (of, to), scores in found.items():
                lines.append([one.model, one.name, one.channels, across.method, of, to, *_values(scores)])
    output.write_separated(lines, tabs=tabs)


def _row(one: StageEvaluation) -> list[str]:
    inside = one.inside
    within = _figure(None if inside is None else inside.average_precision)
    return [
        one.model,
        one.name,
        f"{one.channels:,}",
        *_both(one.across),
        *_both(one.less),
        within,
        _share(one.own_domain),
    ]


def _chance(result: StageResult) -> list[str]:
    chance = result.chance
    both = [_figure(chance.average_precision), _figure(chance.precision)]
    return ["by chance", "", "", *both, *both, _figure(chance.within_average_precision), _share(chance.own_domain)]


def _both(across: AcrossEvaluation) -> list[str]:
    return [_figure(across.overall.average_precision), _figure(across.overall.precision[1])]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _values(scores: Scores) -> list[float | int]:
    record = scores.to_json()
    return [record["queries"], record["map"], *record["precision_at"].values(), *record["recall_at"].values()]
