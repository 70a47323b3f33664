"""Distances of the faces that an index has, and what they stand for."""

from __future__ import annotations

from cbir.faces.likeness import DEFAULT, Thresholds
from cbir.index.entries import FacesEntry


def thresholds_of_index(entry: FacesEntry | None) -> Thresholds:
    """Return what distances of an index's faces stand for; ModelError where that is not known of somebody's network."""
    if entry is None or not entry.source:
        return DEFAULT  # without loading what finds faces
    from cbir.faces.finder import thresholds_for

    return thresholds_for(entry.identity, entry.name)
