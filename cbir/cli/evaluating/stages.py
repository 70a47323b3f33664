"""Stages of networks, and what each finds across domains: `cbir evaluate --stages`."""

from __future__ import annotations

from cbir.cli.evaluating.request import ranks_of, wanted_of
from cbir.cli.options.evaluate import EvaluateOptions
from cbir.cli.render import stages
from cbir.cli.terminal.runs import progress
from cbir.evaluation.sources import open_pictures
from cbir.evaluation.stage_run import draw_kept, measure_stages
from cbir.utils.packages import check_torch


def measure_of_stages(request: EvaluateOptions, *, quiet: bool) -> None:
    """Measure the stages of networks across domains, and tell of it."""
    if request.inversions is not None:
        check_torch("Drawing what stages keep", "`cbir evaluate --stages` measures, and draws nothing")
    watch = progress(disable=quiet)
    pictures = open_pictures(wanted_of(request))
    result = measure_stages(pictures, request.engine, sample=request.sample, recall_at=ranks_of(request), watch=watch)
    stages.write(result, request.format_)
    if request.html is not None:
        from cbir.cli.render.stages_report import write_stages_page  # which loads what writes pages

        drawn = None if request.inversions is None else draw_kept(result, request.inversions, watch)
        write_stages_page(request.html, result, drawn, force=request.force)
