"""Measuring how well pictures find each other: `cbir evaluate` without further ado."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cbir.cli.options.evaluate import EvaluateOptions
from cbir.cli.render import evaluate as rendering
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress
from cbir.evaluation.ground_truth import GroundTruth, by_file, by_folder
from cbir.evaluation.runner import RECALL_AT, Evaluation, evaluate
from cbir.evaluation.sources import Collection, Wanted, open_collection
from cbir.evaluation.systems import System

if TYPE_CHECKING:
    from cbir.cli.render.evaluate_report import EvaluationPage

logger = logging.getLogger("cbir")


def measure_searches(request: EvaluateOptions, *, quiet: bool) -> None:
    """Measure how well pictures find each other, and tell of it."""
    wanted = wanted_of(request)
    watch = progress(disable=quiet)
    ranks = sorted(set(request.recall_at)) or RECALL_AT
    page = None if request.html is None else _page()
    with open_collection(wanted, watch) as collection:
        if request.ground_truth is None:
            truth = by_folder(collection.paths)
        else:
            truth = by_file(request.ground_truth, collection.paths, collection.root)
        labelled = set() if request.learnt is None else collection.labelled(request.learnt)
        if request.unlabelled:
            truth = truth.without(labelled)
        chosen = truth if request.sample is None else truth.sample(request.sample)
        systems: list[System] = [*collection.systems(request.learnt)]
        systems += collection.classical_systems(watch) if request.compare else []
        noting = watch if page is None else page.noting(watch)
        evaluations = [evaluate(system, chosen, ranks, noting) for system in systems]
        if page is not None:
            page.look(collection, chosen, systems)
    taught = sum(judgement.query in labelled for judgement in chosen.judgements)
    _tell(request, collection, truth, evaluations, taught, queries=len(chosen.judgements))
    if page is not None and request.html is not None:
        page.write(request.html, collection, truth, evaluations, force=request.force)


def _page() -> EvaluationPage:
    from cbir.cli.render.evaluate_report import EvaluationPage  # which loads what writes pages

    return EvaluationPage()


def wanted_of(request: EvaluateOptions) -> Wanted:
    """Return what is to be measured; a usage error where several backbones are named, and not to be compared."""
    models = tuple(dict.fromkeys(request.models))
    if len(models) > 1 and not request.compare:
        raise click.UsageError("Several backbones are for --compare.")
    weights = _weights(request.weights, models)
    return Wanted(request.folder, request.index_name, models, weights, request.engine, compare=request.compare)


def _tell(
    request: EvaluateOptions,
    collection: Collection,
    truth: GroundTruth,
    evaluations: Sequence[Evaluation],
    taught: int,
    *,
    queries: int,
) -> None:
    """Write measures in the format that is asked for; `taught` of the queries are labels of the notion."""
    if taught:
        logger.warning(
            "%s of %s queries are labels that the notion was learnt from, which flatters it: --unlabelled leaves them "
            "out.",
            *(f"{taught:,}", f"{queries:,}"),
        )
    if request.format_ == "json":
        about = {} if request.learnt is None else {"learnt": request.learnt, "labelled_queries": taught}
        output.write_json(rendering.record(collection, truth, request.ground_truth, evaluations) | about)
    elif request.format_ == "table":
        rendering.write_table(collection, truth, evaluations)
    else:
        rendering.write_separated(evaluations, tabs=request.format_ == "tsv")


def _weights(values: Sequence[str], models: Sequence[str]) -> dict[str | None, str]:
    """Return the files by their backbones; None is the only backbone."""
    files: dict[str | None, str] = {}
    for value in values:
        name, equals, file = value.partition("=")
        key, file = (name, file) if equals and name in models else (None, value)
        if key is None and len(models) == 1:
            key = models[0]
        elif key is None and models:
            raise click.UsageError(f"Whose weights are {value}? Say it with --weights NAME=FILE.")
        if key in files:
            raise click.UsageError("A backbone has one file of weights.")
        files[key] = file
    return files
