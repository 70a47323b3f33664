"""Ranks, pages and backbones that the options of `cbir evaluate` ask for, whichever pictures are to be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cbir.cli.options.evaluate import EvaluateOptions
from cbir.evaluation.runner import RECALL_AT
from cbir.evaluation.sources import Wanted

if TYPE_CHECKING:
    from cbir.cli.render.evaluate_report import EvaluationPage


def wanted_of(request: EvaluateOptions) -> Wanted:
    """Return what is to be measured; a usage error where several backbones are named, and not to be compared."""
    models = tuple(dict.fromkeys(request.models))
    if len(models) > 1 and not request.compare:
        raise click.UsageError("Several backbones are for --compare.")
    weights = _weights(request.weights, models)
    return Wanted(request.folder, request.index_name, models, weights, request.engine, compare=request.compare)


def ranks_of(request: EvaluateOptions) -> Sequence[int]:
    """Return the ranks at which recall is to be measured, ascending."""
    return sorted(set(request.recall_at)) or RECALL_AT


def page_of(request: EvaluateOptions) -> EvaluationPage | None:
    """Return the page that is to be written, without content yet; None where there is to be none."""
    if request.html is None:
        return None
    from cbir.cli.render.evaluate_report import EvaluationPage  # which loads what writes pages

    return EvaluationPage()


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
