"""The indexes that are served, and what is in each."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from cbir.index.columns.classes import CLASSES
from cbir.index.columns.registry import all_columns
from cbir.serve.problems import ProblemError
from cbir.serve.records import json_response, moment
from cbir.serve.routes.common import PROBLEMS, AnIndex, AService
from cbir.serve.service import ServedIndex
from cbir.serve.settings import Settings
from cbir.serve.states import ServedState

router = APIRouter(tags=["indexes"], responses=PROBLEMS)


@router.get("/indexes", response_class=Response)
def indexes(service: AService) -> Response:
    """List the indexes; one that is gone has no state."""
    found = []
    for served in service.indexes.values():
        try:
            found.append(_about(served))
        except ProblemError as error:
            found.append({"name": served.name, "state": None, "problem": error.detail})
    return json_response({"indexes": found})


@router.get("/indexes/{index}", response_class=Response)
def one_index(index: AnIndex, request: Request) -> Response:
    """Tell what an index has: folders, columns, what it can be searched by, and whether links to it are made."""
    state = index.state
    settings: Settings = request.app.state.settings
    meta = state.index.meta
    columns = [column.name for column in all_columns() if any(column.name in block.columns for block in meta.blocks)]
    dates = _dates(state)
    has = {
        "words": CLASSES.name in columns,
        "text": state.backbone.reads_text,
        "parts": meta.parts is not None,
        "objects": meta.objects is not None,
        "faces": meta.faces is not None,
        "dates": dates is not None,
        "links": settings.links is not None,
    }
    folders = [{"folder": folder, "pictures": count} for folder, count in state.folders.items()]
    tags = [{"tag": tag, "pictures": count} for tag, count in state.frequent_tags]
    objects = [{"object": name, "pictures": count} for name, count in state.frequent_objects]
    more = {"folders": folders, "tags": tags, "objects": objects, "dates": dates, "columns": columns, "has": has}
    return json_response({**_about(index), **more})


def _dates(state: ServedState) -> dict[str, Any] | None:
    """Tell of how many photos the date is known, which is the first and the last, and how many each year has."""
    taken = state.taken[state.rows]
    known = taken[taken != 0]
    if not len(known):
        return None
    years, counts = np.unique(
        known.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970, return_counts=True
    )
    by_year = [{"year": year, "pictures": count} for year, count in zip(years.tolist(), counts.tolist(), strict=True)]
    first, last = moment(int(known.min())), moment(int(known.max()))
    return {"first": first, "last": last, "known": len(known), "by_year": by_year}


def _about(served: ServedIndex) -> dict[str, Any]:
    state = served.state
    return {
        "name": served.name,
        "state": state.id,
        "pictures": len(state.rows),
        "model": state.backbone.name,
        "root": str(state.index.root),
        "watched": served.watched,
    }
