"""The options for making or refreshing an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbir.images.pipe import MAX_PIXELS
from cbir.indexing.wanted import Wanted

if TYPE_CHECKING:
    from cbir.backbones.backbone import Backbone
    from cbir.detect.wish import Wish


@dataclass(frozen=True)
class Options:
    """The options for making or refreshing an index.

    `model`, `weights`, `views` and `engine` are as in `backbone.choose` and `open_engine`; None leaves them to the
    index or the default. `exclude` replaces the patterns that the index remembers, unless it is None; `ignore_case`
    says whether they take upper and lower case for the same, None that this stays as it was with these patterns.
    `repair` drops blocks, or their files of columns, that are damaged, so that their pictures are read again, and looks
    once more for what could not be found. `rehash` reads the contents of all files; `retry_skipped`, and `repair`, try
    those again that were refused before and have not changed. `parts` says whether the index is to have parts of its
    pictures from now on (docs/parts.md), their boxes from the `proposer` of that name, by default windows; None leaves
    that as it is. `objects` says the same of objects, which the `detector` finds, by default the one that the index
    remembers, or the usual one. `faces` says it of faces, by the network in the file `face_model`, by default the one
    that the index remembers, or the usual one. `treatment` says it of how pictures were treated, which the network
    tells. `candidates` says what finds these in a large index, `annoy` or the
    address of a collection in Milvus, and `rows` where its features are to be, `blocks` or `milvus`. Pictures of more
    than `max_pixels` are skipped. What has changed within the last `resting` seconds is left for the next run.

    Where the index is by another network than `model`, it is moved to that, see `networks.bring_along`; `keep_old` then
    keeps what it has by its own. What it has by a network that is called `drop` is taken away first.
    """

    model: str | Backbone | None = None
    weights: str | None = None
    views: int | None = None
    engine: str | None = None
    exclude: Sequence[str] | None = None
    ignore_case: bool | None = None
    prune: bool = False
    repair: bool = False
    rehash: bool = False
    retry_skipped: bool = False
    max_pixels: int = MAX_PIXELS
    wait: float = 0
    parts: bool | None = None
    proposer: str | None = None
    objects: bool | None = None
    detector: Wish | None = None
    faces: bool | None = None
    face_model: str | None = None
    treatment: bool | None = None
    candidates: str | None = None
    rows: str | None = None
    resting: float = 0
    keep_old: bool = False
    drop: str | None = None

    @property
    def wanted(self) -> Wanted:
        """The groups of columns that the index is to have, or not to have any more."""
        return Wanted(self.parts, self.objects, self.faces, self.treatment, self.proposer)
