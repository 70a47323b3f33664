"""Groups of pictures of an index that are the same, or nearly: which there are, and which one of each to keep."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cbir.errors import IndexDamagedError
from cbir.index.thumbnails import THUMBNAILS, are_known

if TYPE_CHECKING:
    from cbir.index.files import Columns
    from cbir.index.store import Index

#: The least score of a near-duplicate, unless another is asked for.
MIN_SCORE = 0.95


@dataclass(frozen=True)
class Member:
    """A picture of a group. `path` is absolute; `width` and `height` are None where the index does not have them.

    `score` is that with the kept picture, 1 where the two have the same content, which `is_exact` tells; the kept
    one has both. Where a picture is not near to the kept one but to most others, it is the best of those.
    """

    path: Path
    width: int | None
    height: int | None
    bytes: int
    mtime_ns: int
    score: float
    is_kept: bool
    is_exact: bool


@dataclass(frozen=True)
class Group:
    """Pictures that are the same, the one to keep first, the others by score."""

    members: tuple[Member, ...]

    @property
    def bytes(self) -> int:
        """The length of all files but the kept one."""
        return sum(member.bytes for member in self.members[1:])


@dataclass
class Duplicates:
    """What was found, the biggest group first.

    `without_thumbnails` counts pictures of which only the content was compared. `stale` are files that are gone or
    have changed since they were indexed, `links` names of files that have another one; neither are members.
    """

    groups: list[Group] = field(default_factory=list)
    without_thumbnails: int = 0
    stale: int = 0
    links: int = 0


def find_duplicates(index: Index, min_score: float = MIN_SCORE, *, exact: bool = False) -> Duplicates:
    """Find the groups of an index, `exact` ones only by content, for which no features are read.

    The files themselves are looked at only to leave out what has changed or goes by two names; where their folder is
    not there, because a disk is not, the index is believed.
    """
    columns, found = index.columns(), Duplicates()
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(index.valid).tolist():
        rows_of[columns.sha256s[row]].append(row)
    # what a group of rows of different contents is: from each content's first row to its score with the kept one
    alike: list[dict[int, float]] = []
    if not exact:
        alike = _near_groups(index, columns, rows_of, min_score, found)
    grouped = {row for group in alike for row in group}
    alike += [{rows[0]: 1.0} for rows in rows_of.values() if len(rows) > 1 and rows[0] not in grouped]
    files = _Files(index.root, columns, found)
    sizes = _sizes(index, sorted(row for group in alike for first in group for row in rows_of[columns.sha256s[first]]))
    for scores in alike:
        group = _group(scores, rows_of, columns, files, sizes)
        if group is not None:
            found.groups.append(group)
    found.groups.sort(key=lambda group: (-len(group.members), -group.bytes, group.members[0].path))
    return found


def _near_groups(
    index: Index, columns: Columns, rows_of: dict[str, list[int]], min_score: float, found: Duplicates
) -> list[dict[int, float]]:
    from cbir.duplicates.groups import grouped, unknown_pairs
    from cbir.duplicates.pairs import Pairs, find_pairs, score_pairs

    known = np.zeros(index.rows, dtype=np.bool_)
    for start, records in index.stored_chunks(THUMBNAILS):
        known[start : start + len(records)] = are_known(records)
    found.without_thumbnails = int((index.valid & ~known).sum())
    same = np.full(index.rows, -1, dtype=np.int64)
    for rows in rows_of.values():
        if known[rows[0]]:
            same[rows] = rows[0]
    representatives = np.array(sorted(rows[0] for rows in rows_of.values() if known[rows[0]]), dtype=np.int64)
    pairs = find_pairs(index, representatives, same, min_score)
    first, second = unknown_pairs(pairs)
    if len(first):
        one, other = index.features(first), index.features(second)
        more = score_pairs(index, first, second, np.einsum("pd,pd->p", one, other), min_score)
        pairs = Pairs(
            np.concatenate([pairs.first, more.first]),
            np.concatenate([pairs.second, more.second]),
            np.concatenate([pairs.scores, more.scores]),
        )
    rows = np.unique(np.concatenate([pairs.first, pairs.second])).tolist()
    sizes = _sizes(index, rows)
    merit = {row: _merit(row, columns, sizes) for row in rows}
    return grouped(pairs, merit)


def _merit(row: int, columns: Columns, sizes: dict[int, tuple[int, int]]) -> tuple[int, int, int, int]:
    """What makes a picture worth keeping: many pixels, then a long file, then an old one, then a low row."""
    width, height = sizes.get(row, (0, 0))
    return width * height, columns.sizes[row], -columns.mtimes_ns[row], -row


def _sizes(index: Index, rows: list[int]) -> dict[int, tuple[int, int]]:
    """Width and height of the pictures of `rows`, of those that the index has them of."""
    try:
        records = index.stored(THUMBNAILS, rows)
    except IndexDamagedError:
        return {}
    known = are_known(records).tolist()
    pairs = zip(records["width"][:, 0].tolist(), records["height"][:, 0].tolist(), strict=True)
    return {row: pair for row, pair, is_known in zip(rows, pairs, known, strict=True) if is_known}


class _Files:
    """Which rows of a group are files of their own, as they were indexed."""

    def __init__(self, root: Path, columns: Columns, found: Duplicates) -> None:
        self._root = root
        self._columns = columns
        self._found = found
        self._is_there = os.path.isdir(root)

    def own(self, rows: Iterable[int]) -> Iterator[int]:
        """Those of `rows`, of which a file's second name (a hard link, or a link to another of them) is not one."""
        seen: set[tuple[int, int]] = set()
        # a link comes after what it leads to
        for row in sorted(rows, key=lambda row: (self.path(row).is_symlink(), row)) if self._is_there else rows:
            if self._is_there:
                try:
                    status = os.stat(self.path(row))
                except OSError:
                    self._found.stale += 1
                    continue
                if (status.st_size, status.st_mtime_ns) != (self._columns.sizes[row], self._columns.mtimes_ns[row]):
                    self._found.stale += 1
                    continue
                if (status.st_dev, status.st_ino) in seen:
                    self._found.links += 1
                    continue
                seen.add((status.st_dev, status.st_ino))
            yield row

    def path(self, row: int) -> Path:
        """Where the file of a row is."""
        return self._root / self._columns.paths[row]


def _group(
    scores: dict[int, float],
    rows_of: dict[str, list[int]],
    columns: Columns,
    files: _Files,
    sizes: dict[int, tuple[int, int]],
) -> Group | None:
    """A group of contents with all their files; None where fewer than two are left."""
    score_of = {row: score for first, score in scores.items() for row in rows_of[columns.sha256s[first]]}
    rows = sorted(files.own(score_of), key=lambda row: _merit(row, columns, sizes), reverse=True)
    if len(rows) < 2:
        return None
    kept = rows[0]
    content = columns.sha256s[kept]
    members = [
        Member(
            path=files.path(row),
            width=sizes[row][0] if row in sizes else None,
            height=sizes[row][1] if row in sizes else None,
            bytes=columns.sizes[row],
            mtime_ns=columns.mtimes_ns[row],
            score=1.0 if columns.sha256s[row] == content else score_of[row],
            is_kept=row == kept,
            is_exact=columns.sha256s[row] == content,
        )
        for row in rows
    ]
    members[1:] = sorted(members[1:], key=lambda member: (-member.score, member.path))
    return Group(tuple(members))
