"""The network of an index."""

from __future__ import annotations

from dataclasses import replace

from cbir.backbones.backbone import Backbone, named_by_user
from cbir.errors import IndexConflictError, IndexDamagedError
from cbir.index.store import Index


def backbone_of(index: Index, *, weights: str | None = None) -> Backbone:
    """Return the network that made an index.

    `weights` names the file that holds its weights now, if they are not where they were; IndexConflictError where
    that file holds others.
    """
    try:
        backbone = Backbone.from_json(index.model)
    except (ValueError, TypeError, KeyError) as error:
        raise IndexDamagedError(
            f"{index.directory} names no backbone that this cbir knows ({error}): index the folder again."
        ) from error
    if backbone.dimension != index.meta.dimension:
        raise IndexDamagedError(
            f"{index.directory} holds {index.meta.dimension} numbers a row, but its backbone {backbone.name} "
            f"makes {backbone.dimension}: index the folder again."
        )
    if weights is None:
        return backbone
    if backbone.members:
        raise IndexConflictError(
            f"The index {index.directory} was made by {len(backbone.members)} networks ({backbone.name}), each with "
            "its own weights: leave --weights out."
        )
    chosen = named_by_user(weights, backbone.name)
    if not chosen.matches(backbone.weights):
        raise IndexConflictError(
            f"The index {index.directory} was made with other weights than {weights} "
            f"(SHA-256 {backbone.weights.identity[:12]}…, not {chosen.identity[:12]}…): "
            "leave --weights out, or make another index with --index NAME."
        )
    return replace(backbone, weights=chosen)
