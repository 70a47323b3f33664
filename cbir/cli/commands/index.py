"""`cbir index`: make an index of a folder, or bring it up to date."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbir.cli.options.common import (
    FilePath,
    RootPath,
    engine_option,
    index_option,
    json_option,
    model_option,
    verbosity_options,
    wait_option,
    weights_option,
)
from cbir.cli.options.completion import complete_folder
from cbir.cli.options.detectors import INPUT, complete_detector, described
from cbir.cli.options.given import Given
from cbir.cli.options.numbers import Number, WholeNumber
from cbir.cli.options.rows import rows_options
from cbir.cli.options.rules import Rule, check_rules
from cbir.cli.render.plan import show_plan
from cbir.cli.terminal.logfile import describe_run, write_log
from cbir.cli.terminal.output import NAMED, printable, say, tell, tell_some, write_json
from cbir.cli.terminal.runs import progress, use_one_blas_thread
from cbir.images.sources.address import Location

if TYPE_CHECKING:
    from cbir.detect.trial import Asked
    from cbir.detect.wish import Wish
    from cbir.extract.executor import Executor
    from cbir.indexing.report import Report
    from cbir.indexing.run import Options
    from cbir.indexing.target import Target

logger = logging.getLogger("cbir")

STRICT = 4

RULES = (
    Rule(
        ("classes", "input_"),
        "--classes and --input are about a detector: name it with --detector. Words about a network stand behind its "
        "file: --model onnx:FILE,WORDS.",
        lacking=("detector",),
    ),
    Rule(("keep_old",), "--keep-old is about another network: name it with --model.", lacking=("model",)),
)


class IndexOptions(Given):
    """The options of one call, by their names."""

    folder: Location | None
    index_name: str | None
    root: Location | None
    model: str | None
    weights: str | None
    views: int | None
    keep_old: bool
    drop: str | None
    engine: str | None
    exclude: tuple[str, ...]
    ignore_case: bool | None
    no_exclude: bool
    max_megapixels: float
    dry_run: bool
    prune: bool
    parts: bool | None
    objects: bool | None
    detector: str | None
    classes: Path | None
    input_: Asked | None
    faces: bool | None
    face_model: Path | None
    treatment: bool | None
    candidates: str | None
    rows: str | None
    repair: bool
    rehash: bool
    retry_skipped: bool
    strict: bool
    wait: float
    on: str | None
    watch: bool
    as_json: bool

    @property
    def patterns(self) -> tuple[str, ...] | None:
        """The patterns that replace those that the index remembers; None leaves these as they are."""
        return self.exclude if self.exclude or self.no_exclude else None

    def options(self) -> Options:
        """Return how the index is to be made."""
        from cbir.indexing.run import Options

        return Options(
            model=self.model,
            weights=self.weights,
            views=self.views,
            keep_old=self.keep_old,
            drop=self.drop,
            engine=self.engine,
            exclude=self.patterns,
            ignore_case=self.ignore_case,
            prune=self.prune,
            repair=self.repair,
            rehash=self.rehash,
            retry_skipped=self.retry_skipped,
            max_pixels=round(self.max_megapixels * 1_000_000),
            wait=self.wait,
            parts=self.parts,
            objects=self.objects,
            detector=self._wish(),
            faces=self.faces,
            face_model=None if self.face_model is None else str(self.face_model),
            treatment=self.treatment,
            candidates=self.candidates,
            rows=self.rows,
        )

    def _wish(self) -> Wish | None:
        """Return the wish for the detector of objects; None where none is named."""
        if self.detector is None:
            return None
        from cbir.detect.registry import wish_for

        return described(wish_for(self.detector), self.classes, self.input_)


@click.command("index", short_help="Make or refresh an index of a folder.")
@click.argument("folder", required=False, type=RootPath(), shell_complete=complete_folder)
@index_option
@click.option("--root", type=RootPath(), help="Where the pictures of an existing index are now, if they have moved.")
@model_option
@weights_option
@click.option(
    "--views",
    type=WholeNumber(1, 2),
    help="2: let the network see each picture twice, as usual and the whole squashed to a square. Remembered.",
)
@click.option("--keep-old", is_flag=True, help="Keep what an index has by its network beside what it gets by --model.")
@click.option(
    "--drop", metavar="NAME", help="Take away what an index has by this network beside its own, or a move to it."
)
@engine_option
@click.option("--exclude", "-x", metavar="GLOB", multiple=True, help="Leave out names or paths that match. Remembered.")
@click.option(
    "--ignore-case/--no-ignore-case",
    default=None,
    help="Let patterns match upper and lower case alike. Remembered with them.",
)
@click.option("--no-exclude", is_flag=True, help="Forget the patterns of earlier runs.")
@click.option(
    "--max-megapixels",
    type=Number(0, 1_000_000, min_open=True),
    default=250.0,
    show_default=True,
    help="Skip pictures that are larger.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--prune", is_flag=True, help="Forget pictures that are gone even if most of them are.")
@click.option(
    "--parts/--no-parts",
    default=None,
    help="Also keep parts of each picture, for `cbir search --parts`; or take them away. Remembered.",
)
@click.option(
    "--objects/--no-objects",
    default=None,
    help="Also look for objects in each picture, and keep their boxes, classes and scores; or take them away. "
    "Remembered, with the detector.",
)
@click.option(
    "--detector",
    metavar="NAME|FILE",
    shell_complete=complete_detector,
    help="What finds them: a name or a file as for `cbir detect`, or regions. Default: that of the index, else "
    "$CBIR_DETECTOR.",
)
@click.option(
    "--classes",
    type=FilePath(),
    metavar="FILE",
    help="The names of the classes of a detector's graph, one a line, as for `cbir detect`.",
)
@click.option("--input", "input_", type=INPUT, metavar="WORDS", help="How pixels enter it, as for `cbir detect`.")
@click.option(
    "--faces/--no-faces",
    default=None,
    help="Also look for faces in each picture, and keep what they are compared by; or take that away, with the names "
    "of people. Remembered.",
)
@click.option(
    "--face-model",
    type=FilePath(),
    metavar="FILE",
    help="Tell faces apart by the network in this ONNX file, for faces of 112 × 112 pixels. Default: that of the "
    "index, else the usual one.",
)
@click.option(
    "--treatment/--no-treatment",
    default=None,
    help="Also keep how each picture was treated, for `cbir search --treatment`: which filter, sketch or tone; or take "
    "that away. Remembered.",
)
@rows_options
@click.option("--repair", is_flag=True, help="Read the pictures of damaged files of the index again.")
@click.option("--rehash", is_flag=True, help="Read every file, also those whose size and times are as they were.")
@click.option("--retry-skipped", is_flag=True, help="Try files again that could not be read before and are unchanged.")
@click.option("--strict", is_flag=True, help="Exit with 4 if files were skipped.")
@wait_option
@click.option(
    "--on",
    metavar="ray[:ADDRESS]",
    help="Look at pictures on the machines of a Ray cluster, which must see them, too. Default: one started here.",
)
@click.option("--watch", is_flag=True, help="Go on: look again whenever something changes, until interrupted.")
@json_option
@verbosity_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Make an index of the pictures in FOLDER, or bring it up to date. FOLDER may also be an address
    (s3://bucket/photos), tar shards ('shards/{000000..000127}.tar'), or a list of paths and addresses (list.txt).

    Only new and changed pictures are looked at; moved and copied ones are recognised by their content. Last come
    pictures whose classes an older index lacks: they are read once more, for these alone. Without FOLDER the folder
    that the index remembers is read again. If the folder is missing or most of its pictures are gone, nothing is
    forgotten without --prune, and the exit code is 3.

    With another --model than that of the index it is moved to this: all pictures are looked at by the new network
    while searches go on by the old one, until it has seen them all and takes over. The next run goes on with a move
    that was stopped.

    \b
      cbir index photos/
      cbir index photos/ --exclude 'raw/*' --exclude '*.gif' --ignore-case
      cbir index --index photos        # again, from cron
      cbir index photos/ --watch       # and again as pictures come and go
      cbir index list.txt              # pictures wherever they are, one a line
      cbir index photos/ --rehash      # has a disk changed something in silence?
      cbir index photos/ --parts       # pictures are found by parts, too
      cbir index photos/ --objects --detector yolox_nano.onnx   # what they show, and where
      cbir index photos/ --faces       # who is in them: cbir people
      cbir index photos/ --treatment   # which have the same filter: cbir search --treatment
      cbir index photos/ --views 2 --index better   # better matches, in twice the time
      cbir index photos/ --model efficientnet_lite1 --keep-old   # by another network, too
    """
    # between two batches of a network, a second thread would wait for work as busily as if it had some
    use_one_blas_thread()
    from cbir.indexing.run import build_index, preview
    from cbir.indexing.target import choose_target

    request = IndexOptions(**options)
    check_rules(ctx, RULES)
    if request.watch and (request.dry_run or request.strict):
        raise click.UsageError("--watch goes with neither --dry-run nor --strict.")
    target = choose_target(request.folder, request.index_name, request.root)
    describe_run(subject=target.name)
    if request.dry_run:
        show_plan(target, preview(target, request.options()), as_json=request.as_json)
        return
    quiet, verbose = bool(ctx.obj and ctx.obj.get("quiet")), bool(ctx.obj and ctx.obj.get("verbose"))
    if request.watch:
        _watch(target, request, quiet=quiet, verbose=verbose)
        return
    report, backbone = build_index(target, request.options(), progress(disable=quiet), executor=_executor(request))
    _learn_stale_notions(target, request)
    if request.as_json:
        _write_record(target, report, backbone.name)
    else:
        for line in report.summaries(target.name):
            say(line)
    _tell_details(request, report, quiet=quiet, verbose=verbose)
    if request.strict and not report.is_complete:
        ctx.exit(STRICT)


def _watch(target: Target, request: IndexOptions, *, quiet: bool, verbose: bool) -> None:
    """Run again and again. Of each run that changed something stderr has a line, or stdout a record of JSON."""
    from cbir.indexing.run import build_index
    from cbir.indexing.watch import keep_fresh

    is_first, executor = iter([True]), _executor(request)

    def run(options: Options) -> Report:
        report, backbone = build_index(target, options, progress(disable=quiet), executor=executor)
        _learn_stale_notions(target, request)
        if next(is_first, False) or report.has_changes:
            if request.as_json:
                _write_record(target, report, backbone.name)
            elif not quiet:
                for line in report.summaries(target.name):
                    tell(line, logged=False)
            _tell_details(request, report, quiet=quiet, verbose=verbose)
        return report

    keep_fresh(target, request.options(), run)


def _executor(request: IndexOptions) -> Executor:
    from cbir.extract.executors import executor_named

    return executor_named(request.on)


def _learn_stale_notions(target: Target, request: IndexOptions) -> None:
    """Learn notions anew once another network has taken over, or in the next run, if this one does not come to it."""
    from cbir.index.format import load_meta
    from cbir.index.store import Index

    if load_meta(target.directory).notions:
        from cbir.learn.anew import learn_stale

        learn_stale(Index.open(target.directory), engine=request.engine, wait=request.wait)


def _write_record(target: Target, report: Report, model: str) -> None:
    write_json({"index": str(target.directory), "root": str(target.root), "model": model, **report.to_dict()})


def _tell_details(request: IndexOptions, report: Report, *, quiet: bool, verbose: bool) -> None:
    """Log a run, and name what it left out."""
    _log(report)
    if request.patterns is not None or verbose:
        _warn_of_patterns(report.idle_patterns)
    if not quiet:
        _name_skipped(report, every=verbose)
        for name, files in report.not_backfilled.items():
            _name_files(f"without {name}", files, every=verbose)


def _log(report: Report) -> None:
    """Name all files that were left out in the log file, if there is one; its last line has the counts."""
    for folder in report.unreadable_folders:
        write_log(f"not readable: the folder {folder} (what is known of its pictures was kept)")
    for folder in report.unmounted_folders:
        write_log(f"not mounted: the folder {folder} (what is known of its pictures was kept)")
    for path, reason in _skipped(report):
        write_log(f"skipped: {path}: {reason}")
    for path, reason in report.without_classes:
        write_log(f"without classes: {path}: {reason}")
    if report.left_out:
        write_log(f"left out: {report.left_out.describe(printable)}")
    describe_run(outcome=report.counts())


def _warn_of_patterns(idle: list[str]) -> None:
    for pattern in idle[:NAMED]:
        logger.warning("The pattern %s matched nothing.", pattern)
    if len(idle) > NAMED:
        logger.warning("… and %s more patterns matched nothing.", f"{len(idle) - NAMED:,}")


def _name_skipped(report: Report, *, every: bool) -> None:
    for what, folders in (("not readable", report.unreadable_folders), ("not mounted", report.unmounted_folders)):
        for folder in folders:
            tell(f"  {what}: the folder {folder} (what is known of its pictures was kept)", logged=False)
    _name_files("skipped", _skipped(report), every=every)
    if report.as_before:
        tell("  What was skipped as before has not changed: --retry-skipped tries it again.", logged=False)
    if report.left_out:
        tell(f"  left out: {report.left_out.describe(printable)}", logged=False)


def _skipped(report: Report) -> list[tuple[str, str]]:
    return [(path, f"{reason} (as before)" if path in report.as_before else reason) for path, reason in report.skipped]


def _name_files(what: str, files: list[tuple[str, str]], *, every: bool) -> None:
    tell_some([f"  {what}: {path}: {reason}" for path, reason in files], every=every, logged=False)
