"""An index as searches see it: its rankers, the classes of its rows, and what is missing in it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError, IndexDamagedError
from cbir.index.columns.classes import CLASSES, RowClasses
from cbir.index.columns.objects import OBJECTS
from cbir.index.columns.parts import SIGNS
from cbir.index.columns.treatment import TREATED
from cbir.index.dates import taken_of
from cbir.index.quantiles import CosineQuantiles
from cbir.index.store import Index
from cbir.notions.notion import PARTS, PICTURES, Notion
from cbir.notions.store import load_notion
from cbir.search.across import AcrossSpace
from cbir.search.filters import Among, Filters, RowFilter
from cbir.search.learnt import LearntSpace
from cbir.search.ranker import Ranker
from cbir.search.space import ScaledSpace, Space
from cbir.search.treatments import Treatments
from cbir.utils.printable import printable
from cbir.utils.vectors import Floats, Rows
from cbir.words.of_index import classes_of

if TYPE_CHECKING:
    from cbir.detect.of_index import IndexObjects
    from cbir.faces.likeness import Thresholds
    from cbir.index.facerows import FaceRows
    from cbir.search.resolve import QueryPicture
    from cbir.search.treatment_space import TreatmentSpace

# Rankers that are kept: that of features, and some by notions and classes; and notions, which are read once.
_RANKERS = 4

# Rows by whose cosines those with a text are judged, at most.
_SAMPLE = 4096

# What lies closer together than this is rounding.
_LEAST_SPREAD = 1e-6


class AlikeBy(NamedTuple):
    """The likeness that is meant: of features, by weights of a class of ImageNet, by a notion, or across treatments.

    `across` are the folders of these.
    """

    class_name: str | None = None
    learnt: str | None = None
    across: tuple[str, ...] = ()


#: Features as they are.
PLAIN = AlikeBy()


class SearchedIndex:
    """An open index with its network, and what is read of it once, for all searches and all threads."""

    def __init__(self, index: Index, engine: LazyEngine) -> None:
        self.index = index
        self.engine = engine
        self.backbone = engine.backbone
        self._remembering = threading.RLock()  # nobody holds it while a network works
        self._rankers: dict[object, Ranker] = {}  # the one asked for longest ago first
        self._notions: dict[object, Notion] = {}  # likewise
        self._classes: RowClasses | None = None
        self._objects: IndexObjects | None = None
        self._faces: FaceRows | None = None
        self._treatment_space: TreatmentSpace | None = None
        self._filters = Filters(index, self.classes, self.objects)

    def ranker(self, by: AlikeBy = PLAIN) -> Ranker:
        """Return what ranks rows by what makes them alike.

        ModelError where there is no such class; CbirError where there is no such notion, another network learnt it, or
        there are no pictures in such a folder.
        """
        key = (by.class_name, self._entry(by.learnt), by.across)
        with self._remembering:
            found = self._rankers.pop(key, None)
            if found is None:
                found = Ranker(self.index, self._space(by))
            self._rankers[key] = found
            if len(self._rankers) > _RANKERS:
                del self._rankers[next(iter(self._rankers))]
            return found

    def notion(self, name: str) -> Notion:
        """Return a notion, of whatever rows. CbirError where there is none, or it is of others than the index has."""
        entry = self._entry(name)
        with self._remembering:
            found = self._notions.pop(entry, None) or load_notion(self.index, name, None)
            self._notions[entry] = found
            if len(self._notions) > _RANKERS:
                del self._notions[next(iter(self._notions))]
            return found

    def is_of_parts(self, learnt: str | None) -> bool:
        """Tell whether a notion, if one is named, is of parts of pictures. Raises what `notion` does."""
        return learnt is not None and self.notion(learnt).of == PARTS

    def _entry(self, learnt: str | None) -> object:
        """Return what a notion is remembered by: its file, as it may be learnt anew while the index is open."""
        return next((entry for entry in self.index.meta.notions if entry.name == learnt), learnt)

    def features(self, images: Sequence[QueryPicture]) -> list[Floats]:
        """Return the feature of each image of a query, shape (dimension,), of length 1."""
        return [self.index.features(one.rows[:1])[0] if one.feature is None else one.feature for one in images]

    def learnt(self, name: str) -> LearntSpace:
        """Return the space of a notion. CbirError where there is none, or another network learnt it."""
        space = self.ranker(AlikeBy(learnt=name)).space
        assert isinstance(space, LearntSpace)
        return space

    def across(self, folders: tuple[str, ...]) -> AcrossSpace:
        """Return the space across the treatments of some folders. CbirError where there are no pictures in one."""
        space = self.ranker(AlikeBy(across=folders)).space
        assert isinstance(space, AcrossSpace)
        return space

    def quantiles(self, by: AlikeBy) -> CosineQuantiles | None:
        """Return the distribution of rows' cosines, or of their likeness by what is named; None where it is not known.

        By the weights of a class, it is that of cosines without.
        """
        if self.is_of_parts(by.learnt):
            return None
        return self.ranker(by._replace(class_name=None)).quantiles

    @cached_property
    def sample(self) -> Floats:
        """Features of the rows that count, of many of them some thousand, shape (n, dimension)."""
        rows = np.flatnonzero(self.index.comparable)
        if len(rows) > _SAMPLE:
            rows = rows[np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64)]
        return self.index.features(rows)

    def spread(self, feature: Floats) -> float:
        """Return the standard deviation of the cosines of a feature, shape (dimension,), with rows: never 0."""
        return max(float(np.std(self.sample @ feature)) if len(self.sample) else 0.0, _LEAST_SPREAD)

    def likenesses(self, feature: Floats) -> CosineQuantiles:
        """Return the distribution of the cosines of a feature, shape (dimension,), with rows."""
        cosines = np.sort(self.sample @ feature) if len(self.sample) else np.zeros(1, dtype=np.float32)
        shares = tuple((np.arange(len(cosines)) / len(cosines)).tolist())
        return CosineQuantiles(len(cosines), shares, *[tuple(cosines.tolist())] * 2)

    def _space(self, by: AlikeBy) -> Space:
        if by.learnt is not None:
            if (notion := self.notion(by.learnt)).of != PICTURES:
                load_notion(self.index, by.learnt)  # which says what it is of
            return LearntSpace(notion, lambda: self.ranker().scanner.centre())
        if by.across:
            return AcrossSpace(Treatments.of(self.index, self._filters, by.across), self.index)
        if by.class_name is None:
            return Space()
        # only then: the names of a thousand classes are no part of a usual search's start
        from cbir.backbones.head import class_weights

        return ScaledSpace(class_weights(self.backbone, by.class_name))

    def among(self, wanted: RowFilter | None) -> Among | None:
        """Return the rows that a filter leaves; None without one. CbirError where the index cannot tell, WordError."""
        return self._filters.among(wanted) if wanted else None

    @cached_property
    def newest(self) -> Rows:
        """The rows that count, those whose photo was taken last first, by the file's time where that is not known."""
        times = np.array([time // 10**9 for time in self.index.files().mtimes_ns], dtype=np.int64)
        taken = taken_of(self.index)
        moments = np.where(taken == 0, times, taken)
        order = np.lexsort((np.arange(len(moments)), -moments))
        return np.asarray(order[self.index.valid[order]])

    def check_percentiles(self, by: AlikeBy) -> None:
        """Raise CbirError, which says what to do, where the index does not know how alike its pictures are."""
        learnt = by.learnt
        if self.quantiles(by) is not None:
            return
        if self.is_of_parts(learnt):
            raise CbirError(
                f"The notion {printable(learnt or '')} is of parts of pictures, which have no percentiles: only a "
                "score can be the least."
            )
        if learnt is not None:
            raise CbirError(
                f"The notion {printable(learnt)} does not know how alike pictures are by it, as it was learnt when the "
                f"index {self.index.directory.name} had fewer than two: learn it anew with `cbir learn`; until then "
                "only a cosine can be the least score."
            )
        raise CbirError(
            f"The index {self.index.directory} does not know how alike its pictures are: an older cbir made it, "
            f"or it has fewer than two. `cbir index --index {self.index.directory.name}` adds that; "
            "until then only a cosine can be the least score."
        )

    def classes(self, refusal: str = "cannot be searched by words") -> RowClasses:
        """Return the classes of all rows. CbirError, which begins with that and says what to do, without any."""
        with self._remembering:
            if self._classes is None:
                try:
                    self._classes = classes_of(self.index)
                except IndexDamagedError:
                    raise
                except CbirError as error:
                    raise CbirError(f"{self.index.directory.name} {refusal}. {error}") from error
            return self._classes

    @cached_property
    def has_classes(self) -> bool:
        """True if the classes of some picture are known, which words look for."""
        return bool((self.index.classes().known & self.index.valid).any())

    @property
    def has_objects(self) -> bool:
        """True if it is an index with objects, which may not be there of all pictures."""
        return self.index.meta.objects is not None

    def objects(self) -> IndexObjects:
        """Return the objects of all rows. CbirError, which says what to do, where there are none."""
        from cbir.detect.of_index import objects_of

        with self._remembering:
            if self._objects is None:
                self._objects = objects_of(self.index)
            return self._objects

    def faces(self) -> FaceRows:
        """Return the faces of all rows. CbirError, which says what to do, where there are none."""
        with self._remembering:
            if self._faces is None:
                self._faces = self.index.faces()
            return self._faces

    def treatment_space(self) -> TreatmentSpace:
        """Return the treatments of all rows, to be compared. CbirError, which says what to do, where there are none."""
        from cbir.search.kept_treatments import treatment_space_of

        with self._remembering:
            if self._treatment_space is None:
                self._treatment_space = treatment_space_of(self.index)
            return self._treatment_space

    @property
    def face_thresholds(self) -> Thresholds:
        """The distances of faces, and what they stand for. ModelError where that is not known of somebody's network."""
        from cbir.faces.of_index import thresholds_of_index

        return thresholds_of_index(self.index.meta.faces)

    @cached_property
    def without_faces(self) -> tuple[str, ...]:
        """A sentence where the faces of some pictures are not there yet."""
        return self._notice(
            ~self.faces().known,
            "Faces are not known of {count} of the index's {pictures} pictures yet: `cbir index --index {name}` "
            "looks for them.",
        )

    @cached_property
    def without_treatments(self) -> tuple[str, ...]:
        """A sentence where the treatments of some pictures are not there yet."""
        return self._notice(
            self.index.missing(TREATED),
            "How {count} of the index's {pictures} pictures were treated is not known yet: `cbir index --index {name}` "
            "looks at them.",
        )

    @cached_property
    def without_objects(self) -> tuple[str, ...]:
        """A sentence where the objects of some pictures are not there yet."""
        return self._notice(
            self.index.missing(OBJECTS),
            "Objects are not known of {count} of the index's {pictures} pictures yet: `cbir index --index {name}` "
            "looks for them.",
        )

    @cached_property
    def without_classes(self) -> tuple[str, ...]:
        """A sentence where the classes of some pictures are not there yet."""
        if (self.classes().known | ~self.index.valid).all():
            return ()
        return self._notice(
            self.index.missing(CLASSES),
            "Words do not find {count} of the index's {pictures} pictures, whose classes it does not have yet: "
            "`cbir index --index {name}` looks for them.",
        )

    @cached_property
    def without_parts(self) -> tuple[str, ...]:
        """A sentence where the parts of some pictures are not there yet."""
        return self._notice(
            self.index.missing(SIGNS),
            "Parts do not find {count} of the index's {pictures} pictures, whose parts it does not have yet: "
            "`cbir index --index {name}` reads them.",
        )

    def _notice(self, missing: npt.NDArray[np.bool_], sentence: str) -> tuple[str, ...]:
        count = int((missing & self.index.valid).sum())
        name = self.index.directory.name if not self.index.directories else "NAME"
        told = sentence.format(count=f"{count:,}", pictures=f"{len(self.index):,}", name=name)
        return (told,) if count else ()
