"""Measuring how well pictures of one domain find those of others: `cbir evaluate --across`."""

from __future__ import annotations

import logging

from cbir.cli.evaluating.request import page_of, ranks_of, wanted_of
from cbir.cli.options.evaluate import EvaluateOptions
from cbir.cli.render import evaluate_across as rendering
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress
from cbir.evaluation.across import Domains, evaluate_across, feature_systems
from cbir.evaluation.sources import open_collection
from cbir.evaluation.systems import LESS_MEANS, RERANKED, System

logger = logging.getLogger("cbir")


def measure_across(request: EvaluateOptions, *, quiet: bool) -> None:
    """Measure how well pictures find those of their class in other domains, and tell of it."""
    wanted = wanted_of(request)
    watch = progress(disable=quiet)
    ranks, page = ranks_of(request), page_of(request)
    with open_collection(wanted, watch) as collection:
        domains = Domains.of_paths(collection.paths)
        if domains.left_out:
            logger.warning(
                "%s of %s pictures lie in no class of a domain, and are left out.",
                *(f"{domains.left_out:,}", f"{len(collection.paths):,}"),
            )
        truth = domains.truth()
        chosen = truth if request.sample is None else truth.sample(request.sample)
        systems: list[System] = [*collection.systems_across(domains.names)]
        for one in collection.classical_systems(watch) if request.compare else []:
            systems += feature_systems(one.model, one.features, domains)
        noting = watch if page is None else page.noting(watch)
        evaluations = [evaluate_across(system, domains, chosen, ranks, noting) for system in systems]
        if page is not None:
            page.look(collection, chosen, systems, f"{RERANKED}, {LESS_MEANS}")
    if request.format_ == "json":
        output.write_json(rendering.record(collection, domains, truth, evaluations))
    elif request.format_ == "table":
        rendering.write_table(collection, domains, truth, evaluations)
    else:
        rendering.write_separated(evaluations, tabs=request.format_ == "tsv")
    if page is not None and request.html is not None:
        page.write_across(request.html, collection, domains, evaluations, force=request.force)
