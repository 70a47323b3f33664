"""The map of an index, made in the background."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from cbir.map.collection import MOST, CollectionMap, map_index
from cbir.serve.records import json_response, pictures
from cbir.serve.routes.common import PROBLEMS, WORKING, AnIndex, AService, working

router = APIRouter(tags=["map"], responses=PROBLEMS)


@router.get("/indexes/{index}/map", response_class=Response, responses=WORKING)
def collection_map(service: AService, index: AnIndex, most: Annotated[int, Query(ge=1, le=20_000)] = MOST) -> Response:
    """Return the places of all pictures on a grid, like beside like; of more than `most`, some stand for others.

    202 with how much is `done` while it is being made.
    """
    state = index.state
    its, most = state.index, min(most, len(state.rows))
    job = service.jobs.of(state, ("map", most), lambda told: map_index(its, most=most, told=told))
    if not job.is_finished:
        return working(job)
    whole: CollectionMap = job.result()
    shown = pictures(state, [cell.row for cell in whole.cells])
    cells = [
        {"column": cell.column, "line": cell.line, "pictures": cell.pictures, "picture": picture}
        for cell, picture in zip(whole.cells, shown, strict=True)
    ]
    columns, rows = whole.grid
    return json_response({"state": state.id, "columns": columns, "rows": rows, "cells": cells})
