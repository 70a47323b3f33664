"""The record makers of an index: a new one is a function here, or a plug-in's, and a line in the table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbir.backbones.head import classifier_of
from cbir.errors import CbirError, IndexConflictError
from cbir.extract.classes import ClassMaker
from cbir.extract.dates import DateMaker
from cbir.extract.extractor import Extractor, Watch
from cbir.extract.records import RecordMaker
from cbir.extract.thumbnails import ThumbnailMaker
from cbir.extract.treatment import TreatmentMaker
from cbir.images.sources.address import Location
from cbir.images.sources.source import place_of
from cbir.index.columns.classes import CLASSES
from cbir.index.columns.faces import FACES, FOUND, VECTORS
from cbir.index.columns.objects import BOXES, OBJECTS, places_of
from cbir.index.columns.parts import PARTS, SIGNS
from cbir.index.columns.registry import content_columns
from cbir.index.columns.taken import TAKEN
from cbir.index.columns.thumbnails import THUMBNAILS
from cbir.index.columns.treatment import NUMBERS, TREATED
from cbir.index.entries import TreatmentEntry
from cbir.index.format import Meta
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.donor import Donor
from cbir.indexing.plan import Plan
from cbir.indexing.report import duration
from cbir.indexing.wanted import PLANNED, PLANNED_FACES, PLANNED_TREATMENT

if TYPE_CHECKING:
    from cbir.detect.wish import Wish

logger = logging.getLogger("cbir")

#: In so many pictures faces are not looked for without a word about how long it takes.
WORTH_FORETELLING = 500

_OF_FACES = (FOUND, FACES, VECTORS)

# Rows that are read at a time.
_TOGETHER = 4096


@dataclass
class Making:
    """The facts by which a run's makers are chosen.

    `extractor` can read images already; `wanted` is the state of which the index is to say what it says of the groups
    of `format.CHOSEN`, and is changed to what it can say. The `detector` of objects and the `face_model`, if they are
    others than the index remembers, and the networks run by `engine`, as in `Options`. What follows from images alone
    comes from the `donor`, where there is one.
    """

    extractor: Extractor
    plan: Plan
    writer: Writer
    root: Location
    watch: Watch
    wanted: Meta
    detector: Wish | None = None
    face_model: str | None = None
    engine: str | None = None
    donor: Donor | None = None


#: Makes the maker of a run; None where it has nothing to do, or cannot, for which the plan is changed.
Factory = Callable[[Making], "RecordMaker | None"]


def make_makers(making: Making) -> list[RecordMaker]:
    """Make the record makers of a run; columns that nobody makes are left out of its plan."""
    columns = content_columns()
    donor = making.donor
    given = set() if donor is None else {one.group or one.name for one in columns if donor.gives(one)}
    for column in columns:
        name = column.group or column.name
        if name in given or name not in _MAKERS:
            making.plan.skip(column)
    found = [factory(making) for name, factory in _MAKERS.items() if name not in given]
    return [maker for maker in found if maker is not None]


def register(name: str, factory: Factory) -> None:
    """Have a plug-in's maker make records, for the column of that name, or the group, as long as this process runs.

    ValueError where they are made already.
    """
    if _MAKERS.setdefault(name, factory) is not factory:
        raise ValueError(f"{name} is made already")


@contextmanager
def registered(name: str, factory: Factory) -> Iterator[None]:
    """`register` a maker while the block runs."""
    register(name, factory)
    try:
        yield
    finally:
        del _MAKERS[name]


def _classes(making: Making) -> ClassMaker | None:
    """Return the classes, where the network has a classifier."""
    if not making.plan.fresh and not making.plan.again_for(CLASSES):
        return None
    classifier = classifier_of(making.extractor.backbone)
    if classifier is None:
        making.plan.skip(CLASSES)
        return None
    return ClassMaker(classifier)


def _thumbnails(making: Making) -> ThumbnailMaker:
    return ThumbnailMaker()


def _dates(making: Making) -> DateMaker:
    return DateMaker()


def _objects(making: Making) -> RecordMaker | None:
    """Make the maker of objects, if there are to be any, and hold its detector against that of the index.

    Where a detector that nobody has named now is not here any more, the objects wait for a later run.
    """
    entry, plan = making.wanted.objects, making.plan
    if entry is None and making.detector is not None:
        name = making.writer.directory.name
        raise CbirError(f"The index {name} has no objects, which a detector finds: add --objects.")
    if entry is None:
        return None
    is_needed = plan.fresh or any(plan.again_for(column) for column in (OBJECTS, BOXES))
    is_told = entry is PLANNED or making.detector is not None
    if not is_needed and not is_told:
        return None
    from cbir.detect.maker import ObjectMaker
    from cbir.detect.remembered import open_for_index

    name = making.writer.directory.name
    known = None if entry is PLANNED else entry
    expected = len(plan.fresh) + len(plan.again)
    try:
        detector, wish, objects = open_for_index(name, known, making.detector, engine=making.engine, expected=expected)
    except IndexConflictError:
        raise
    except CbirError as error:
        if is_told:
            raise
        logger.warning("Objects are not looked for in new pictures: %s --detector tells where it is now.", error)
        for column in (OBJECTS, BOXES):
            plan.skip(column)
        return None
    making.wanted = making.wanted.but(objects=objects)
    return ObjectMaker(detector, wish) if is_needed else None


def _faces(making: Making) -> RecordMaker | None:
    """Make the maker of faces, if there are to be any, and hold its finder against that of the index.

    Where packages, or a network that nobody has named now, are not here any more, or others than they were, the faces
    wait for a later run.
    """
    entry, plan, name = making.wanted.faces, making.plan, making.writer.directory.name
    if entry is None and making.face_model is not None:
        raise CbirError(f"The index {name} has no faces, which a network tells apart: add --faces.")
    if entry is None:
        return None
    for column in _OF_FACES:
        for other in _OF_FACES:
            plan.renew(column, other)  # none of them says anything without the others
    is_needed = plan.fresh or any(plan.again_for(column) for column in _OF_FACES)
    is_told = entry is PLANNED_FACES or making.face_model is not None
    if not is_needed and not is_told:
        return None
    from cbir.faces.cost import foretell
    from cbir.faces.maker import FaceMaker
    from cbir.faces.remembered import open_for_index

    known = None if entry is PLANNED_FACES else entry
    files = [place_of(making.root, file) for file in (*plan.fresh, *plan.to_read_again)]
    try:
        finder, faces = open_for_index(name, known, making.face_model, engine=making.engine, expected=len(files))
    except CbirError as error:
        if is_told:
            raise
        # also where a newer cbir finds other vectors: names that people gave are not to be lost for it, nor is the run
        logger.warning("Faces are not looked for in new pictures: %s", error)
        for column in _OF_FACES:
            plan.skip(column)
        return None
    making.wanted = making.wanted.but(faces=faces)
    if not is_needed:
        return None
    if len(files) >= WORTH_FORETELLING and (seconds := foretell(finder, files)) is not None:
        about = duration(seconds, digits=0)
        logger.info("Looking for faces in %s pictures takes about %s of this machine.", f"{len(files):,}", about)
    return FaceMaker(finder, model=faces.source or None, engine=making.engine, expected=len(files))


def _treatment(making: Making) -> TreatmentMaker | None:
    """Make the maker of treatments, if there are to be any; find out how many numbers the network makes.

    Where it makes none, or is not here for old pictures' sake, new pictures do without.
    """
    entry, plan = making.wanted.treatment, making.plan
    if entry is None:
        return None
    for column, other in ((TREATED, NUMBERS), (NUMBERS, TREATED)):
        plan.renew(column, other)
    if not plan.fresh and not any(plan.again_for(column) for column in (TREATED, NUMBERS)):
        return None
    try:
        numbers = making.extractor.count_treatment_numbers()
    except CbirError as error:
        if entry is PLANNED_TREATMENT:
            raise
        logger.warning("How new pictures were treated is not looked at: %s", error)
        for column in (TREATED, NUMBERS):
            plan.skip(column)
        return None
    making.wanted = making.wanted.but(treatment=TreatmentEntry(numbers))
    return TreatmentMaker()


def _parts(making: Making) -> RecordMaker | None:
    """Make the maker of parts, if there are to be any; choose their whitening, or learn it on images to be read."""
    entry, plan, writer = making.wanted.parts, making.plan, making.writer
    if entry is not None:
        # of an index with both, boxes of objects are among the parts
        for column in (PARTS, SIGNS):
            plan.renew(column, OBJECTS)
    if entry is None or not (plan.fresh or any(plan.again_for(column) for column in (PARTS, SIGNS))):
        return None
    from cbir.parts.learning import ENOUGH, general_name, learn, whitening_of_index
    from cbir.parts.maker import PartMaker
    from cbir.parts.proposals import proposer_of
    from cbir.parts.whitening import Whitening, general

    backbone, proposer = making.extractor.backbone, proposer_of(entry.proposer, writer.directory.name)
    found = _found_before(making)
    if entry.whitening is not None:
        known = Index(writer.directory, writer.meta.but(blocks=(), candidates=None))
        return PartMaker(whitening_of_index(known, backbone), proposer=proposer, found=found)
    files = [place_of(making.root, file) for file in (*plan.fresh, *plan.to_read_again)]
    whitening = general(backbone)
    if whitening is not None and len(files) < ENOUGH:
        making.wanted = making.wanted.but(parts=replace(entry, whitening=general_name(backbone)))
        return PartMaker(whitening, proposer=proposer, found=found)
    learnt = learn(files, making.extractor, making.watch, proposer)
    if learnt is None:  # no picture can be read, so there are no parts to be made either
        return None
    entry = replace(writer.keep_whitening(learnt.content, len(learnt.means)), proposer=entry.proposer)
    making.wanted = making.wanted.but(parts=entry)
    return PartMaker(Whitening.from_bytes(learnt.content), learnt.means, proposer, found)


def _found_before(making: Making) -> dict[str, npt.NDArray[np.int32]]:
    """Return the boxes of objects of pictures that lack parts alone, by content, as the index has them."""
    from cbir.parts.maker import LEAST_SCORE

    plan, writer, donor = making.plan, making.writer, making.donor
    lacking, looked_at = plan.backfill.get(PARTS.name, {}), plan.backfill.get(OBJECTS.name, {})
    if donor is None:
        rows_by_content, contents = plan.rows_by_content, [one for one in lacking if one not in looked_at]
    else:
        rows_by_content = donor.rows
        contents = [one for one in rows_by_content if one in lacking or one not in plan.rows_by_content]
    if writer.meta.objects is None or not contents:
        return {}
    index = Index(writer.directory, writer.meta.but(candidates=None)) if donor is None else donor.index
    found: dict[str, npt.NDArray[np.int32]] = {}
    for first in range(0, len(contents), _TOGETHER):
        some = contents[first : first + _TOGETHER]
        rows = [rows_by_content[content] for content in some]
        stored = zip(index.stored(OBJECTS, rows), index.stored(BOXES, rows), strict=True)
        found |= {one: places_of(*records, LEAST_SCORE) for one, records in zip(some, stored, strict=True)}
    return found


#: By the name of the column that each fills, or of the group of columns.
_MAKERS: dict[str, Factory] = {
    CLASSES.name: _classes,
    THUMBNAILS.name: _thumbnails,
    OBJECTS.group: _objects,
    FOUND.group: _faces,
    PARTS.group: _parts,
    TAKEN.name: _dates,
    TREATED.group: _treatment,
}
