"""The kinds of optional files that a block may have."""

from __future__ import annotations

from cbir.index.classes import CLASSES
from cbir.index.optional import Kind
from cbir.index.thumbnails import THUMBNAILS

#: All of them. Each has a field of its name in `format.BlockEntry`.
KINDS: tuple[Kind, ...] = (CLASSES, THUMBNAILS)
