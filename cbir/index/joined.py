"""Several indexes by one network, seen as one: the blocks of all, one after the other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TypeVar

import numpy as np

from cbir.errors import IndexConflictError, IndexDamagedError
from cbir.images.sources.address import Address, Location, is_address, is_list, is_shards
from cbir.images.sources.named import is_named
from cbir.index import similarity
from cbir.index.ann.base import SMALL, Candidates
from cbir.index.columns.column import Column, Records
from cbir.index.entries import FacesEntry, PartsEntry
from cbir.index.facerows import FaceRows, finder_of, joined, no_faces
from cbir.index.format import CHOSEN
from cbir.index.quantiles import CosineQuantiles
from cbir.index.store import Index
from cbir.utils.vectors import Floats, Rows

T = TypeVar("T")
U = TypeVar("U")

logger = logging.getLogger("cbir")

# Rows of all indexes up to which it is found out anew how alike they are; of more, some of it is made of what each
# index knows of its own.
_SAMPLED = 20_000


class JoinedIndex(Index):
    """Several open indexes as one, read-only: rows are numbered through all of them, `members`, in order.

    Paths are relative to the `root` that all have in common; `folders` are, of each member, the way from there to its
    own. A file that several have counts in the first of them. It has parts, objects, faces and treatments where those
    of all can be compared, no notions, nothing of people, and no lists of windows. Whether their features can be
    compared, the caller knows.
    """

    def __init__(self, members: Sequence[Index], root: Location, folders: Sequence[str]) -> None:
        first = members[0].meta.of_rows()
        meta = first.but(
            root=str(root),
            blocks=tuple(block for member in members for block in member.meta.blocks),
            complete=all(member.meta.complete for member in members),
            precisions=tuple(dict.fromkeys(one for member in members for one in member.meta.precisions)),
            imported=any(member.meta.imported for member in members),
            parts=_common_parts(members),
            objects=_common([member.meta.objects for member in members]),
            faces=_common_faces([member.meta.faces for member in members]),
            treatment=_common([member.meta.treatment for member in members]),
            **dict.fromkeys(("candidates", "store", "people", "part_lists", "refused", "cosines")),
            **dict.fromkeys(("exclude", "mounts", "notions"), ()),
        )
        for group in CHOSEN:
            if getattr(meta, group) is None:
                meta = meta.without(group)
        blocks = [
            block.sound().below(folder)
            for member, folder in zip(members, folders, strict=True)
            for block in member.blocks
        ]
        super().__init__(Path("+".join(member.directory.name for member in members)), meta, blocks=blocks)
        self.root = root  # which knows whether a user named it
        self.members = members
        self.folders = folders
        self._left = set[int]()
        self._valid = np.concatenate([member.valid for member in members])
        self.first_rows = np.cumsum([0, *(member.rows for member in members)])
        self.doubled = self._without_doubled()

    @property
    def directories(self) -> tuple[Path, ...]:
        """Their directories."""
        return tuple(member.directory for member in self.members)

    def root_of(self, row: int) -> Location:
        """Return the folder, or other source, that the pictures of a row's index are in."""
        folder = self.folders[self.member_of(row)]
        return self.root / folder if folder else self.root

    def directory_of(self, row: int) -> Path:
        """Return the directory of the index that a row is of."""
        return self.members[self.member_of(row)].directory

    def member_of(self, row: int) -> int:
        """Return the number of the index that a row is of."""
        return int(np.searchsorted(self.first_rows, row, side="right")) - 1

    def parsed(self, column: Column, parse: Callable[[Records], U]) -> list[U]:
        """Parse a column's records; of an index where they are unsound they are blank, which is said once."""
        found = list[U]()
        for number, member in enumerate(self.members):
            try:
                found += member.parsed(column, parse)
            except IndexDamagedError as error:
                self._leave(number, error)
                found.append(parse(column.blank(member.rows)))
        return found

    def faces(self) -> FaceRows:
        """Read the faces of all rows that count; of an index where they are unsound nothing is known, which is said."""
        dimension, parts = finder_of(self.directory, self.meta.faces).dimension, []
        for number, member in enumerate(self.members):
            try:
                parts.append(member.faces())
            except IndexDamagedError as error:
                self._leave(number, error)
                parts.append(no_faces(member.rows, dimension))
        return joined(parts, dimension).of_valid(self.valid)

    def _leave(self, number: int, error: IndexDamagedError) -> None:
        """Do without something of one index, and tell of it once."""
        with self._remembering:
            if number not in self._left:
                self._left.add(number)
                self.damage.append(str(error))
                logger.warning("%s The other indexes answer.", error)

    def with_cosines(self) -> JoinedIndex:
        """Return itself, knowing how alike its pictures are: its members know that of their own only."""
        if len(self) <= _SAMPLED:
            self.meta = self.meta.but(cosines=similarity.sample(self))
        else:
            known = [(len(one), one.meta.cosines) for one in self.members if one.meta.cosines is not None]
            if known:
                self.meta = self.meta.but(cosines=similarity.sample(self, nearest=_mixed(known)))
        return self

    def candidates(self) -> Candidates | None:
        """Return the finder of candidates among all rows; None where all are compared as quickly."""
        if self._candidates is None and self.rows > SMALL:
            its_own = [member.candidates() for member in self.members]
            if any(one is not None for one in its_own):
                parts = zip(self.first_rows.tolist(), self.members, its_own, strict=False)
                self._candidates = _JoinedCandidates(self.rows, [_Part(*part) for part in parts])
        if self._candidates is not None:
            self._candidates.check()
        return self._candidates

    def _without_doubled(self) -> dict[str, bool]:
        """Count only the first row of each path. Return those that came again, and whether their content is the same.

        Where no root lies in another's, none can.
        """
        if not _overlap(self.folders):
            return {}
        files, found, first = self.files(), {}, dict[str, int]()
        valid = self.valid.copy()
        for row in np.flatnonzero(valid).tolist():
            path = files.paths[row]
            if (earlier := first.setdefault(path, row)) != row:
                valid[row] = False
                found[path] = files.sha256s[row] == files.sha256s[earlier]
        self._valid = valid
        return found


@dataclass(frozen=True)
class _Part:
    """One index of several: its first row, and its own candidates, if it has any."""

    first: int
    index: Index
    candidates: Candidates | None

    @property
    def covered(self) -> int:
        return 0 if self.candidates is None else self.candidates.rows

    def exact(self, direction: Floats, count: int) -> Rows:
        """Return those of its rows that no candidates cover which lie farthest along a direction."""
        chunks = self.index.chunks(self.covered)
        found = [(np.arange(start, start + len(chunk)), chunk @ direction) for start, chunk in chunks]
        if not found:
            return np.empty(0, dtype=np.int64)
        rows, scores = (np.concatenate(some) for some in zip(*found, strict=True))
        scores[~self.index.comparable[rows]] = -2
        best = np.argsort(-scores)[:count]
        return rows[best[scores[best] > -2]]


@dataclass(frozen=True)
class _JoinedCandidates:
    """The candidates of several indexes, which cover all of their rows."""

    rows: int
    parts: Sequence[_Part]

    @property
    def most(self) -> int:
        return min(part.candidates.most for part in self.parts if part.candidates is not None)

    def search(self, queries: Floats, count: int) -> list[Rows]:
        return [
            np.concatenate(
                [
                    part.first + near
                    for part in self.parts
                    for near in (
                        *(() if part.candidates is None else part.candidates.search(query[np.newaxis], count)),
                        part.exact(query, count),
                    )
                ]
            )
            for query in queries
        ]

    def search_direction(self, direction: Floats, count: int) -> Rows:
        return np.concatenate(
            [
                part.first + near
                for part in self.parts
                for near in (
                    *(() if part.candidates is None else (part.candidates.search_direction(direction, count),)),
                    part.exact(direction, count),
                )
            ]
        )

    def check(self) -> None:
        for part in self.parts:
            if part.candidates is not None:
                part.candidates.check()


def join(members: Sequence[Index]) -> Index:
    """Return several indexes by one network as one, which knows how alike its pictures are; one alone as it is."""
    return members[0] if len(members) == 1 else JoinedIndex(members, *common_root(members)).with_cosines()


def have_common_root(members: Sequence[Index]) -> bool:
    """Tell whether `common_root` finds one."""
    try:
        common_root(members)
    except IndexConflictError:
        return False
    return True


def common_root(members: Sequence[Index]) -> tuple[Location, list[str]]:
    """Return the folder that the roots of all have in common, and the way from there to each: empty for the same.

    Of addresses it is what is above all of them in one store. IndexConflictError where they have none, as on several
    drives, or in a folder and a bucket.
    """
    elsewhere = [member.root for member in members if isinstance(member.root, Address)]
    if elsewhere:
        return _common_address(members, elsewhere)
    roots = [os.path.abspath(member.meta.root) for member in members]
    try:
        root = os.path.commonpath(roots)
    except ValueError as error:
        raise IndexConflictError(f"{' and '.join(roots)} have no folder in common.") from error
    ways = [os.path.relpath(one, root).replace(os.sep, "/") for one in roots]
    return Path(root), ["" if way == "." else way for way in ways]


def _common_address(members: Sequence[Index], roots: Sequence[Address]) -> tuple[Address, list[str]]:
    """Do what `common_root` does where some of the roots are no folders."""
    first = roots[0]
    if len(roots) == len(members) and all(root == first for root in roots):
        return first, [""] * len(roots)
    parts = [root.root.split("/") for root in roots]  # of an address: the scheme, nothing, the bucket, and on
    shared = [some[0] for some in takewhile(lambda some: len({*some}) == 1, zip(*parts, strict=False))]
    are_stores = all(is_address(one.root) and not is_shards(one.root) and not is_list(one.root) for one in roots)
    if len(roots) < len(members) or not are_stores or len(shared) < 3 or not shared[2]:
        places = " and ".join(dict.fromkeys(str(member.root) for member in members))
        raise IndexConflictError(f"{places} have no folder in common.")
    # all that is read there lies below the roots of the members
    is_chosen = all(one.is_chosen or is_named(one.root) for one in roots)
    return Address("/".join(shared), is_chosen=is_chosen), ["/".join(one[len(shared) :]) for one in parts]


def _overlap(folders: Sequence[str]) -> bool:
    """Tell whether one of some folders is another, or lies in it."""
    ordered = sorted(f"{folder}/" if folder else "" for folder in folders)
    return any(later.startswith(earlier) for earlier, later in pairwise(ordered))


def _common_parts(members: Sequence[Index]) -> PartsEntry | None:
    """Return what all say of their parts, where these are of one kind: by what came with cbir, and not learnt."""
    entry = _common([member.meta.parts for member in members])
    return entry if entry is not None and entry.file is None else None


def _common(entries: Sequence[T]) -> T | None:
    """Return what all say; None where they say different things."""
    return entries[0] if all(entry == entries[0] for entry in entries) else None


def _common_faces(entries: Sequence[FacesEntry | None]) -> FacesEntry | None:
    """Return what all say of their faces, wherever the network was that found them."""
    first = entries[0]
    return first if first is not None and all(first.is_comparable(entry) for entry in entries) else None


def _mixed(known: Sequence[tuple[int, CosineQuantiles]]) -> tuple[float, ...]:
    """Mix the cosines of rows and their nearest, of several indexes of so many rows."""
    grid = np.linspace(-1, 1, 4001)
    total = sum(rows for rows, _ in known)
    below = sum(rows / total * np.interp(grid, one.nearest, one.probabilities, left=0, right=1) for rows, one in known)
    return tuple(np.round(np.interp(similarity.PROBABILITIES, below, grid), 5).tolist())
