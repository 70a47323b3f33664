"""Distances of the faces that an index has, and what they stand for."""

from __future__ import annotations

import contextlib

from cbir.errors import ModelError
from cbir.faces.likeness import DEFAULT, Thresholds
from cbir.index.entries import FacesEntry


def thresholds_of_index(entry: FacesEntry | None) -> Thresholds:
    """Return what distances of an index's faces stand for; ModelError where that is not known of somebody's network."""
    if entry is None or not entry.source:
        return DEFAULT  # without loading what finds faces
    from cbir.faces.finder import thresholds_for

    return thresholds_for(entry.identity, entry.name)


def group_in_any_case(entry: FacesEntry | None) -> float:
    """Return the distance up to which an index's faces are grouped, the usual one where that is not known.

    Whoever asks to be forgotten need not wait for what is not known.
    """
    with contextlib.suppress(ModelError):
        return thresholds_of_index(entry).group
    return DEFAULT.group
