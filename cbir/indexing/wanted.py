"""The groups of columns that an index is to have, or not to have any more, as somebody asks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbir.index.columns.faces import FOUND
from cbir.index.entries import FacesEntry, ObjectsEntry, PartsEntry, TreatmentEntry
from cbir.index.format import CHOSEN, Meta, load_meta
from cbir.index.writer import Writer

logger = logging.getLogger("cbir")

#: Stands for the detector of an index that is to have objects, until that is opened.
PLANNED = ObjectsEntry("", "", "0" * 64, "", (), 0)

#: Stands for the finder of an index that is to have faces, until that is opened.
PLANNED_FACES = FacesEntry("", "0" * 64, 1)


#: Stands for the treatments of an index that is to have some, until the network has made one.
PLANNED_TREATMENT = TreatmentEntry()


@dataclass(frozen=True)
class Wanted:
    """A wish for the groups of `format.CHOSEN`, each by its name; None leaves it as it is.

    Boxes of new parts come from the `proposer`.
    """

    parts: bool | None = None
    objects: bool | None = None
    faces: bool | None = None
    treatment: bool | None = None
    proposer: str | None = None

    def of(self, meta: Meta) -> Meta:
        """Return the state that says so. Nothing is written."""
        for group in CHOSEN:
            wish = getattr(self, group)
            if wish is not None and wish is not (getattr(meta, group) is not None):
                meta = meta.but(**{group: _NEW[group](self)}) if wish else meta.without(group)
        return meta

    def unwanted(self, meta: Meta) -> list[str]:
        """Name, for people, what an index has and is not to have any more; the pictures of it stay as they are."""
        gone = [group for group in CHOSEN if getattr(self, group) is False and getattr(meta, group) is not None]
        return gone + (["what was said of people"] if FOUND.group in gone and meta.people is not None else [])

    def take_away(self, directory: Path) -> None:
        """Take away from an index, and from what it has by other networks, what is not to be there any more."""
        meta = load_meta(directory)
        without = _without(meta, [group for group in CHOSEN if getattr(self, group) is False])
        if without != meta:
            Writer(directory, meta).replace(without)
            logger.info("Taken away from %s: %s.", directory.name, ", ".join(self.unwanted(meta)) or "what was left")


def _without(meta: Meta, groups: list[str]) -> Meta:
    for group in groups:
        meta = meta.without(group)
    moving_to = meta.moving_to and _without(meta.moving_to, groups)
    return meta.but(moving_to=moving_to, kept=tuple(_without(state, groups) for state in meta.kept))


def _new_parts(wanted: Wanted) -> PartsEntry:
    from cbir.parts.proposals import remembered

    return PartsEntry(proposer=remembered(wanted.proposer))


# What an index says of a group that it does not have yet.
_NEW: dict[str, Callable[[Wanted], Any]] = {
    "parts": _new_parts,
    "objects": lambda wanted: PLANNED,
    "faces": lambda wanted: PLANNED_FACES,
    "treatment": lambda wanted: PLANNED_TREATMENT,
}
