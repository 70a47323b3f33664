"""Measuring how well pictures find each other: `cbir evaluate` without further ado."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cbir.cli.evaluating.request import page_of, ranks_of, wanted_of
from cbir.cli.options.evaluate import EvaluateOptions
from cbir.cli.render import evaluate as rendering
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress
from cbir.evaluation.ground_truth import GroundTruth, by_file, by_folder
from cbir.evaluation.runner import Evaluation, evaluate
from cbir.evaluation.sources import Collection, open_collection
from cbir.evaluation.systems import System

logger = logging.getLogger("cbir")


def measure_searches(request: EvaluateOptions, *, quiet: bool) -> None:
    """Measure how well pictures find each other, and tell of it."""
    wanted = wanted_of(request)
    watch = progress(disable=quiet)
    ranks, page = ranks_of(request), page_of(request)
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
