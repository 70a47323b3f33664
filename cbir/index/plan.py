"""A folder held against its index: what is new, changed or gone, and whether too much is gone to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cbir.errors import RefusedToForgetError, reason_of
from cbir.hashing import file_sha256
from cbir.images.scan import FoundFile, Scan, is_excluded, scan
from cbir.index.files import FileRecord
from cbir.index.kinds import wanted_kinds
from cbir.index.optional import Kind
from cbir.index.store import Index


@dataclass
class Plan:
    """What a run has to do. Rows are the index's.

    `fresh` are files to be read: new ones, and those whose size or time differs from what was indexed; the old
    rows of the latter are in `stale`. `gone` are the rows and records of files that the folder does not have any
    more. `rows_by_content` leads from a content's SHA-256 to a row with its features, valid or not.

    `missing` are, by the name of a kind of optional file, the contents that the index has, but without what such a file
    stores, each with its rows that count and go on counting; `again` are their unchanged files, which can be read
    again for it: by path, each one's row and content.
    """

    scan: Scan
    fresh: list[FoundFile] = field(default_factory=list)
    stale: dict[str, int] = field(default_factory=dict)
    gone: dict[int, FileRecord] = field(default_factory=dict)
    unchanged: int = 0
    rows_by_content: dict[str, int] = field(default_factory=dict)
    missing: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    again: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def to_read_again(self) -> list[FoundFile]:
        """One unchanged file of each content of which something is missing."""
        files = {content: path for path, (_, content) in self.again.items()}
        chosen = set(files.values())
        return [file for file in self.scan.files if file.path in chosen] if chosen else []

    def again_for(self, kind: Kind) -> list[str]:
        """The files, of those in `again`, that would be read for what `kind` stores."""
        missing = self.missing.get(kind.name, {})
        return [path for path, (_, content) in self.again.items() if content in missing]

    def leave(self, kind: Kind) -> None:
        """Look for nothing that `kind` stores of what the index has already."""
        self.missing.pop(kind.name, None)
        wanted = set().union(*self.missing.values())
        self.again = {path: (row, content) for path, (row, content) in self.again.items() if content in wanted}


def make_plan(
    root: Path, exclude: Sequence[str], index: Index | None, *, prune: bool = False, repair: bool = False
) -> Plan:
    """Walk `root` and compare sizes and times with the index, opening no picture that has not changed.

    Raises RefusedToForgetError where the root is missing, cannot be listed, or has lost more than half of the
    indexed files; `prune` allows that a root, or what was in it, is gone. With `repair`, what optional files
    should have and could not be had before is missing too.
    """
    try:
        plan = Plan(scan(root, exclude))
    except OSError as error:
        is_gone = isinstance(error, FileNotFoundError)
        if not (is_gone and prune and index is not None):
            what = "is not there" if is_gone else f"cannot be listed ({reason_of(error)})"
            raise _refusal(f"{root} {what}", "If it has moved, say where it is with --root FOLDER.") from error
        plan = Plan(Scan())
    if index is not None:
        _compare(plan, index, repair=repair)
        if not prune:
            _guard(plan, index, root, exclude)
    else:
        plan.fresh = plan.scan.files
    return plan


def _compare(plan: Plan, index: Index, *, repair: bool) -> None:
    # whole columns at a time: most rows of most runs are unchanged, and need no object of their own
    columns = index.columns()
    plan.rows_by_content = dict(zip(columns.sha256s, range(index.rows), strict=True))
    valid = index.valid
    rows = range(index.rows) if valid.all() else np.flatnonzero(valid).tolist()
    sizes, mtimes = columns.sizes, columns.mtimes_ns
    indexed = {columns.paths[row]: row for row in rows}
    without = {
        kind.name: set(np.flatnonzero(index.without(kind, in_vain_too=repair)).tolist())
        for kind in wanted_kinds(index.meta)
    }
    incomplete = set().union(*without.values())
    for file in plan.scan.files:
        row = indexed.pop(file.path, None)
        if row is None:
            plan.fresh.append(file)
        elif sizes[row] == file.size and mtimes[row] == file.mtime_ns:
            plan.unchanged += 1
            if row in incomplete:
                plan.again[file.path] = row, columns.sha256s[row]
        else:
            plan.fresh.append(file)
            plan.stale[file.path] = row
    # of what is below a folder that could not be listed nothing is known, so it is not gone
    hidden = tuple(f"{folder}/" for folder in plan.scan.unreadable)
    plan.gone = {
        row: FileRecord(path, sizes[row], mtimes[row], columns.sha256s[row])
        for path, row in indexed.items()
        if not path.startswith(hidden)
    }
    counting = incomplete.intersection(rows).difference(plan.gone, plan.stale.values())
    for name, its_rows in without.items():
        plan.missing[name] = {columns.sha256s[row]: [] for row in its_rows}
        for row in sorted(its_rows & counting):
            plan.missing[name][columns.sha256s[row]].append(row)


def _guard(plan: Plan, index: Index, root: Path, exclude: Sequence[str]) -> None:
    """Refuse to go on where most files are gone: an unmounted disk must not empty an index.

    Files that were moved are not gone, so new files that have the size of a missing one are hashed; nor are
    files that an `--exclude` leaves out now.
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
                moved.add(file_sha256(root / file.path))
            except OSError:
                continue
    lost = sum(record.sha256 not in moved for record in missing)
    if lost * 2 > total:
        raise _refusal(f"{lost:,} of the {total:,} indexed pictures are gone from {root}")


def _is_left_out(path: str, exclude: Sequence[str]) -> bool:
    """Whether a pattern matches the path or one of the folders that it lies in."""
    parts = path.split("/")
    return any(is_excluded("/".join(parts[: i + 1]), exclude) for i in range(len(parts)))


def _refusal(what: str, otherwise: str = "") -> RefusedToForgetError:
    return RefusedToForgetError(
        f"{what}: is a disk not mounted? The index was left as it is. "
        f"{otherwise}{' ' if otherwise else ''}To forget pictures that are gone for good, use --prune."
    )
