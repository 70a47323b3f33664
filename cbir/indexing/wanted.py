"""Parts and objects that an index is to have, or not to have any more, as somebody asks."""

from __future__ import annotations

from pathlib import Path

from cbir.index.entries import ObjectsEntry, PartsEntry
from cbir.index.format import Meta, load_meta
from cbir.index.writer import Writer

#: Stands for the detector of an index that is to have objects, until that is opened.
PLANNED = ObjectsEntry("", "", "0" * 64, "", (), 0)


def as_wanted(meta: Meta, *, parts: bool | None, proposer: str | None, objects: bool | None) -> Meta:
    """Return the state that says of parts and objects what is wanted; None leaves each as it is. Nothing is written."""
    if parts is not None and parts is not (meta.parts is not None):
        meta = meta.but(parts=_new_parts(proposer)) if parts else meta.without_parts()
    if objects is not None and objects is not (meta.objects is not None):
        meta = meta.but(objects=PLANNED) if objects else meta.without_objects()
    return meta


def take_away(directory: Path, *, parts: bool, objects: bool) -> None:
    """Take parts or objects away from an index."""
    meta = load_meta(directory)
    without = as_wanted(meta, parts=False if parts else None, proposer=None, objects=False if objects else None)
    if without != meta:
        Writer(directory, meta).replace(without)


def _new_parts(proposer: str | None) -> PartsEntry:
    from cbir.parts.proposals import remembered

    return PartsEntry(proposer=remembered(proposer))
