"""Making an index of a folder, or bringing one up to date: the folder, the network and the index together."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from cbir.backbones.backbone import Backbone, choose
from cbir.backbones.families import stored_name
from cbir.backbones.head import classifier_of
from cbir.backbones.names import ONNX, prefix_of
from cbir.errors import CbirError, IndexDamagedError, RefusedToForgetError
from cbir.extract.executor import Executor, LocalExecutor, Work, chunks_of
from cbir.extract.extractor import Extractor, Watch
from cbir.extract.of_index import backbone_of
from cbir.extract.results import Extracted
from cbir.images.formats.readers import describe_readers
from cbir.images.patterns import Patterns, check_lengths
from cbir.images.scan import FoundFile
from cbir.images.sources.address import Location, root_of
from cbir.index import refused
from cbir.index.columns.classes import CLASSES
from cbir.index.columns.registry import named_columns
from cbir.index.entries import PartsEntry
from cbir.index.format import META, load_meta
from cbir.index.rights import Rights
from cbir.index.store import Index
from cbir.index.verify import without_damage, without_damaged_columns
from cbir.index.writer import Writer
from cbir.indexing import networks
from cbir.indexing.apply import carry_out
from cbir.indexing.donor import Donor
from cbir.indexing.forgotten import leaving_out_forgotten
from cbir.indexing.makers import Making, make_makers
from cbir.indexing.opening import first_state, opened_for_writing
from cbir.indexing.options import Options as Options
from cbir.indexing.plan import Plan, make_plan
from cbir.indexing.policy import CommitPolicy, commit_policy
from cbir.indexing.report import Report
from cbir.indexing.rows_elsewhere import keep_rows, refuse_without_features
from cbir.indexing.target import Target, choose_target
from cbir.utils.printable import printable
from cbir.utils.room import check_room

logger = logging.getLogger("cbir")

# Address space that threads and their heaps take at least.
_ROOM = 100 << 20

#: So many files are not read without a word because their times have changed.
WORTH_TELLING = 100


def preview(target: Target, options: Options) -> Plan:
    """Plan what `build_index` would do, without writing anything. Files are not read: moves count as new and gone."""
    index = None if target.is_new else Index.open(target.directory)
    plan = _plan(target, _exclude(options, index), index, options)
    if index is not None:
        asked, own = _asked_for(index, options), backbone_of(index)
        if plan.again_for(CLASSES) and classifier_of(asked if asked.matches(own) else own) is None:
            plan.skip(CLASSES)
        plan.unwanted = options.wanted.unwanted(index.meta)
        paths = (file.path for file in plan.scan.files)
        plan.by_others = networks.foretell(target.directory, asked, paths, keep_old=options.keep_old)
    return plan


def build_index(
    target: Target,
    options: Options | None = None,
    watch: Watch = lambda results, total: results,
    *,
    executor: Executor | None = None,
    commits: CommitPolicy | None = None,
) -> tuple[Report, Backbone]:
    """Make or refresh the index of a folder.

    `watch` is given the results as they come and how many there will be, and passes them on: the place for a
    progress bar. Where something is to be learnt of pictures first, it is given these before. The `executor` extracts,
    by default in this process, and `commits` says when to commit. Returns what was done and the backbone of the index,
    by which it is searched from now on.

    Raises RefusedToForgetError where the root looks unmounted, IndexLockedError where another run is at work,
    IndexConflictError where `options` contradict the index, CbirError where a new index would be empty.
    """
    check_room(_ROOM)
    options = options or Options()
    making = _Making(target, options, watch, executor or LocalExecutor(), commits)
    with _opened_for_writing(target, options) as index:
        if index is None:
            backbone = _first_backbone(options)
            return making.bring_up_to_date(backbone, None, None), backbone
        asked = _asked_for(index, options)
        own = backbone_of(index)
        is_own = asked.matches(own)
        try:
            report = making.bring_up_to_date(asked if is_own else own, index, Writer(target.directory, index.meta))
        except networks.UNAVAILABLE as error:
            if is_own:
                raise
            logger.warning("%s is not brought up to date by %s: %s", target.name, own.label, error)
            report = Report(total=len(index))
        report.by_others = networks.bring_along(
            target.directory,
            asked,
            making.bring_up_to_date,
            is_chosen=options.model is not None,
            keep_old=options.keep_old,
            prune=options.prune,
        )
        has_moved = any(one.has_taken_over for one in report.by_others)
        return report, backbone_of(Index.open(target.directory)) if has_moved else (asked if is_own else own)


@dataclass(frozen=True)
class _Making:
    """The making of an index's rows by one network after the other, with the arguments of `build_index`."""

    target: Target
    options: Options
    watch: Watch
    executor: Executor
    commits: CommitPolicy | None

    def bring_up_to_date(
        self, backbone: Backbone, index: Index | None, writer: Writer | None, donor: Donor | None = None
    ) -> Report:
        """Make what the index lacks by one network; a new one has neither index nor writer yet.

        What follows from pictures alone comes from the `donor`, where there is one.
        """
        target, options = self.target, self.options
        if donor is not None:  # its state has been told already what it is to have, as far as the index has it
            options = replace(options, parts=None, objects=None, faces=None, treatment=None)
        exclude = _exclude(options, index)
        plan = _plan(target, exclude, index, options, guarded=donor is None)
        if index is None and not plan.fresh:
            raise CbirError(f"There are no pictures in {target.root}{_what_there_is(plan)}.")
        if writer is None:
            first = first_state(backbone, target.root)
            writer = Writer(target.directory, keep_rows(target.directory, first, options.candidates, options.rows))
        if donor is None:
            _tell_of_interruption(plan, index)
        extractor, making = _extractor(target, options, backbone, plan, writer, self.watch, donor)
        _tell_of_reading(plan, options)
        to_read = len(plan.fresh) + len(plan.to_read_again)

        def extract(files: Iterable[tuple[FoundFile, Location]]) -> Iterator[Extracted[FoundFile]]:
            chunks = self.executor.map(Work(extractor, plan.known), chunks_of(files))
            results = self.watch(chain.from_iterable(chunks), to_read)
            results = results if donor is None else donor.completed(results)
            return leaving_out_forgotten(target.directory, results)

        report = carry_out(
            plan,
            writer,
            extract,
            root=target.root,
            exclude=exclude,
            commits=self.commits or commit_policy(parts=making.wanted.parts is not None),
            wanted=making.wanted,
            readers=functools.partial(describe_readers, options.max_pixels),
            mend=options.repair,
        )
        if making.wanted.parts is not None and donor is None:
            _warn_of_growth(making.wanted.parts, report.total, target.name)
        return report


@contextlib.contextmanager
def _opened_for_writing(target: Target, options: Options) -> Iterator[Index | None]:
    """Make the directory of an index, lock it while the block runs, and yield the index, None where it is new.

    Files that are damaged are left out of it before. A directory that no index came to be in is removed at the end.
    """
    directory = target.directory
    with opened_for_writing(directory, Rights.like(target.root, directory), options.wait):
        if (directory / META).exists():
            if not options.repair:
                refuse_without_features(directory)
            _drop_damaged(directory, everything=options.repair, prune=options.prune)
            if options.drop is not None:
                networks.drop(directory, stored_name(options.drop))
            options.wanted.take_away(directory)
            keep_rows(directory, load_meta(directory), options.candidates, options.rows)
        # what another run changed before the lock was ours counts
        yield Index.open(directory) if (directory / META).exists() else None


def _extractor(
    target: Target,
    options: Options,
    backbone: Backbone,
    plan: Plan,
    writer: Writer,
    watch: Watch,
    donor: Donor | None,
) -> tuple[Extractor, Making]:
    """Make the extractor of a run, with its makers; the plan leaves out what cannot be had. Return what they were made
    of, too: it has what the index is to say of them."""
    extractor = Extractor(
        backbone,
        engine=options.engine,
        expected=len(plan.fresh) + len(plan.again),
        isolated=True,
        max_pixels=options.max_pixels,
        leave_own=True,
    )
    making = Making(
        extractor,
        plan,
        writer,
        target.root,
        watch,
        options.wanted.of(writer.meta),
        detector=options.detector,
        face_model=options.face_model,
        engine=options.engine,
        donor=donor,
    )
    extractor = extractor.with_makers(make_makers(making))
    lacking = plan.again_for(CLASSES) or (plan.fresh and plan.backfill.get(CLASSES.name))
    if lacking and not _can_extract(extractor):
        plan.skip(CLASSES)
    return extractor, making


def _tell_of_interruption(plan: Plan, index: Index | None) -> None:
    if index is not None and not index.meta.complete and plan.unchanged < len(plan.scan.files):
        done, total = f"{plan.unchanged:,}", f"{len(plan.scan.files):,}"
        logger.info("%s of %s already done (the last run was interrupted).", done, total)


def _tell_of_reading(plan: Plan, options: Options) -> None:
    """Tell of files that are read though they seem to be as they were."""
    compared = sum(known.stays for known in plan.stale.values())
    if compared >= WORTH_TELLING:
        why = "" if options.rehash else ", whose times have changed"
        logger.info("Comparing the contents of %s files with the index%s.", f"{compared:,}", why)
    if plan.again:
        what = " and ".join(column.name for column in named_columns() if plan.again_for(column))
        logger.info("Reading %s pictures again for their %s, which the index lacks.", f"{len(plan.again):,}", what)


def _plan(target: Target, exclude: Patterns, index: Index | None, options: Options, *, guarded: bool = True) -> Plan:
    if index is not None and (meta := options.wanted.of(index.meta)) is not index.meta:
        index = Index(index.directory, meta)
    return make_plan(
        target.root,
        exclude,
        index,
        prune=options.prune,
        repair=options.repair,
        rehash=options.rehash,
        refused=_refused(index, options),
        resting=options.resting,
        guarded=guarded,
    )


def _refused(index: Index | None, options: Options) -> dict[str, refused.Refused]:
    """Return the files that were refused before and are not to be tried again."""
    entry = None if index is None else index.meta.refused
    if index is None or entry is None or options.retry_skipped or options.repair:
        return {}
    if entry.readers != describe_readers(options.max_pixels):
        return {}
    try:
        return refused.load(index.directory, entry)
    except IndexDamagedError:
        return {}


def index_folder(
    folder: Location | str,
    name: str | None = None,
    *,
    model: str | None = None,
    weights: str | None = None,
    views: int | None = None,
    engine: str | None = None,
    exclude: Sequence[str] | None = None,
    ignore_case: bool | None = None,
    prune: bool = False,
    rehash: bool = False,
    wait: float = 0,
    parts: bool | None = None,
    objects: bool | None = None,
    detector: str | None = None,
    faces: bool | None = None,
    face_model: str | None = None,
    treatment: bool | None = None,
    keep_old: bool = False,
    watch: Watch = lambda results, total: results,
) -> tuple[Index, Report]:
    """Make an index of a folder, or of another source, or bring it up to date, as `cbir index FOLDER` does.

    `name` is the index's name or path, and the folder's own by default; `detector` is a name or a file; the others are
    as in `Options` and `build_index`. Returns the index and the report; raises what `build_index` raises.
    """
    from cbir.detect.registry import wish_for

    target = choose_target(root_of(folder, is_chosen=True) if isinstance(folder, str) else folder, name)
    options = Options(
        model=model,
        weights=weights,
        views=views,
        engine=engine,
        exclude=exclude,
        ignore_case=ignore_case,
        prune=prune,
        rehash=rehash,
        wait=wait,
        parts=parts,
        objects=objects,
        detector=None if detector is None else wish_for(detector),
        faces=faces,
        face_model=face_model,
        treatment=treatment,
        keep_old=keep_old,
    )
    report, _ = build_index(target, options, watch)
    return Index.open(target.directory), report


def _drop_damaged(directory: Path, *, everything: bool, prune: bool) -> None:
    """Leave damaged blocks out of an index; unless `everything`, only files of columns that cannot be read.

    RefusedToForgetError where rows would go that were imported, and cannot be read again, unless it is to `prune`.
    """
    whole = load_meta(directory)
    for model in [state.model for state in (whole, *whole.others)]:
        whole = load_meta(directory)
        meta = whole.by(model) or whole
        sound, problems = without_damage(directory, meta) if everything else without_damaged_columns(directory, meta)
        if meta.imported and not prune and len(sound.blocks) < len(meta.blocks):
            raise RefusedToForgetError(
                f"{problems[0]} But rows of {directory.name} came without their pictures, and what is damaged cannot "
                "be made of these: import them anew, or add --prune to go on without."
            )
        for problem in problems:
            logger.warning("%s", problem)
        if problems:
            Writer(directory, meta, whole=None if meta is whole else whole).replace(sound)
            logger.info("Its pictures are read again.")


def _warn_of_growth(parts: PartsEntry, pictures: int, name: str) -> None:
    from cbir.parts.learning import warn_of_growth

    warn_of_growth(parts, pictures, name)


def _can_extract(extractor: Extractor) -> bool:
    """Tell whether the network can be had here; a run that needs it for old pictures' classes only does not fail."""
    try:
        return extractor.engine is not None
    except CbirError as error:
        logger.warning("The classes of older pictures are not filled in: %s", error)
        return False


def _first_backbone(options: Options) -> Backbone:
    """Choose the network of a new index."""
    if isinstance(options.model, Backbone):
        return options.model
    backbone, remark = choose(options.model, options.weights, options.views or 1)
    if remark:
        logger.info("%s", remark)
    if backbone.weights.source == "untrained":
        logger.warning("The weights are random numbers: matches will mean little.")
    return backbone


def _asked_for(index: Index, options: Options) -> Backbone:
    model = options.model.name if isinstance(options.model, Backbone) else options.model
    if model is not None and prefix_of(model) != ONNX:  # which is a file's name
        model = stored_name(model)
    return networks.asked_for(index, model, options.weights, options.views, keep_old=options.keep_old)


def _exclude(options: Options, index: Index | None) -> Patterns:
    if options.exclude is not None or index is None:
        check_lengths(options.exclude or ())
        return Patterns(options.exclude or (), ignore_case=bool(options.ignore_case))
    meta = index.meta
    return Patterns(meta.exclude, ignore_case=meta.ignore_case if options.ignore_case is None else options.ignore_case)


def _what_there_is(plan: Plan) -> str:
    if plan.scan.problems:
        path, reason = plan.scan.problems[0]
        return f" that can be read ({printable(path)}: {reason})"
    return f" (left out: {plan.scan.left_out.describe(printable)})" if plan.scan.left_out else ""
