"""Filters: which rows of an index a search is among, by folder, by tag, by date and by objects."""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError, IndexDamagedError, WordError
from cbir.images.sources.address import Address
from cbir.index.columns.taken import TAKEN
from cbir.index.dates import taken_of
from cbir.index.folders import Folders, joined
from cbir.index.store import Index
from cbir.utils.vectors import Rows

if TYPE_CHECKING:
    from cbir.detect.of_index import IndexObjects
    from cbir.index.columns.classes import RowClasses
    from cbir.search.object_query import WantedObject

Mask = npt.NDArray[np.bool_]

# What dates are counted from, and the seconds of a day.
_EPOCH, _DAY = datetime.date(1970, 1, 1), 86_400

# Filters whose rows are kept, so that those of a conversation are found once.
_KEPT = 16

# Folders that an unknown one may have been meant for.
_NEAREST = 3


@dataclass(frozen=True)
class RowFilter:
    """A choice of pictures of an index; one without anything takes all of them.

    They lie in one of `folders`, names relative to the index's root or absolute, or below it; they have all of `tags`,
    nouns in English. A tag takes what stands below it: `animal` a dog. They were taken from the day `since` to the day
    `until`, both among them, by the camera's clock; photos without a date are left out where one is asked for. They
    show all of `objects`, and nothing of `not_objects`; those whose objects are not known are left out where one is
    named.
    """

    folders: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    since: datetime.date | None = None
    until: datetime.date | None = None
    objects: tuple[WantedObject, ...] = ()
    not_objects: tuple[WantedObject, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is asked of pictures."""
        return self != RowFilter()


@dataclass(frozen=True, eq=False)
class Among:
    """The rows that a search is among: `mask`, shape (rows,), and the same as numbers, ascending, shape (n,)."""

    mask: Mask
    rows: Rows

    @classmethod
    def of(cls, mask: Mask) -> Among:
        """Return the rows of a mask."""
        return cls(mask, np.flatnonzero(mask))


class Filters:
    """The filters of one index, with what is read of it for them once.

    `classes` gives its rows' classes, `objects` their objects.
    """

    def __init__(self, index: Index, classes: Callable[[], RowClasses], objects: Callable[[], IndexObjects]) -> None:
        self._index = index
        self._classes = classes
        self._objects = objects
        self._remembering = threading.Lock()
        self._folders: Folders | None = None
        self._kept: dict[RowFilter, Among] = {}  # the one that was asked for longest ago first

    def among(self, wanted: RowFilter) -> Among:
        """Find the rows that a filter leaves. CbirError, which says what to do, where the index cannot tell."""
        with self._remembering:
            found = self._kept.pop(wanted, None)
            if found is None:
                found = Among.of(self._mask(wanted))
            self._kept[wanted] = found
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            return found

    def folder(self, wanted: str) -> tuple[str, Mask]:
        """Return the name of a folder in the index, "" of its root, and which rows lie in it. CbirError if none do."""
        with self._remembering:
            names, numbers = self._all_folders()
            place, inside = self._inside(wanted, names)
            return place, inside[numbers] & self._index.valid

    def _mask(self, wanted: RowFilter) -> Mask:
        mask = self._index.valid.copy()
        if wanted.folders:
            names, numbers = self._all_folders()
            inside = np.zeros(len(names), dtype=np.bool_)
            for folder in wanted.folders:
                inside |= self._inside(folder, names)[1]
            mask &= inside[numbers]
        for tag in wanted.tags:
            mask &= self._tagged(tag)
        if wanted.since or wanted.until:
            mask &= self._taken(wanted.since, wanted.until)
        if wanted.objects or wanted.not_objects:
            from cbir.search.objects import showing

            mask &= showing(wanted.objects, wanted.not_objects, self._objects())
        return mask

    def _all_folders(self) -> Folders:
        """Return the folders of the index."""
        if self._folders is None:
            self._folders = joined(block.files.folders() for block in self._index.blocks)
        return self._folders

    def _inside(self, folder: str, names: list[str]) -> tuple[str, Mask]:
        """Return the name of the folder that is asked for, and which of some folders are that one or lie below it."""
        for place in self._places(folder):
            if place == "":
                return place, np.ones(len(names), dtype=np.bool_)
            found = np.array([name == place or name.startswith(f"{place}/") for name in names], dtype=np.bool_)
            if found.any():
                return place, found
        raise CbirError(self._unknown(folder, names))

    def _places(self, folder: str) -> list[str]:
        """Return what a folder may be called in the index: relative to its root, else to the current folder."""
        root, found = self._index.root, [os.path.normpath(folder)] if not os.path.isabs(folder) else []
        if not isinstance(root, Address):
            found.append(os.path.relpath(os.path.abspath(folder), root))
        names = (one.replace(os.sep, "/") for one in found)
        return ["" if name == "." else name for name in names if name != ".." and not name.startswith("../")]

    def _unknown(self, folder: str, names: list[str]) -> str:
        from difflib import get_close_matches

        all_names = {
            "/".join(parts[: end + 1]) for name in names for parts in [name.split("/")] for end in range(len(parts))
        }
        all_names.discard("")
        # the last part of a folder's name may be all that is typed
        ends: dict[str, str] = {}
        for name in sorted(all_names):
            ends.setdefault(name.rpartition("/")[2], name)
        near = get_close_matches(folder, all_names, _NEAREST) or [
            ends[end] for end in get_close_matches(folder.rpartition("/")[2], ends, _NEAREST)
        ]
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"The index {self._index.directory.name} has no pictures in a folder {folder!r}.{hint}"

    def _taken(self, since: datetime.date | None, until: datetime.date | None) -> Mask:
        """Return which rows have a date from the one day to the other."""
        taken = taken_of(self._index)
        if not taken.any() and (self._index.missing(TAKEN) & self._index.valid).any():
            name = self._index.directory.name
            raise CbirError(
                f"The index {name} does not know when photos were taken. `cbir index --index {name}` adds that."
            )
        mask: Mask = taken != 0
        if since is not None:
            mask &= taken >= (since - _EPOCH).days * _DAY
        if until is not None:
            mask &= taken < ((until - _EPOCH).days + 1) * _DAY
        return mask

    def _tagged(self, tag: str) -> Mask:
        """Return which rows the network, or the detector, takes for what a tag says, or for something below it."""
        detected = self._detected(tag)
        try:
            classified = self._classified(tag)
        except IndexDamagedError:
            raise
        except CbirError:
            if detected is None:
                raise
            return detected
        return classified if detected is None else classified | detected

    def _detected(self, tag: str) -> Mask | None:
        """Return in which rows the detector believes to see one; None where there is none, or it knows none."""
        if self._index.meta.objects is None or not tag.strip():
            return None
        from cbir.search.object_query import WantedObject
        from cbir.search.objects import showing

        try:
            return showing([WantedObject(tag)], (), self._objects())
        except WordError:
            return None

    def _classified(self, tag: str) -> Mask:
        """Return which rows the network takes for one."""
        from cbir.words.score import LEAST_PROBABILITY, weighted_sums
        from cbir.words.vocabulary import look_up

        word = look_up(tag)
        if not word.exact:
            raise CbirError(
                f"No picture has the tag {tag!r}: the network knows no class of it. Those that are likeliest to show "
                f'it come first with `--word "{word.name}"`.'
            )
        classes = self._classes()
        return weighted_sums(word.weights, *classes) >= LEAST_PROBABILITY
