"""Thresholds of users' own networks for faces, as they were learnt from their own people, in the user's cache."""

from __future__ import annotations

import json
from pathlib import Path

from cbir.faces.likeness import Thresholds
from cbir.utils.cache import cache_folder, keep, kept

_MOST_BYTES = 4096


def remember(identity: str, thresholds: Thresholds) -> Path:
    """Keep the thresholds of what has that identity; where. OSError where that cannot be."""
    path = _path(identity)
    keep(path, json.dumps(thresholds.to_json()).encode("ascii"))
    return path


def thresholds_of(identity: str) -> Thresholds | None:
    """Return the thresholds that are remembered of what has that identity; None where there are none."""
    try:
        return Thresholds.from_json(json.loads(kept(_path(identity), _MOST_BYTES) or b""))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _path(identity: str) -> Path:
    return cache_folder("faces") / f"{identity[:40]}.json"
