"""A folder held against its index: what is new, changed or gone, and whether too much is gone to believe it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cbir.errors import CbirError, ImageReadError, IndexDamagedError, RefusedToForgetError, reason_of
from cbir.images.contents import read_bytes
from cbir.images.formats.suffixes import is_below_systems
from cbir.images.patterns import Patterns
from cbir.images.scan import FoundFile, Look, Scan, look_into, nothing_to_look_into
from cbir.images.sources.address import Address, Location
from cbir.images.sources.source import source_of
from cbir.index.columns.column import Column
from cbir.index.columns.times import CHANGED, noted
from cbir.index.datafile import of_doubles
from cbir.index.files import FileRecord
from cbir.index.refused import OTHER, OWN, Refused
from cbir.index.store import Index
from cbir.utils.hashing import file_sha256

#: No file that was refused before.
EMPTY: Mapping[str, Refused] = MappingProxyType({})


class Known(NamedTuple):
    """The row of a file that is to be read because it may have changed, and the SHA-256 of what it was.

    `stays` tells that size and time are the same, so that the row is right if the content is; `is_touched` that
    something about the file has changed nevertheless.
    """

    row: int
    sha256: str
    stays: bool
    is_touched: bool


@dataclass(frozen=True)
class KnownContents:
    """The contents that an index has, and those of each column that it lacks: see `Plan`. Plain data, to be pickled."""

    rows: Mapping[str, int]
    backfill: Mapping[str, Mapping[str, list[int]]]

    def __call__(self, sha256: str) -> set[str] | None:
        """Return the columns that the index lacks of a content, None where it does not have the content itself."""
        if sha256 not in self.rows:
            return None
        return {name for name, contents in self.backfill.items() if sha256 in contents}


@dataclass
class Plan:
    """The work that a run has to do. Rows are the index's.

    `fresh` are files to be read: new ones, and those whose size or times differ from what was indexed; of the latter
    `stale` has what is known. `undated` are rows of which the index did not say when their files changed last, and the
    walk does. `gone` are the rows and records of files that the folder does not have any more. Files that could not be
    looked at are not gone: so many rows are `kept` for them, also for those in `unmounted`, folders in which another
    file system began once, and for those that were imported and are not here. `rows_by_content` leads from a content's
    SHA-256 to a row with its features, valid or not.

    `refused` are, by their paths, files that were refused before and have not changed, with the reasons for those that
    count as pictures in `as_before`, and those that are no pictures by their first bytes. `refused_before` is what the
    plan was made with. So many files are `unsettled`: they changed a moment ago, and perhaps still do.

    `backfill[column][sha256]` lists the valid rows of a content that lacks that column, and stays in the index; `again`
    are their unchanged files, which can be read again for it: by path, each one's row and content.

    Of a preview only, `by_others` is how many of the files each network beside the index's own has not seen yet, and
    `unwanted` names what the index is not to have any more.
    """

    scan: Scan
    fresh: list[FoundFile] = field(default_factory=list)
    stale: dict[str, Known] = field(default_factory=dict)
    undated: dict[int, int] = field(default_factory=dict)
    gone: dict[int, FileRecord] = field(default_factory=dict)
    kept: int = 0
    unmounted: list[str] = field(default_factory=list)
    refused: dict[str, Refused] = field(default_factory=dict)
    refused_before: Mapping[str, Refused] = field(default_factory=dict)
    as_before: list[tuple[str, str]] = field(default_factory=list)
    unchanged: int = 0
    unsettled: int = 0
    rows_by_content: dict[str, int] = field(default_factory=dict)
    backfill: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    again: dict[str, tuple[int, str]] = field(default_factory=dict)
    by_others: dict[str, int] = field(default_factory=dict)
    unwanted: list[str] = field(default_factory=list)

    @property
    def mounts(self) -> tuple[str, ...]:
        """The folders in which another file system begins, or did when it was there."""
        return tuple(sorted({*self.scan.mounts, *self.unmounted}))

    @property
    def to_read_again(self) -> list[FoundFile]:
        """One unchanged file of each content of which something is missing."""
        files = {content: path for path, (_, content) in self.again.items()}
        chosen = set(files.values())
        return [file for file in self.scan.files if file.path in chosen] if chosen else []

    @property
    def known(self) -> KnownContents:
        """The contents that the index has, now and as the plan is carried out."""
        return KnownContents(self.rows_by_content, self.backfill)

    def again_for(self, column: Column) -> list[str]:
        """Return the files, of those in `again`, that would be read for a column."""
        missing = self.backfill.get(column.name, {})
        return [path for path, (_, content) in self.again.items() if content in missing]

    def renew(self, column: Column, where: Column) -> None:
        """Make a column anew where another is filled in, of the same rows, though the index may have it."""
        missing = self.backfill.setdefault(column.name, {})
        for content, rows in self.backfill.get(where.name, {}).items():
            missing[content] = sorted({*missing.get(content, ()), *rows})

    def skip(self, column: Column) -> None:
        """Fill in a column of nothing that the index has already."""
        self.backfill.pop(column.name, None)
        wanted = set().union(*self.backfill.values())
        self.again = {path: (row, content) for path, (row, content) in self.again.items() if content in wanted}


def make_plan(
    root: Location,
    exclude: Patterns,
    index: Index | None,
    *,
    prune: bool = False,
    repair: bool = False,
    rehash: bool = False,
    refused: Mapping[str, Refused] = EMPTY,
    resting: float = 0,
    guarded: bool = True,
) -> Plan:
    """Walk `root` and compare sizes and times with the index, opening no picture that has not changed.

    Raises RefusedToForgetError where the root is missing, cannot be listed, or has lost more than half of the
    indexed files; `prune` allows that a root, or what was in it, is gone. With `repair`, what columns
    should have and could not be had before is missing too. With `rehash`, every file is to be read.
    Files that are `refused` are not read unless they have changed. What has changed within the last `resting` seconds
    is left as it is. That most files are gone counts as sure where the plan is not `guarded`.
    """
    try:
        source = source_of(root)
        plan, look = Plan(source.scan(exclude)), source.look
    except OSError as error:
        if index is None and isinstance(root, Address):
            raise CbirError(f"{root} cannot be listed ({reason_of(error)}).") from error
        is_gone = isinstance(error, FileNotFoundError)
        if not (is_gone and prune and index is not None):
            what = "is not there" if is_gone else f"cannot be listed ({reason_of(error)})"
            raise _refusal(f"{root} {what}", "If it has moved, say where it is with --root FOLDER.") from error
        plan, look = Plan(Scan()), nothing_to_look_into
    plan.refused_before = refused
    if index is not None:
        _compare(plan, index, root, look, exclude, refused, prune=prune, repair=repair, rehash=rehash)
        _leave_unsettled(plan, resting)
        if guarded and not prune:
            _guard(plan, index, root, exclude)
    else:
        opened = look_into(look, plan.scan, lambda file: None)
        plan.refused = {file.path: Refused.of(file, OTHER) for file in opened}
        plan.fresh = plan.scan.files
        _leave_unsettled(plan, resting)
    return plan


def _leave_unsettled(plan: Plan, resting: float) -> None:
    """Take files off the fresh that changed within the last so many seconds; their rows stay."""
    if not resting:
        return
    now = time.time_ns()
    begin = now - int(resting * 10**9)
    has_tokens = plan.scan.has_tokens
    settled = [
        file
        for file in plan.fresh
        if not begin <= (file.mtime_ns if has_tokens else max(file.mtime_ns, file.ctime_ns)) <= now
    ]
    plan.unsettled = len(plan.fresh) - len(settled)
    for path in {file.path for file in plan.fresh} - {file.path for file in settled}:
        plan.stale.pop(path, None)
    plan.fresh = settled


def _compare(
    plan: Plan,
    index: Index,
    root: Location,
    look: Look,
    exclude: Patterns,
    refused: Mapping[str, Refused],
    *,
    prune: bool,
    repair: bool,
    rehash: bool,
) -> None:
    # whole lists at a time: most rows of most runs are unchanged, and need no object of their own
    files = index.files()
    plan.rows_by_content = dict(zip(files.sha256s, range(index.rows), strict=True))
    valid = index.valid
    rows = range(index.rows) if valid.all() else np.flatnonzero(valid).tolist()
    sizes, mtimes, ctimes = files.sizes, files.mtimes_ns, _changed(index)
    indexed = {files.paths[row]: row for row in rows}
    if len(indexed) < len(rows):
        raise IndexDamagedError(of_doubles(index.directory, len(rows) - len(indexed)))
    without = {
        column.name: set(np.flatnonzero(index.missing(column, unavailable_too=repair)).tolist())
        for column in index.meta.wanted_columns
    }
    incomplete = set().union(*without.values())

    def is_same(file: FoundFile, row: int) -> bool:
        if sizes[row] != file.size:
            return False
        # a token that differs is like a change of ctime: the content is compared
        has_token = plan.scan.has_tokens and file.ctime_ns != 0 and ctimes[row] != 0
        return has_token or mtimes[row] == file.mtime_ns

    def still_refused(file: FoundFile) -> Refused | None:
        known = refused.get(file.path)
        return known if known is not None and known.is_still(file) else None

    def verdict(file: FoundFile) -> bool | None:
        row = indexed.get(file.path)
        if row is not None and is_same(file, row):
            return True
        known = still_refused(file)
        if known is None:
            return None
        plan.refused[file.path] = known
        return known.kind != OTHER

    opened = look_into(look, plan.scan, verdict)
    plan.refused.update((file.path, Refused.of(file, OTHER)) for file in opened)
    for file in plan.scan.files:
        row = indexed.pop(file.path, None)
        if row is None:
            known = still_refused(file)
            if known is None:
                plan.fresh.append(file)
            else:
                plan.refused[file.path] = known
                if known.kind == OWN:
                    plan.scan.left_out.add(OWN, file.path)
                else:
                    plan.as_before.append((file.path, known.reason))
            continue
        stays = is_same(file, row)
        is_touched = file.ctime_ns != 0 and ctimes[row] not in (0, noted(file.ctime_ns))
        if stays and not is_touched and not rehash:
            plan.unchanged += 1
            if row in incomplete:
                plan.again[file.path] = row, files.sha256s[row]
            if ctimes[row] == 0 and file.ctime_ns != 0:
                plan.undated[row] = file.ctime_ns
        else:
            plan.fresh.append(file)
            plan.stale[file.path] = Known(row, files.sha256s[row], stays, is_touched)
    plan.gone = {row: FileRecord(path, sizes[row], mtimes[row], files.sha256s[row]) for path, row in indexed.items()}
    if not prune:
        plan.unmounted = _unmounted(plan, index.meta.mounts, root, exclude)
        if index.meta.imported:
            _keep_unseen(plan, ctimes)
    _keep_unknown(plan, refused)
    replaced = (known.row for known in plan.stale.values() if not known.stays)
    counting = incomplete.intersection(rows).difference(plan.gone, replaced)
    for name, its_rows in without.items():
        plan.backfill[name] = {files.sha256s[row]: [] for row in its_rows}
        for row in sorted(its_rows & counting):
            plan.backfill[name][files.sha256s[row]].append(row)


def _changed(index: Index) -> list[int]:
    """Return the times at which the files of all rows changed last, as `times.noted` has them; 0 where nobody knows."""
    times = np.zeros(index.rows, dtype=np.int64)
    try:
        for first, chunk in index.stored_chunks(CHANGED):
            times[first : first + len(chunk)] = chunk[:, 0]
    except IndexDamagedError:  # sizes and the other times are enough, and these are noted anew
        times[:] = 0
    return times.tolist()


def _unmounted(plan: Plan, mounts: Iterable[str], root: Location, exclude: Patterns) -> list[str]:
    """Return the folders in which another file system began once, had pictures, and now are empty or not there."""
    if isinstance(root, Address):
        return []
    now = set(plan.scan.mounts)
    away = []
    for folder in mounts:
        if folder in now or exclude.leaves_out(folder) or is_below_systems(folder):
            continue
        if not any(record.path.startswith(f"{folder}/") for record in plan.gone.values()):
            continue
        if folder in plan.scan.empty or not os.path.lexists(root / folder):
            away.append(folder)
    return away


def _keep_unseen(plan: Plan, ctimes: list[int]) -> None:
    """Take files off the gone that came to the index without their pictures, and were never looked at here."""
    unseen = [row for row in plan.gone if ctimes[row] == 0]
    for row in unseen:
        del plan.gone[row]
    plan.kept += len(unseen)


def _keep_unknown(plan: Plan, refused: Mapping[str, Refused]) -> None:
    """Take files off the gone that could not be looked at, as little as the folders they lie in.

    Those of them that are `refused` stay so.
    """
    folders = tuple(f"{folder}/" for folder in (*plan.scan.unreadable, *plan.unmounted))
    unknown = plan.scan.unknown

    def is_unknown(path: str) -> bool:
        if path.startswith(folders) or path in unknown:
            return True
        end = path.find("/")
        while unknown and end > 0:  # what is there may have been a folder
            if path[:end] in unknown:
                return True
            end = path.find("/", end + 1)
        return False

    kept = [row for row, record in plan.gone.items() if is_unknown(record.path)]
    for row in kept:
        del plan.gone[row]
    plan.kept += len(kept)
    if folders or unknown:
        plan.refused.update((path, known) for path, known in refused.items() if is_unknown(path))


def _guard(plan: Plan, index: Index, root: Location, exclude: Patterns) -> None:
    """Refuse to go on where most files are gone: an unmounted disk must not empty an index.

    Files that were moved are not gone, so new files that have the size of a missing one are hashed; nor are
    files that an `--exclude` leaves out now, or that lie in a system's folder.
    """
    total = len(index)
    missing = [record for record in plan.gone.values() if not _is_left_out(record.path, exclude)]
    if len(missing) * 2 <= total:
        return
    sizes = {record.size for record in missing}
    moved = set()
    for file in plan.fresh:
        if file.size in sizes:
            try:
                moved.add(_sha256(root, file))
            except (OSError, ImageReadError):
                continue
    lost = sum(record.sha256 not in moved for record in missing)
    if lost * 2 > total:
        raise _refusal(f"{lost:,} of the {total:,} indexed pictures are gone from {root}")


def _sha256(root: Location, file: FoundFile) -> str:
    """Return the SHA-256 of a file's content. Raises OSError or ImageReadError."""
    if isinstance(root, Address):
        return hashlib.sha256(read_bytes(root.at(file.path, file.size))).hexdigest()
    return file_sha256(root / file.path)


def _is_left_out(path: str, exclude: Patterns) -> bool:
    return exclude.leaves_out(path) or is_below_systems(path)


def _refusal(what: str, otherwise: str = "") -> RefusedToForgetError:
    return RefusedToForgetError(
        f"{what}: is a disk not mounted? The index was left as it is. "
        f"{otherwise}{' ' if otherwise else ''}To forget pictures that are gone for good, use --prune."
    )
