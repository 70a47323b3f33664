"""Measuring how well faces tell people apart: `cbir evaluate --faces`."""

from __future__ import annotations

import logging

import click

from cbir.cli.options.evaluate import EvaluateOptions
from cbir.cli.render import faces_report
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress
from cbir.evaluation import faces as measuring
from cbir.faces.finder import open_finder
from cbir.faces.own_thresholds import remember

logger = logging.getLogger("cbir")


def measure_faces(request: EvaluateOptions, *, quiet: bool) -> bool:
    """Measure how well faces tell people apart, and tell of it; False where a photo failed."""
    if request.folder is None:
        raise click.UsageError("Whose faces are to be measured? Name a folder with a folder for each person.")
    photos = measuring.people_in(request.folder)
    model = None if request.face_model is None else str(request.face_model)
    finder = open_finder(model=model, engine=request.engine, expected=len(photos))
    people = measuring.read_people(finder, photos, progress(disable=quiet))
    for error in people.errors:
        output.tell(f"Error: {error}")
    thresholds = measuring.learnt_of(people) if finder.is_own else finder.thresholds
    scores = measuring.measure_people(people, None if finder.is_own else thresholds)
    if finder.is_own and thresholds is None:
        logger.warning(
            "From so few photos nothing is learnt: it takes %s pairs of one person's, and %s of two people's.",
            *(f"{measuring.LEAST_SAME:,}", f"{measuring.LEAST_DIFFERENT:,}"),
        )
    elif finder.is_own and thresholds is not None:
        remember(finder.identity, thresholds)
    if request.format_ == "json":
        is_new = finder.is_own and thresholds is not None
        output.write_json(
            faces_report.record(request.folder, finder.name, people, scores, thresholds, remembered=is_new)
        )
    elif request.format_ == "table":
        faces_report.write_table(request.folder, finder.name, people, scores, thresholds)
    else:
        faces_report.write_separated(finder.name, people, scores, tabs=request.format_ == "tsv")
    return not people.errors
