"""Bringing an index up to date with its folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cbir.errors import DecodersError, IndexDamagedError, OwnOutputError
from cbir.extract.results import Extracted
from cbir.images.patterns import Patterns
from cbir.images.scan import FoundFile
from cbir.images.sources.address import Location
from cbir.images.sources.source import place_of
from cbir.index.columns import times
from cbir.index.columns.column import Column, Records
from cbir.index.columns.registry import content_columns
from cbir.index.columns.times import CHANGED
from cbir.index.files import FileRecord
from cbir.index.format import CHOSEN, UNKNOWN, Meta
from cbir.index.refused import OWN, SKIPPED, Refused
from cbir.index.rewrite import Stored
from cbir.index.writer import Writer
from cbir.indexing.plan import Known, Plan
from cbir.indexing.policy import CommitPolicy
from cbir.indexing.report import Report
from cbir.utils.stopping import at_forced_end, deferred, kept

#: From files as keys and their places to their results, in order.
Extract = Callable[[Iterable[tuple[FoundFile, Location]]], Iterator[Extracted[FoundFile]]]


def carry_out(
    plan: Plan,
    writer: Writer,
    extract: Extract,
    *,
    root: Location,
    exclude: Patterns,
    commits: CommitPolicy,
    wanted: Meta,
    readers: Callable[[], str] = str,
    mend: bool = False,
) -> Report:
    """Carry a plan out, committing as `commits` says. The caller holds the lock.

    `root` and `exclude` are what the plan was made with, and `wanted` says of the groups of `format.CHOSEN` what the
    index is to say; it remembers them all. `readers` tells what tries to read the pictures; to `mend` is as in
    `Writer.tidy`.
    Files whose content is known (moved, copied, or only touched) get the features that are already there. Last come
    the files that are read again for what columns should have of them. What a KeyboardInterrupt finds done is
    committed before it passes on.
    """
    started = time.monotonic()
    report = Report(unchanged=plan.unchanged, kept=plan.kept, unsettled=plan.unsettled, left_out=plan.scan.left_out)
    report.idle_patterns = exclude.unmatched()
    report.skipped = [*plan.scan.problems, *plan.as_before]
    report.as_before = {path for path, _ in plan.as_before}
    report.unreadable_folders = list(plan.scan.unreadable)
    report.unmounted_folders = plan.unmounted
    remembered: dict[str, Any] = {
        "root": str(root),
        "exclude": exclude.patterns,
        "ignore_case": exclude.ignore_case,
        "mounts": plan.mounts,
        **{group: getattr(wanted, group) for group in CHOSEN},
        "precisions": writer.meta.precisions or ((UNKNOWN,) if writer.meta.rows else ()),
    }
    # None where what is stored is not to be held against
    noted = plan.refused_before if plan.refused_before or writer.meta.refused is None else None
    missing = Counter(record.sha256 for record in plan.gone.values())
    again = plan.to_read_again
    files = ((file, place_of(root, file)) for file in [*plan.fresh, *again])
    has_come_to_again = False
    commits.begin()

    def commit(*, complete: bool) -> None:
        nonlocal noted
        if plan.refused != noted:
            writer.keep_refused(plan.refused.values(), readers())
            noted = dict(plan.refused)
        writer.commit(complete=complete, **remembered)

    def keep() -> None:
        commit(complete=False)

    try:
        with at_forced_end(keep), deferred():
            for result in extract(files):
                with kept:
                    if not has_come_to_again and result.key.path in plan.again:
                        # that may take long: a commit on the way has all else
                        writer.invalidate(plan.gone)
                        has_come_to_again = True
                    _settle(result, plan, writer, report, missing)
                    if result.precision not in (None, *remembered["precisions"]):
                        remembered["precisions"] = (*remembered["precisions"], result.precision)
                    if commits.is_due(writer.uncommitted):
                        with commits.committing():
                            keep()
        with kept:
            for row, ctime_ns in plan.undated.items():
                writer.backfill(CHANGED, [row], times.pack(ctime_ns))
            writer.invalidate(plan.gone)
            report.removed = len(plan.gone) - report.moved
            commit(complete=True)
    except (KeyboardInterrupt, DecodersError):
        with kept:
            keep()
        raise
    writer.tidy(mend=mend)
    report.skipped.sort()
    for problems in report.not_backfilled.values():
        problems.sort()
    report.total = writer.count_valid()
    report.seconds = time.monotonic() - started
    return report


def _settle(result: Extracted[FoundFile], plan: Plan, writer: Writer, report: Report, missing: Counter[str]) -> None:
    """Do with one result what is to be done, and report it. `missing` are the contents of files that are gone."""
    path = result.key.path
    if isinstance(result.error, OwnOutputError):
        _leave_out(result.key, plan, report)
        return
    if path in plan.again:
        row, content = plan.again[path]
        if result.sha256 in ("", content):
            _complete(result, content, plan, writer, report)
            return
        # it has changed, though size and times are what they were
        plan.stale[path] = Known(row, content, stays=True, is_touched=False)
        report.unchanged -= 1
    known = plan.stale.get(path)
    if known is not None and known.stays and known.sha256 == result.sha256:
        _stay(result, known, plan, writer, report)
        return
    was_known = result.sha256 in plan.rows_by_content
    problem = _take(result, plan, writer, report)
    if problem is not None:
        report.skipped.append((path, problem))
        if result.error is None or not result.error.transient:
            plan.refused[path] = Refused.of(result.key, SKIPPED, problem)
    elif known is not None and known.sha256 == result.sha256:
        report.touched += 1
    elif known is not None:
        report.changed += 1
        report.changed_unseen += known.stays and not known.is_touched
    elif missing[result.sha256] > 0:
        missing[result.sha256] -= 1
        report.moved += 1
    elif was_known:
        report.copied += 1
    else:
        report.added += 1


def _leave_out(file: FoundFile, plan: Plan, report: Report) -> None:
    """Have no row of a picture that cbir made."""
    plan.refused[file.path] = Refused.of(file, OWN)
    report.left_out.add(OWN, file.path)
    if file.path in plan.again:
        row, content = plan.again[file.path]
        report.unchanged -= 1
    elif file.path in plan.stale:
        row, content, *_ = plan.stale[file.path]
    else:
        return
    plan.gone[row] = FileRecord(file.path, file.size, file.mtime_ns, content)


def _stay(result: Extracted[FoundFile], known: Known, plan: Plan, writer: Writer, report: Report) -> None:
    """Keep the row of a file whose content, size and time are what they were, and note when it changed last."""
    if known.is_touched:
        report.touched += 1
    else:
        report.unchanged += 1
    if result.key.ctime_ns:
        writer.backfill(CHANGED, [known.row], times.pack(result.key.ctime_ns))
    _complete(result, known.sha256, plan, writer, report)


def _complete(result: Extracted[FoundFile], content: str, plan: Plan, writer: Writer, report: Report) -> None:
    """Fill in what the index lacks of a content that it has, as far as one result tells."""
    for column in content_columns():
        if content not in plan.backfill.get(column.name, {}):
            continue
        if result.error is not None and column.counted_by is None:
            report.not_backfilled.setdefault(column.name, []).append((result.key.path, result.error.reason))
        # of a file that could not be reached nothing is known, so the next run tries it again
        if result.error is None or not result.error.transient:
            _kept(column, result.records.get(column.name), content, plan, writer, report)


def _take(result: Extracted[FoundFile], plan: Plan, writer: Writer, report: Report) -> str | None:
    """Put one result into the index in place of the file's old row, if it has one; the reason where it cannot be."""
    file, stale = result.key, plan.stale.get(result.key.path)
    known = plan.rows_by_content.get(result.sha256)
    # of a content that is known, only what columns have can have failed to be found
    error = result.error if known is None else None
    # a file that cannot be reached just now may be what it was; one that is no picture any more is not
    if stale is not None and not (error is not None and error.transient):
        # first, so that an interruption leaves the file with no row, which the next run mends, and never with two
        writer.invalidate([stale.row])
    if error is not None:
        return error.reason
    feature = result.feature if known is None else writer.feature(known)
    if known is not None and feature is None:
        return "what the index has of its content is damaged, and --repair reads that again"
    if feature is not None and feature.shape != (writer.meta.dimension,):
        raise IndexDamagedError(
            f"{writer.directory} holds {writer.meta.dimension} numbers a row, but its network makes {feature.size}: "
            "index the folder again."
        )
    record = FileRecord(file.path, file.size, file.mtime_ns, result.sha256)
    if feature is None or not writer.add(record, feature, _stored(result, plan, writer, report)):
        return "the network makes nothing of it (its features are zero or not finite)"
    plan.rows_by_content[result.sha256] = writer.last_row
    return None


def _stored(result: Extracted[FoundFile], plan: Plan, writer: Writer, report: Report) -> Stored:
    """Return the columns' records for a result's row; rows of the same content that lack them are given them too."""
    kept = {
        column.name: _kept(column, result.records.get(column.name), result.sha256, plan, writer, report)
        for column in content_columns()
    }
    if result.key.ctime_ns:
        kept[CHANGED.name] = times.pack(result.key.ctime_ns)
    return {name: records for name, records in kept.items() if records is not None}


def _kept(
    column: Column, found: Records | None, sha256: str, plan: Plan, writer: Writer, report: Report
) -> Records | None:
    """Return a column's record of a content, the one `found` now or one from before; None where nothing is known."""
    missing, known = plan.backfill.get(column.name, {}), plan.rows_by_content.get(sha256)
    # what was to be made anew, and cannot be, stays as it was
    before = None if found is not None or known is None else writer.stored(column, known)
    if found is None and sha256 not in missing:
        return before
    rows = missing.pop(sha256, [])
    records = before if found is None else found
    if records is None:
        records = column.unavailable
    writer.backfill(column, rows, records)
    if found is not None and column.counted_by is None:
        report.backfilled[column.name] += len(rows)
    return records
