"""`cbir evaluate`: how well pictures are found."""

from __future__ import annotations

from typing import Any

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
from cbir.cli.options.evaluate import RULES, EvaluateOptions
from cbir.cli.options.faces import face_model_option
from cbir.cli.options.numbers import Number, WholeNumber
from cbir.cli.options.rules import check_rules
from cbir.cli.render.search_report import html_option
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import use_one_blas_thread
from cbir.errors import CbirError
from cbir.utils.stopping import INTERRUPTED


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
@click.option(
    "--across",
    is_flag=True,
    help="FOLDER has a folder for each domain, photos or sketches, with a folder for each class: those of one are "
    "searched for by pictures of another.",
)
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
    "--stages",
    is_flag=True,
    help="The same as --across by each stage of the backbones: which one finds most in other domains?",
)
@click.option(
    "--inversions",
    type=WholeNumber(1, 24),
    metavar="N",
    help="With --stages and --html: draw what each stage keeps of N pictures. Needs torch, and some minutes.",
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

    With --across, FOLDER has a folder for each domain, such as photos and sketches, and in each a folder for each
    class. Each picture is searched for among those of other domains, by features as they are and less the mean of each
    domain, as `cbir search --across` takes it off.

    With --stages, so are they searched for by each stage of the backbones instead: which one sees the same class across
    domains? The finer ones see how a picture is made, the last ones what it shows.

    With --boxes, measures how well a detector finds objects: average precision as COCO and PASCAL VOC have it,
    precision and recall.

    With --faces, measures how well faces tell people apart. Of a network that --face-model names it also learns from
    which distance on two faces are one person's, and remembers that.

    \b
      cbir evaluate photos/
      cbir evaluate --index photos --sample 500 --json
      cbir evaluate photos/ --html quality.html
      cbir evaluate --index photos --learnt subject
      cbir evaluate prints/ --across
      cbir evaluate prints/ --stages --html stages.html
      cbir evaluate photos/ --boxes boxes.json --found found.json
      cbir evaluate photos/ --compare
      cbir evaluate photos/ --compare --model efficientnet_lite0 --model resnet50      # downloads 98 MB
    """
    use_one_blas_thread()
    request = EvaluateOptions(**options)
    check_rules(ctx, RULES)
    quiet = bool(ctx.obj and ctx.obj.get("quiet"))
    if request.faces:
        from cbir.cli.evaluating.faces import measure_faces

        has_failed = not measure_faces(request, quiet=quiet)
    elif request.boxes is not None:
        from cbir.cli.evaluating.boxes import measure_boxes

        has_failed = not measure_boxes(request, request.boxes, quiet=quiet)
    else:
        has_failed = False
        try:
            if request.stages:
                from cbir.cli.evaluating.stages import measure_of_stages

                measure_of_stages(request, quiet=quiet)
            elif request.across:
                from cbir.cli.evaluating.across import measure_across

                measure_across(request, quiet=quiet)
            else:
                from cbir.cli.evaluating.searches import measure_searches

                measure_searches(request, quiet=quiet)
        except KeyboardInterrupt:
            output.tell_end("Interrupted. Nothing is left behind.")
            ctx.exit(INTERRUPTED)
    if has_failed:
        ctx.exit(CbirError.exit_code)
