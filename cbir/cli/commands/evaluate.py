"""`cbir evaluate`: how well pictures are found."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import (
    FilePath,
    engine_option,
    force_option,
    formats_options,
    index_option,
    learnt_option,
    verbosity_options,
)
from cbir.cli.options.completion import complete_folder, complete_model, complete_weights
from cbir.cli.options.faces import face_model_option
from cbir.cli.options.given import Given
from cbir.cli.options.numbers import Number, WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import evaluate as rendering
from cbir.cli.render.search_report import html_option
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.errors import CbirError
from cbir.utils.stopping import INTERRUPTED

if TYPE_CHECKING:
    from cbir.cli.render.evaluate_report import EvaluationPage
    from cbir.evaluation.ground_truth import GroundTruth
    from cbir.evaluation.runner import Evaluation
    from cbir.evaluation.sources import Collection
    from cbir.evaluation.systems import System

logger = logging.getLogger("cbir")

#: The score from which boxes of a file count for precision and recall.
LEAST_SCORE = 0.5

RULES = (
    Rule(
        ("index_name", "models", "weights", "compare=True", "ground_truth", "sample", "recall_at", "learnt", "html"),
        "--faces is about people's photos: leave out what is about searches ({said}).",
        beside=("faces=True",),
    ),
    Rule(("boxes", "found"), "--faces or --boxes, not both.", beside=("faces=True",)),
    Rule(("face_model",), "--face-model is about faces: say --faces, too.", lacking=("faces=True",)),
    Rule(("folder",), "Name a folder or an index, not both.", beside=("index_name",)),
    Rule(
        ("index_name", "compare=True", "ground_truth", "sample", "recall_at", "learnt"),
        "--boxes is about detectors: leave out what is about searches (--index, --compare, --ground-truth …).",
        beside=("boxes",),
    ),
    Rule(
        ("found", "min_score"), "{said} is about boxes: name those that people drew with --boxes.", lacking=("boxes",)
    ),
    Rule(("found",), "Boxes are those of --found or a detector's, not both.", beside=("models", "weights", "engine")),
    Rule(("unlabelled",), "--unlabelled is about the labels of a notion: name it with --learnt.", lacking=("learnt",)),
)


class EvaluateOptions(Given):
    """The options of one call, by their names."""

    folder: Path | None
    index_name: str | None
    models: tuple[str, ...]
    weights: tuple[str, ...]
    engine: str | None
    compare: bool
    learnt: str | None
    unlabelled: bool
    ground_truth: Path | None
    sample: int | None
    recall_at: tuple[int, ...]
    boxes: Path | None
    found: Path | None
    min_score: float | None
    faces: bool
    face_model: Path | None
    format_: str
    html: Path | None
    force: bool


@click.command("evaluate", short_help="Measure how well pictures are found.")
@click.argument("folder", required=False, type=FilePath(), shell_complete=complete_folder)
@index_option
@click.option(
    "--model",
    "-m",
    "models",
    metavar="NAME",
    shell_complete=complete_model,
    multiple=True,
    help="The backbone; with --compare several. Default: that of the index, else the one that `cbir index` takes.",
)
@click.option(
    "--weights",
    metavar="[NAME=]FILE",
    shell_complete=complete_weights,
    multiple=True,
    help="A state dict for the backbone, or `untrained`; with several backbones, for the one of that name.",
)
@engine_option
@click.option("--compare", is_flag=True, help="Set backbones and classical features (HSV, HOG) side by side.")
@learnt_option
@click.option("--unlabelled", is_flag=True, help="With --learnt, only queries that were no labels of it.")
@click.option("--ground-truth", type=FilePath(), metavar="FILE", help="JSON or CSV that tells what is relevant.")
@click.option("--sample", type=WholeNumber(min=1), metavar="N", help="Only so many queries, always the same ones.")
@click.option(
    "--recall-at",
    "-k",
    type=WholeNumber(min=1),
    metavar="K",
    multiple=True,
    help="Recall among the first K; may be repeated. Default: 10 and 100.",
)
@click.option(
    "--boxes",
    type=FilePath(),
    metavar="FILE",
    help="Measure a detector (--model, --weights) by the boxes that people drew: a COCO document, or a folder of "
    "YOLO's texts or VOC's XML. Its pictures are in FOLDER, or beside it.",
)
@click.option(
    "--found",
    type=FilePath(),
    metavar="FILE",
    help="With --boxes: boxes that were found before, with scores, in one of the same formats or as COCO's results.",
)
@click.option(
    "--min-score",
    type=Number(0, 1),
    metavar="SCORE",
    help="With --boxes: the score from which precision and recall count boxes. Default: as suits the detector, or 0.5.",
)
@click.option(
    "--faces",
    is_flag=True,
    help="Measure how well faces tell people apart: FOLDER has a folder of photos for each person.",
)
@face_model_option
@formats_options(
    ["table", "json", "csv", "tsv"], "CSV and TSV have one line a system and class.", default="table", show_default=True
)
@html_option
@force_option
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Measure how well the pictures of FOLDER, or of an index, find each other.

    Each picture is searched for among all others; those of its own folder ought to be found. Tells the mean average
    precision (mAP), precision at 1 and 10, recall, and the time of a query, in cosine order and re-ranked. Features
    come from an index where there is one.

    With --boxes, measures how well a detector finds objects: average precision as COCO and PASCAL VOC have it,
    precision and recall.

    With --faces, measures how well faces tell people apart. Of a network that --face-model names it also learns from
    which distance on two faces are one person's, and remembers that.

    \b
      cbir evaluate photos/
      cbir evaluate --index photos --sample 500 --json
      cbir evaluate photos/ --html quality.html
      cbir evaluate --index photos --learnt subject
      cbir evaluate photos/ --boxes boxes.json --found found.json
      cbir evaluate photos/ --compare
      cbir evaluate photos/ --compare --model efficientnet_lite0 --model resnet50      # downloads 98 MB
    """
    use_one_blas_thread()
    request = EvaluateOptions(**options)
    check_rules(ctx, RULES)
    quiet = bool(ctx.obj and ctx.obj.get("quiet"))
    if request.faces:
        if not _measure_faces(request, quiet=quiet):
            ctx.exit(CbirError.exit_code)
    elif request.boxes is None:
        try:
            _measure_searches(request, quiet=quiet)
        except KeyboardInterrupt:
            output.tell_end("Interrupted. Nothing is left behind.")
            ctx.exit(INTERRUPTED)
    elif not _measure_boxes(request, request.boxes, quiet=quiet):
        ctx.exit(CbirError.exit_code)


def _measure_searches(request: EvaluateOptions, *, quiet: bool) -> None:
    """Measure how well pictures find each other, and tell of it."""
    from cbir.evaluation.ground_truth import by_file, by_folder
    from cbir.evaluation.runner import RECALL_AT, evaluate
    from cbir.evaluation.sources import Wanted, open_collection

    models = tuple(dict.fromkeys(request.models))
    if len(models) > 1 and not request.compare:
        raise click.UsageError("Several backbones are for --compare.")
    weights = _weights(request.weights, models)
    wanted = Wanted(request.folder, request.index_name, models, weights, request.engine, compare=request.compare)
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


def _measure_boxes(request: EvaluateOptions, boxes: Path, *, quiet: bool) -> bool:
    """Measure the boxes that were found in a file or by a detector, and tell of it; False where a picture failed."""
    from cbir.cli.render import boxes_report
    from cbir.detect.formats.reading import read_boxes
    from cbir.evaluation.box_sources import DrawnBoxes
    from cbir.evaluation.boxes import evaluate_boxes

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
        from cbir.detect.registry import open_detector
        from cbir.detect.wish import Wish

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


def _measure_faces(request: EvaluateOptions, *, quiet: bool) -> bool:
    """Measure how well faces tell people apart, and tell of it; False where a photo failed."""
    from cbir.cli.render import faces_report
    from cbir.evaluation import faces as measuring
    from cbir.faces.finder import open_finder
    from cbir.faces.own_thresholds import remember

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


def _page() -> EvaluationPage:
    from cbir.cli.render.evaluate_report import EvaluationPage

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
