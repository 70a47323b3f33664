"""Rows that come from elsewhere: the files that they are of, their features, and what columns have of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cbir.errors import CbirError
from cbir.index.columns.column import Column, Records
from cbir.index.columns.faces import FOUND
from cbir.index.columns.treatment import TREATED
from cbir.index.entries import FacesEntry, TreatmentEntry
from cbir.index.values import sequence, text
from cbir.utils.vectors import Floats

#: Features of some rows as a file has them, shape (n, dimension): float16, float32 or float64.
Numbers = npt.NDArray[np.floating[Any]]

#: Bytes of features that are read, or written, at a time.
CHUNK_BYTES = 8_000_000

# How far the square of a length may be from 1 where numbers are taken as they are: float16 is off by as much.
_MOST_OFF = 0.02


class Given(NamedTuple):
    """A file as its row tells it. `size` is 0 and `sha256` empty where nobody knows its content."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class About:
    """Facts about rows as they say them: `model` as `Backbone.to_json` has it, `root` what their paths are relative to,
    `faces` the finder of their faces, `treatment` what is known of how they were treated.

    None where they do not.
    """

    model: dict[str, Any] | None = None
    root: str | None = None
    precisions: tuple[str, ...] = ()
    faces: FacesEntry | None = None
    treatment: TreatmentEntry | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` reads it back."""
        groups = {"faces": self.faces, "treatment": self.treatment}
        told = {name: asdict(entry) for name, entry in groups.items() if entry is not None}
        return {"model": self.model, "root": self.root, "precisions": list(self.precisions), **told}

    @classmethod
    def from_json(cls, record: Any) -> About:
        """Read what `to_json` wrote; ValueError, TypeError or KeyError where it is something else."""
        model, root = record.get("model"), record.get("root")
        precisions = tuple(text(one, 40) for one in sequence(record.get("precisions", ()), 100))
        faces = None if record.get("faces") is None else FacesEntry.from_json(record["faces"])
        treatment = None if record.get("treatment") is None else TreatmentEntry.from_json(record["treatment"])
        root = None if root is None else text(root)
        return cls(None if model is None else dict(model), root, precisions, faces, treatment)


class RowSource(Protocol):
    """Rows of one network, as often as they are wanted, in chunks, in the same order: `name` is that of their file.

    All raise CbirError, which names the file, where it cannot be read.
    """

    name: str
    about: About
    rows: int
    dimension: int
    #: The columns that it has of them.
    columns: Sequence[Column]

    def features(self) -> Iterator[Numbers]:
        """Yield their features."""

    def files(self) -> Iterator[Sequence[Given]]:
        """Yield the files that they are of."""

    def records(self, column: Column) -> Iterator[Records]:
        """Yield one of the columns."""


@dataclass
class Chained:
    """Several sources, one after the other, as one. CbirError where they differ in their features."""

    sources: Sequence[RowSource]
    name: str = ""
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        first = self.sources[0]
        self.name, self.about = first.name, first.about
        self.rows = sum(source.rows for source in self.sources)
        self.dimension = first.dimension
        self.columns: Sequence[Column] = [
            column for column in first.columns if all(column in one.columns for one in self.sources)
        ]
        finder = self.about.faces
        if finder is not None and not all(finder.is_comparable(source.about.faces) for source in self.sources):
            self.about = replace(self.about, faces=None)  # of several finders nothing can be compared
            self.columns = [column for column in self.columns if column.group != FOUND.group]
        if any(source.about.treatment != self.about.treatment for source in self.sources):
            self.about = replace(self.about, treatment=None)
            self.columns = [column for column in self.columns if column.group != TREATED.group]
        for source in self.sources[1:]:
            if (source.dimension, source.about.model) != (first.dimension, first.about.model):
                raise CbirError(
                    f"{source.name} has features of another network than {first.name}: import one after the other."
                )
            if source.about.root != first.about.root:
                raise CbirError(
                    f"{source.name} is of pictures below {source.about.root}, and {first.name} of those below "
                    f"{first.about.root}: import one after the other, and then `cbir merge` them."
                )

    def features(self) -> Iterator[Numbers]:
        """Yield those of all."""
        for source in self.sources:
            yield from source.features()

    def files(self) -> Iterator[Sequence[Given]]:
        """Yield those of all."""
        for source in self.sources:
            yield from source.files()

    def records(self, column: Column) -> Iterator[Records]:
        """Yield those of all."""
        for source in self.sources:
            yield from source.records(column)


def have_direction(features: Numbers) -> npt.NDArray[np.bool_]:
    """Tell which features, shape (n, dimension), are finite and not zero, so that something can be like them."""
    return np.asarray(np.isfinite(features).all(axis=1) & features.any(axis=1))


def as_stored(features: Numbers) -> npt.NDArray[np.float16]:
    """Return features as an index keeps them, float16 of length 1; those that were kept so before are the same bytes.

    They have a direction.
    """
    with np.errstate(over="ignore"):
        halves = features.astype(np.float16)
        squares = np.einsum("ij,ij->i", halves, halves, dtype=np.float32)
    as_they_are = (halves == features).all(axis=1) & (np.abs(squares - 1) < _MOST_OFF)
    others = features[~as_they_are].astype(np.float64)
    others /= np.abs(others).max(axis=1, keepdims=True, initial=np.finfo(np.float64).tiny)
    halves[~as_they_are] = (others / np.linalg.norm(others, axis=1, keepdims=True)).astype(np.float16)
    return halves


def step_of(dimension: int, itemsize: int = 4) -> int:
    """Return how many rows are read at a time."""
    return max(1, CHUNK_BYTES // (dimension * itemsize))


def as_floats(features: Numbers) -> Floats:
    """Return features as float32."""
    return np.asarray(features, dtype=np.float32)
