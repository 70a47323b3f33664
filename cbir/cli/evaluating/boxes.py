"""Measuring how well a detector finds objects: `cbir evaluate --boxes`."""

from __future__ import annotations

from pathlib import Path

import click

from cbir.cli.options.evaluate import EvaluateOptions
from cbir.cli.render import boxes_report
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress
from cbir.detect.formats.reading import read_boxes
from cbir.detect.registry import open_detector
from cbir.detect.wish import Wish
from cbir.evaluation.box_sources import DrawnBoxes
from cbir.evaluation.boxes import evaluate_boxes

#: The score from which boxes of a file count for precision and recall.
LEAST_SCORE = 0.5


def measure_boxes(request: EvaluateOptions, boxes: Path, *, quiet: bool) -> bool:
    """Measure the boxes that were found in a file or by a detector, and tell of it; False where a picture failed."""
    if request.found is None and not (request.models or request.weights):
        raise click.UsageError(
            "Whose boxes are to be measured? Name a detector with --model or --weights, or --found FILE."
        )
    if len(request.models) > 1 or len(request.weights) > 1:
        raise click.UsageError("One detector is measured at a time.")
    drawn = DrawnBoxes.read(boxes, request.folder)
    failed = False
    if request.found is not None:
        found, system, least = read_boxes(request.found, drawn.boxes), str(request.found), LEAST_SCORE
    else:
        model, weights = (*request.models, None)[0], (*request.weights, None)[0]
        detector = open_detector(Wish(model, weights, engine=request.engine, expected=len(drawn.boxes.pictures)))
        results = progress(disable=quiet)(drawn.detect(detector), len(drawn.boxes.pictures))
        found, errors = drawn.found(results, detector.classes)
        for error in errors:
            output.tell(f"Error: {error}")
        failed, system, least = bool(errors), detector.name, detector.least_score
    least = least if request.min_score is None else request.min_score
    evaluation = evaluate_boxes(drawn.matched(found), drawn.boxes.classes, least)
    if request.format_ == "json":
        output.write_json(boxes_report.record(drawn, system, evaluation))
    elif request.format_ == "table":
        boxes_report.write_table(drawn, system, evaluation)
    else:
        boxes_report.write_separated(system, evaluation, tabs=request.format_ == "tsv")
    if request.html is not None:
        boxes_report.write_boxes_page(request.html, drawn, system, evaluation, force=request.force)
    return not failed
