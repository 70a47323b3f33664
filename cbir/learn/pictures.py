"""Labelled pictures: found in the index by path or content, else looked at by its network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cbir.extract.extractor import Extractor, Watch
from cbir.images.regions import Box
from cbir.images.sources.address import Address, Location
from cbir.index.store import Index
from cbir.utils.vectors import Floats, l2_normalize


@dataclass(frozen=True)
class Picture:
    """A picture that has a label: its file, its content, and its row, or its feature where the index has it not.

    A part of a picture, in its `box`, or the whole as a part (None), has a feature of its own, wherever the picture is.
    """

    path: Location
    sha256: str
    row: int | None
    feature: Floats | None = None
    box: Box | None = None

    @property
    def key(self) -> str:
        """The content, and the box behind it: by this a label is known."""
        return key_of(self.sha256, self.box)


def key_of(sha256: str, box: Box | None) -> str:
    """Return the `key` of a picture."""
    return sha256 if box is None else f"{sha256} {','.join(map(str, box))}"


def of_key(key: str) -> tuple[str, Box | None]:
    """Return the content and the box that a key was made of."""
    sha256, _, box = key.partition(" ")
    return sha256, Box(*map(int, box.split(","))) if box else None


class Skipped(NamedTuple):
    """A picture that was given and cannot be learnt from, and why."""

    path: Location
    reason: str


class Pictures:
    """The pictures of an index by their paths and contents; the others through its network, in batches."""

    def __init__(self, index: Index, extractor: Extractor, watch: Watch = lambda results, total: results) -> None:
        self._index, self._extractor, self._watch = index, extractor, watch
        files = index.files()
        valid = np.flatnonzero(index.valid).tolist()
        self.paths = {files.paths[row]: row for row in valid}
        self._sha256s = files.sha256s
        # of copies the first, so that a content has one row
        self._rows = {files.sha256s[row]: row for row in reversed(valid)}
        self._roots = [] if isinstance(index.root, Address) else [os.path.abspath(index.root)]
        self._real_roots = [os.path.realpath(root) for root in self._roots]

    def inside(self, path: Location) -> str | None:
        """Return a path as the index has paths, relative to its root ("." for the root itself); None if outside."""
        if isinstance(path, Address):
            return path.path if path.root == self._index.meta.root else None
        for one, root in (
            *((os.path.abspath(path), root) for root in self._roots),
            *((os.path.realpath(path), root) for root in self._real_roots),
        ):
            try:
                relative = os.path.relpath(one, root).replace(os.sep, "/")
            except ValueError:  # another drive of Windows
                continue
            if relative.split("/", 1)[0] != "..":
                return relative
        return None

    def by_content(self, sha256: str) -> Picture | None:
        """Return the picture of a content that the index has."""
        row = self._rows.get(sha256)
        return None if row is None else self._of_row(row)

    def find(self, paths: Sequence[Location]) -> tuple[list[Picture | None], list[Skipped]]:
        """Find pictures by their files, in order, None for those that are skipped.

        Files that the index has by their paths are not read. Others are, and go through the network where the index
        does not have their contents either.
        """
        found: list[Picture | None] = [None] * len(paths)
        others = []
        for place, path in enumerate(paths):
            row = self.paths.get(self.inside(path) or "")
            if row is None:
                others.append(place)
            else:
                found[place] = self._of_row(self._rows[self._sha256s[row]])
        return found, self._read(paths, others, found) if others else []

    def _read(self, paths: Sequence[Location], places: Sequence[int], found: list[Picture | None]) -> list[Skipped]:
        """Fill in what is found of the files at some places."""
        skipped = []
        features: dict[str, Floats] = {}
        files = ((place, paths[place]) for place in places)
        results = self._extractor.run(files, lambda sha256: frozenset() if sha256 in self._rows else None)
        for result in self._watch(results, len(places)):
            path = paths[result.key]
            if result.error is not None:
                skipped.append(Skipped(path, result.error.reason))
                continue
            if result.feature is not None:
                features[result.sha256] = l2_normalize(result.feature)
            found[result.key] = self.by_content(result.sha256) or Picture(
                path, result.sha256, None, features[result.sha256]
            )
        return skipped

    def _of_row(self, row: int) -> Picture:
        return Picture(self._index.root / self._index.record(row).path, self._sha256s[row], row)
