"""The faces of a picture as the server tells them."""

from __future__ import annotations

import logging
from typing import Any

from cbir.errors import IndexDamagedError
from cbir.index.store import Index

logger = logging.getLogger("cbir")


def faces_of_row(index: Index, row: int) -> list[dict[str, Any]] | None:
    """Return the records of the faces in a picture, the largest first, without vectors; None where unknown."""
    if index.meta.faces is None:
        return None
    try:
        found = index.faces_of(row)
    except IndexDamagedError as error:
        logger.warning("A picture's faces are not told. %s", error)
        return None
    if not found.known[0]:
        return None
    its = zip(found.boxes.tolist(), found.scores.tolist(), strict=True)
    return [
        {"number": number, "box": box, "score": round(score, 4)} for number, (box, score) in enumerate(its, start=1)
    ]
