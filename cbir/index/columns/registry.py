"""The kinds of optional files that a block may have."""

from __future__ import annotations

from cbir.index.columns.classes import CLASSES
from cbir.index.columns.column import Kind
from cbir.index.columns.parts import PARTS, SIGNS
from cbir.index.columns.thumbnails import THUMBNAILS
from cbir.index.columns.times import CHANGED
from cbir.index.format import Meta

#: Those that tell of a picture's content: where they lack it, it is read again for them.
OF_CONTENT: tuple[Kind, ...] = (CLASSES, THUMBNAILS, PARTS, SIGNS)

#: All of them. Each has a field of its name in `format.BlockEntry`.
KINDS: tuple[Kind, ...] = (*OF_CONTENT, CHANGED)

#: Those that an index has only if somebody wants it to.
OF_PARTS: tuple[Kind, ...] = (PARTS, SIGNS)


def wanted_kinds(meta: Meta | None) -> tuple[Kind, ...]:
    """The kinds of content that an index is to have of every picture."""
    return OF_CONTENT if meta is not None and meta.parts is not None else (CLASSES, THUMBNAILS)


def without_parts(meta: Meta) -> Meta:
    """The same state without files of parts."""
    gone = dict.fromkeys(kind.name for kind in OF_PARTS)
    return meta.but(parts=None, blocks=tuple(block.with_optional(gone) for block in meta.blocks))
