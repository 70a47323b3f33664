"""Tags of pictures: of files, by a network, and of an index, whose rows' classes say all that is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cbir.backbones.backbone import Backbone, describe
from cbir.errors import ImageReadError, IndexDamagedError
from cbir.extract.extractor import Extractor
from cbir.images.source import ImageSource, NamedImage, name_of
from cbir.images.sources.address import Location
from cbir.index.columns.classes import CLASSES, unpack
from cbir.index.columns.objects import OBJECTS
from cbir.index.columns.objects import unpack as unpack_objects
from cbir.index.datafile import how_to_repair
from cbir.index.store import Index
from cbir.tags.rules import MAX_GENERAL, MOST_TAGS, tags
from cbir.words.of_index import classes_of
from cbir.words.score import LEAST_PROBABILITY
from cbir.words.tag import Tag

if TYPE_CHECKING:
    from cbir.index.columns.column import Column, Records

logger = logging.getLogger("cbir")

T = TypeVar("T")

# Rows of an index whose tags are found before the first of them is told.
_CHUNK = 1000


@dataclass(frozen=True)
class Choice:
    """The rules by which a picture's tags are chosen: see `cbir.tags.rules.tags`."""

    count: int = MOST_TAGS
    min_probability: float = LEAST_PROBABILITY
    max_general: float = MAX_GENERAL

    def tags(self, numbers: np.ndarray, probabilities: np.ndarray) -> Iterator[list[Tag]]:
        """Return the tags of each row of classes, given as two arrays of shape (rows, n)."""
        return tags(
            numbers,
            probabilities,
            count=self.count,
            min_probability=self.min_probability,
            max_general=self.max_general,
        )


@dataclass(frozen=True)
class Tagged:
    """The tags of one picture, or the reason why it could not be read.

    `name` is what the picture is called, `path` where it is, unless it came as bytes. `tags` is None where nothing is
    known of the picture: with an error, or where the index does not have its classes.
    """

    name: str
    path: Location | None
    tags: list[Tag] | None
    error: ImageReadError | None = None


class Tagger:
    """Tags pictures with one network, which is loaded when the first picture needs it.

    `engine` and `expected` are as in `Extractor`. Raises ModelError where the network knows no classes, WeightsError
    where its weights are not on this machine.
    """

    def __init__(
        self,
        backbone: Backbone | str,
        choice: Choice | None = None,
        *,
        engine: str | None = None,
        expected: int = 1,
    ) -> None:
        # only then: a search, which shows tags too, needs none of it
        from cbir.backbones.head import open_classifier
        from cbir.extract.classes import EXACT, ClassMaker

        backbone = (describe(backbone) if isinstance(backbone, str) else backbone).first
        self._choice = choice or Choice()
        # a single picture is not worth a process of its own to be decoded in; of many, one must not end the run
        self._extractor = Extractor(
            backbone,
            engine=engine,
            expected=expected,
            isolated=expected > 1,
            makers=[ClassMaker(open_classifier(backbone), EXACT)],
        )

    def tag(self, pictures: Iterable[ImageSource | NamedImage]) -> Iterator[Tagged]:
        """Yield the tags of each picture, in order; one that cannot be read has its `error`."""
        found: dict[str, list[Tag]] = {}
        for result in self._extractor.run((picture, picture) for picture in pictures):
            source, name, error = result.key, name_of(result.key), result.error
            if error is None and result.feature is not None:
                if CLASSES.name in result.records:
                    found[result.sha256] = self._tags(result.records[CLASSES.name])
                else:
                    error = ImageReadError(name, "the network makes nothing of it")
            elif error is None and result.sha256 not in found:  # a copy of a picture of which nothing was made
                error = ImageReadError(name, "the network makes nothing of it")
            source = source.source if isinstance(source, NamedImage) else source
            path = Path(source) if isinstance(source, (str, os.PathLike)) else None
            yield Tagged(name, path, None if error else found[result.sha256], error)

    def _tags(self, classes: Records) -> list[Tag]:
        return next(self._choice.tags(classes["class"][np.newaxis], classes["probability"][np.newaxis]))


def tag_index(index: Index, choice: Choice | None = None) -> Iterator[Tagged]:
    """Return the tags of all pictures of an index, by path: of their classes, and of their objects; nothing is loaded.

    Raises CbirError, which says why and what to do, where no picture has either; IndexDamagedError where they are
    unsound.
    """
    return _tag_rows(index, choice or Choice())


def _tag_rows(index: Index, choice: Choice) -> Iterator[Tagged]:
    if index.meta.objects is None:
        classes_of(index)  # which says why there are none
    reader = _Reader(index, choice)
    paths = index.files().paths
    rows = sorted(np.flatnonzero(index.valid).tolist(), key=paths.__getitem__)
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        for row, its in zip(some, reader.of(some), strict=True):
            path = index.root / paths[row]
            yield Tagged(str(path), path, its)


class RowTags:
    """The tags of single rows of an index, such as a search's matches; only these rows are read.

    Where the index's classes or objects are unsound, that is said once, and there are no tags.
    """

    def __init__(self, index: Index) -> None:
        self._reader: _Reader | None = _Reader(index, Choice())

    def of(self, rows: Sequence[int]) -> list[list[Tag] | None]:
        """Return the tags of each of `rows`; None where nothing is known of it."""
        if self._reader is not None and len(rows):
            try:
                return self._reader.of(rows)
            except IndexDamagedError as error:
                logger.warning("Matches are without tags. %s", error)
                self._reader = None
        return [None] * len(rows)


class _Reader:
    """Reads the tags of rows of an index, as far as there are classes and objects."""

    def __init__(self, index: Index, choice: Choice) -> None:
        self._index = index
        self._choice = choice
        self._has_classes = any(CLASSES.name in block.columns for block in index.meta.blocks)

    def of(self, rows: Sequence[int]) -> list[list[Tag] | None]:
        """Return the tags of each of `rows`; None where nothing is known of it. IndexDamagedError."""
        found: list[list[Tag] | None] = [None] * len(rows)
        if self._has_classes:
            classes = self._read(CLASSES, rows, unpack)
            tags = self._choice.tags(classes.numbers, classes.probabilities)
            found = [its if known else None for its, known in zip(tags, classes.known.tolist(), strict=True)]
        entry = self._index.meta.objects
        if entry is None:
            return found
        # only then: most indexes have none
        from cbir.tags.objects import with_objects

        objects = self._read(OBJECTS, rows, lambda records: unpack_objects(records, len(entry.classes)))
        return list(with_objects(found, objects, entry, self._choice.count, self._choice.min_probability))

    def _read(self, column: Column, rows: Sequence[int], unpacked: Callable[[Records], T]) -> T:
        try:
            return unpacked(self._index.stored(column, rows))
        except ValueError as error:
            directory = self._index.directory
            raise IndexDamagedError(
                f"The {column.name} in {directory} are damaged ({error}). {how_to_repair(directory)}"
            ) from error
