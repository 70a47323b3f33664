"""`cbir detect`: what is in pictures, and where."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.claims import claimed
from cbir.cli.options.common import (
    FilePath,
    PicturePath,
    engine_option,
    force_option,
    formats_options,
    index_option,
    verbosity_options,
)
from cbir.cli.options.detectors import CLASS, INPUT, complete_detector, described
from cbir.cli.options.given import Given
from cbir.cli.options.images import list_options, named_or_indexed
from cbir.cli.options.numbers import Number, WholeNumber
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render import detect as rendering
from cbir.cli.render.search_report import coco_file, html_option, results_file
from cbir.cli.terminal import output
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.errors import CbirError
from cbir.utils.outputs import check_not_shown

if TYPE_CHECKING:
    from cbir.detect.choice import ClassRule
    from cbir.detect.detection import Detector
    from cbir.detect.trial import Asked
    from cbir.engines.lazy import LazyEngine
    from cbir.evaluation.box_sources import DrawnBoxes
    from cbir.search.queries import ImageQuery

logger = logging.getLogger("cbir")

RULES = (
    Rule(
        ("index_name",),
        "--index is for all pictures of an index: name pictures, or an index.",
        beside=("images", "files_from"),
    ),
    Rule(("input_",), "--input is about a graph's file: name it with --weights.", beside=("model", "method")),
    Rule(("coco_numbers",), "--coco-numbers is about --coco-results: name its file, too.", lacking=("coco_results",)),
    Rule(("method",), "--method looks without a detector: leave --model out.", beside=("model",)),
)


class DetectOptions(Given):
    """The options of one call, by their names."""

    images: tuple[Path, ...]
    index_name: str | None
    files_from: Path | None
    null: bool
    model: str | None
    weights: str | None
    method: str | None
    classes: Path | None
    input_: Asked | None
    min_score: float | None
    only: tuple[ClassRule, ...]
    iou: float | None
    most: int
    out: Path | None
    crops: Path | None
    masks: bool
    coco: Path | None
    coco_results: Path | None
    coco_numbers: Path | None
    yolo: Path | None
    voc: Path | None
    html: Path | None
    force: bool
    engine: str | None
    format_: str | None


@click.command("detect", short_help="Find out what is in pictures, and where.")
@click.argument("images", nargs=-1, type=PicturePath(), metavar="IMAGE...")
@index_option
@list_options
@click.option(
    "--model",
    "-m",
    metavar="NAME",
    shell_complete=complete_detector,
    help="A detector of torchvision, such as fasterrcnn_mobilenet_v3_large_320_fpn; its weights are downloaded once. "
    "Default: $CBIR_DETECTOR, a name or a file.",
)
@click.option(
    "--weights",
    metavar="FILE",
    help="A detector as a graph, .onnx or .tflite (YOLOX, YOLOv5 to 11, NanoDet, PicoDet …); or a state dict for "
    "--model, or `untrained`.",
)
@click.option(
    "--method",
    type=click.Choice(["regions"]),
    help="Look without a detector, with what comes with cbir: regions that look like a thing, and their likeliest "
    "classes. It finds less than half of what a small detector does, and no people.",
)
@click.option(
    "--classes",
    type=FilePath(),
    metavar="FILE",
    help="The names of a graph's classes, one a line. Default: its own, else COCO's or VOC's, by how many there are.",
)
@click.option(
    "--input",
    "input_",
    type=INPUT,
    metavar="WORDS",
    help="How pixels enter a graph, where that is not as usual: some of rgb or bgr; 0-1, 0-255 or imagenet; corner, "
    "centre or stretch; and a size such as 640 or 640x480; with commas.",
)
@click.option(
    "--min-score",
    type=Number(0, 1),
    metavar="SCORE",
    help="Only boxes with at least this score. Default: as suits the detector (0.25 to 0.5).",
)
@click.option(
    "--class",
    "only",
    type=CLASS,
    multiple=True,
    metavar="NAME[:SCORE]",
    help="Only this class, or all that are a kind of it: animal takes dog, cat …; perhaps with a least score of its "
    "own. May be given several times.",
)
@click.option(
    "--iou",
    type=Number(0, 1),
    metavar="SHARE",
    help="Of two boxes of a class that overlap by more (intersection over union), the better stays. Default: 0.45.",
)
@click.option("--most", type=WholeNumber(1, 2000), default=300, show_default=True, help="Most boxes a picture.")
@click.option(
    "--masks",
    is_flag=True,
    help="Tell of each box which of its pixels are the thing, approximately, where the detector does not tell that "
    "itself: by regions, as those of `cbir segment`; 0.3 seconds a picture.",
)
@click.option("--out", "-o", type=FilePath(), metavar="FOLDER", help="Write NAME.objects.png for each picture there.")
@click.option("--crops", type=FilePath(), metavar="FOLDER", help="Write what each box shows, cut out, to this folder.")
@click.option(
    "--coco",
    type=FilePath(),
    callback=coco_file,
    metavar="FILE",
    help="Write all pictures' boxes as one COCO document.",
)
@click.option(
    "--coco-results",
    type=FilePath(),
    callback=results_file,
    metavar="FILE",
    help="Write all boxes as COCO's results: a list, as pycocotools' loadRes and `cbir evaluate --found` read it.",
)
@click.option(
    "--coco-numbers",
    type=FilePath(),
    metavar="FILE",
    help="A COCO dataset whose numbers of pictures and classes --coco-results has. Default: those of --coco.",
)
@click.option("--yolo", type=FilePath(), metavar="FOLDER", help="Write YOLO's texts and classes.txt to this folder.")
@click.option("--voc", type=FilePath(), metavar="FOLDER", help="Write PASCAL VOC's XML files to this folder.")
@html_option
@force_option
@engine_option
@formats_options(rendering.FORMATS, "How the boxes are listed. Default: table on a terminal, jsonl in a pipe.")
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Find objects in each IMAGE (a folder: all pictures in it; -: a picture from stdin), or in those of an index.

    Each has a box (x, y, width, height in pixels), a class and a score from 0 to 1. It takes a detector, of which none
    comes with cbir: --model downloads one of torchvision's, --weights takes a file. A file is tried out once, in a
    process of its own, on a drawn scene; where nothing at all is found in that, a line says so.

    \b
      cbir detect some.jpg --weights yolox_nano.onnx
      cbir detect photos/ --weights yolox_nano.onnx --class animal --out found/
      cbir detect some.jpg --weights yolox_nano.onnx --masks --crops things/
      cbir detect --index photos --weights yolox_nano.onnx --coco objects.json -q
      find new/ -name '*.jpg' -print0 | cbir detect --files-from - -0 --weights yolox_nano.onnx --format csv
      cbir detect some.jpg --model fasterrcnn_mobilenet_v3_large_320_fpn  # downloads 74 MB
    """
    use_one_blas_thread()
    request = DetectOptions(**options)
    check_rules(ctx, RULES)
    pictures, unreadable = named_or_indexed(
        request.images, request.files_from, null=request.null, index=request.index_name
    )
    named = [picture.source for picture in pictures if isinstance(picture.source, Path)]
    for path, option in claimed(ctx).items():
        check_not_shown(path, named, option)
    detector = _detector(request, expected=len(pictures))
    outputs = rendering.DetectOutputs(
        detector,
        pictures,
        _wanted(request),
        request.format_ or output.default_format(piped="jsonl"),
        reserved=list(claimed(ctx)),
        masks=_regions(request, expected=len(pictures)) if request.masks and not detector.has_masks else None,
    )
    _run(request, detector, outputs, pictures, quiet=bool(ctx.obj and ctx.obj.get("quiet")))
    if outputs.failed or unreadable:
        ctx.exit(CbirError.exit_code)


def _run(
    request: DetectOptions,
    detector: Detector,
    outputs: rendering.DetectOutputs,
    pictures: list[ImageQuery],
    *,
    quiet: bool,
) -> None:
    """Find objects in all pictures, tell of each as it is done, and write what is made of all together."""
    from cbir.detect.choice import Choice
    from cbir.detect.run import detect_files
    from cbir.images.source import NamedImage

    least = detector.least_score if request.min_score is None else request.min_score
    choice = Choice.by_rules(request.only, detector.classes, least, request.most)
    files = ((picture, NamedImage(picture.source, picture.name)) for picture in outputs.wanted(pictures))
    # a single picture is not worth a process of its own to be decoded in; of many, one must not end the run
    results = detect_files(detector, files, isolated=len(pictures) > 1)
    # a table that grows on the terminal is progress enough
    watch = progress(disable=quiet or outputs.grows)
    for result in watch(results, len(pictures)):
        if result.error is not None:
            outputs.fail(result.key, result.error)
        else:
            outputs.add(result.key, result.size, choice.of(result.detections))
    outputs.finish()


def _wanted(request: DetectOptions) -> rendering.Wanted:
    return rendering.Wanted(
        request.out,
        request.crops,
        request.coco,
        request.coco_results,
        request.yolo,
        request.voc,
        request.html,
        numbers=None if request.coco_numbers is None else _dataset(request.coco_numbers),
        force=request.force,
    )


def _dataset(path: Path) -> DrawnBoxes:
    """Read the dataset whose numbers results are to have; it may have no boxes, as those of competitions."""
    from cbir.detect.formats import coco
    from cbir.evaluation.box_sources import DrawnBoxes

    return DrawnBoxes(path, path.parent, coco.read(path))


def _regions(request: DetectOptions, *, expected: int) -> LazyEngine:
    """Return the network by which regions are told, for masks."""
    from cbir.backbones.backbone import choose
    from cbir.engines.lazy import LazyEngine

    return LazyEngine(choose(None, None)[0].first, request.engine, expected=expected)


def _detector(request: DetectOptions, *, expected: int) -> Detector:
    """Open the detector that is asked for; a usage error, with ways to get one, where none is."""
    from cbir.detect.geometry import OVERLAP
    from cbir.detect.registry import open_detector, usual_wish
    from cbir.detect.wish import NO_DETECTOR, Wish

    model, weights = request.method or request.model, request.weights
    wish = usual_wish() if model is None and weights is None else Wish(model, weights)
    if wish is None or (wish.name is None and wish.weights == "untrained"):
        without = "--method regions does without one, and finds much less."
        raise click.UsageError(f"{NO_DETECTOR.format('--model', '--weights')} {without}")
    overlap = OVERLAP if request.iou is None else request.iou
    wish = replace(wish, engine=request.engine, expected=expected, overlap=overlap)
    detector = open_detector(described(wish, request.classes, request.input_))
    logger.debug("%s: %s, %s classes", detector.name, detector.kind, f"{len(detector.classes):,}")
    return detector
