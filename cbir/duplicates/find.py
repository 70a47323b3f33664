"""Groups of pictures of an index that are the same, or nearly: which there are, and which one of each to keep."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cbir.images.sources.address import Address, Location
from cbir.index.columns.thumbnails import THUMBNAILS, are_known
from cbir.index.sizes import sizes_of
from cbir.utils.moments import moment
from cbir.utils.shares import Told, between, nobody

if TYPE_CHECKING:
    from cbir.index.files import Files
    from cbir.index.store import Index

#: The least score of a near-duplicate, unless another is asked for.
MIN_SCORE = 0.95


@dataclass(frozen=True)
class Member:
    """A picture of a group. `path` is absolute; `width` and `height` are None where the index does not have them.

    `score` is that with the kept picture, 1 where the two have the same content, which `is_exact` tells; the kept
    one has both. Where a picture is not near to the kept one but to most others, it is the best of those. `index` is
    the directory of the index that it is of, where several were looked through.
    """

    path: Location
    width: int | None
    height: int | None
    bytes: int
    mtime_ns: int
    score: float
    is_kept: bool
    is_exact: bool
    index: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the picture as JSON records have it."""
        return {
            "path": str(self.path),
            "width": self.width,
            "height": self.height,
            "bytes": self.bytes,
            "mtime": moment(self.mtime_ns // 10**9),
            "score": round(self.score, 4),
            "keep": self.is_kept,
            "exact": self.is_exact,
            **({} if self.index is None else {"index": str(self.index)}),
        }


@dataclass(frozen=True)
class Group:
    """Pictures that are the same, the one to keep first, the others by score.

    `label` is the class of the kept one, where a notion was asked and has one for it.
    """

    members: tuple[Member, ...]
    label: str | None = None

    @property
    def bytes(self) -> int:
        """The length of all files but the kept one."""
        return sum(member.bytes for member in self.members[1:])

    def to_dict(self) -> dict[str, Any]:
        """Return the group as JSON records have it."""
        members = [member.to_dict() for member in self.members]
        label = {} if self.label is None else {"class": self.label}
        return {"pictures": len(members), "bytes": self.bytes, **label, "members": members}


@dataclass
class Duplicates:
    """The duplicates in an index, the biggest group first.

    `without_thumbnails` counts pictures of which only the content was compared, `unread` those in groups whose files
    could not be read for a closer look, so that their thumbnails alone decided. `stale` are files that are gone or have
    changed since they were indexed, `links` names of files that have another one; neither are members.
    """

    groups: list[Group] = field(default_factory=list)
    without_thumbnails: int = 0
    unread: int = 0
    stale: int = 0
    links: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return all that was found as one JSON record; groups have numbers, from 1."""
        groups = [{"group": number, **group.to_dict()} for number, group in enumerate(self.groups, 1)]
        counts = {name: getattr(self, name) for name in ("without_thumbnails", "unread", "stale", "links")}
        return {"groups": groups, **counts}


def find_duplicates(
    index: Index, min_score: float = MIN_SCORE, *, exact: bool = False, quick: bool = False, told: Told = nobody
) -> Duplicates:
    """Find the groups of an index; `exact` compares contents only and reads no features.

    Files are looked at to leave out those that have changed or go by two names. Unless it is to be `quick`, those that
    their thumbnails take for the same picture are read and compared once more. Where their folder is not there, because
    a disk is not, the index is believed. `told` gets the share that is done, and may end it by an error of its own.
    """
    indexed, found = index.files(), Duplicates()
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(index.valid).tolist():
        rows_of[indexed.sha256s[row]].append(row)
    # what a group of rows of different contents is: from each content's first row to its score with the kept one
    alike: list[dict[int, float]] = []
    if not exact:
        alike = _near_groups(index, indexed, rows_of, min_score, found, quick=quick, told=told)
    grouped = {row for group in alike for row in group}
    alike += [{rows[0]: 1.0} for rows in rows_of.values() if len(rows) > 1 and rows[0] not in grouped]
    files = _Files(index, indexed, found)
    sizes = sizes_of(
        index, sorted(row for group in alike for first in group for row in rows_of[indexed.sha256s[first]])
    )
    for scores in alike:
        group = _group(scores, rows_of, indexed, files, sizes)
        if group is not None:
            found.groups.append(group)
    found.groups.sort(key=lambda group: (-len(group.members), -group.bytes, group.members[0].path))
    return found


def _near_groups(
    index: Index,
    indexed: Files,
    rows_of: dict[str, list[int]],
    min_score: float,
    found: Duplicates,
    *,
    quick: bool,
    told: Told,
) -> list[dict[int, float]]:
    from cbir.duplicates.closer import SIDE
    from cbir.duplicates.compare import MOST_LOOKS, Looks, PairComparison
    from cbir.duplicates.groups import connected, grouped
    from cbir.duplicates.pairs import threads
    from cbir.utils.threads import in_threads

    known = np.zeros(index.rows, dtype=np.bool_)
    for start, records in index.stored_chunks(THUMBNAILS):
        known[start : start + len(records)] = are_known(records)
    found.without_thumbnails = int((index.valid & ~known).sum())
    same = np.full(index.rows, -1, dtype=np.int64)
    for rows in rows_of.values():
        if known[rows[0]]:
            same[rows] = rows[0]
    representatives = np.array(sorted(rows[0] for rows in rows_of.values() if known[rows[0]]), dtype=np.int64)
    looks = (
        None
        if quick
        else Looks(lambda row: as_indexed(index, indexed, rows_of, row), lambda row: sizes.get(row, (SIDE, SIDE)))
    )
    comparison = PairComparison(index, representatives, same, min_score, looks, between(told, 0, 0.5))
    rows = sorted(comparison.near)
    sizes = sizes_of(index, rows)
    merit = {row: _merit(row, indexed, sizes) for row in rows}
    groups: list[dict[int, float]] = []
    done = 0
    for together in _up_to(MOST_LOOKS, connected(comparison.near)):
        if looks is not None:
            looks.read(row for members in together for row in members[:MOST_LOOKS])
        for some in in_threads(lambda members: grouped(comparison, members, merit), together, threads()):
            groups += some
        done += sum(map(len, together))
        told(0.5 + 0.5 * done / len(rows))
    if looks is not None:
        found.unread = len(looks.unread & {row for group in groups for row in group})
    return groups


def _up_to(most: int, lists: Iterable[list[int]]) -> Iterator[list[list[int]]]:
    """Some of the lists at a time, of not more items than `most` unless a single one has them."""
    some: list[list[int]] = []
    count = 0
    for one in lists:
        if some and count + len(one) > most:
            yield some
            some, count = [], 0
        some.append(one)
        count += len(one)
    if some:
        yield some


def as_indexed(index: Index, indexed: Files, rows_of: dict[str, list[int]], row: int) -> Location | None:
    """Return a file with the content of a row that is as it was indexed, None where there is none."""
    for one in rows_of[indexed.sha256s[row]]:
        if isinstance(index.root, Address):
            return index.root.at(indexed.paths[one], indexed.sizes[one])
        path = index.root / indexed.paths[one]
        try:
            status = os.stat(path)
        except OSError:
            continue
        if (status.st_size, status.st_mtime_ns) == (indexed.sizes[one], indexed.mtimes_ns[one]):
            return path
    return None


def _merit(row: int, indexed: Files, sizes: dict[int, tuple[int, int]]) -> tuple[int, int, int, int]:
    """Return a picture's merits, to be compared: many pixels, then a long file, then an old one, then a low row."""
    width, height = sizes.get(row, (0, 0))
    return width * height, indexed.sizes[row], -indexed.mtimes_ns[row], -row


class _Files:
    """The rows of a group that are files of their own, as they were indexed."""

    def __init__(self, index: Index, indexed: Files, found: Duplicates) -> None:
        self.index = index
        self._indexed = indexed
        self._found = found
        self._are_there: dict[Location, bool] = {}

    def own(self, rows: Iterable[int]) -> Iterator[int]:
        """Those of `rows`, of which a file's second name (a hard link, or a link to another of them) is not one."""
        seen: set[tuple[int, int]] = set()
        places = {row: self.path(row) for row in rows}
        # a link comes after what it leads to
        for row, path in sorted(places.items(), key=lambda one: (_is_link(one[1]), one[0])):
            if isinstance(path, Path) and self._is_there(row):
                try:
                    status = os.stat(path)
                except OSError:
                    self._found.stale += 1
                    continue
                if (status.st_size, status.st_mtime_ns) != (self._indexed.sizes[row], self._indexed.mtimes_ns[row]):
                    self._found.stale += 1
                    continue
                if (status.st_dev, status.st_ino) in seen:
                    self._found.links += 1
                    continue
                seen.add((status.st_dev, status.st_ino))
            yield row

    def path(self, row: int) -> Location:
        """Return the path of a row's file."""
        return self.index.root / self._indexed.paths[row]

    def _is_there(self, row: int) -> bool:
        """Tell whether the folder is there that the pictures of a row's index are in."""
        root = self.index.root_of(row)
        if root not in self._are_there:
            self._are_there[root] = isinstance(root, Path) and os.path.isdir(root)
        return self._are_there[root]


def _is_link(path: Location) -> bool:
    return isinstance(path, Path) and path.is_symlink()


def _group(
    scores: dict[int, float],
    rows_of: dict[str, list[int]],
    indexed: Files,
    files: _Files,
    sizes: dict[int, tuple[int, int]],
) -> Group | None:
    """Return a group of contents with all their files; None where fewer than two are left."""
    score_of = {row: score for first, score in scores.items() for row in rows_of[indexed.sha256s[first]]}
    rows = sorted(files.own(score_of), key=lambda row: _merit(row, indexed, sizes), reverse=True)
    if len(rows) < 2:
        return None
    kept = rows[0]
    content = indexed.sha256s[kept]
    members = [
        Member(
            path=files.path(row),
            width=sizes[row][0] if row in sizes else None,
            height=sizes[row][1] if row in sizes else None,
            bytes=indexed.sizes[row],
            mtime_ns=indexed.mtimes_ns[row],
            score=1.0 if indexed.sha256s[row] == content else score_of[row],
            is_kept=row == kept,
            is_exact=indexed.sha256s[row] == content,
            index=files.index.directory_of(row),
        )
        for row in rows
    ]
    members[1:] = sorted(members[1:], key=lambda member: (-member.score, member.path))
    return Group(tuple(members))
