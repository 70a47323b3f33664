"""Completion of what is typed: words, and names of pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from cbir.serve.records import json_response
from cbir.serve.routes.common import PROBLEMS, AnIndex

router = APIRouter(tags=["completion"], responses=PROBLEMS)

Prefix = Annotated[str, Query(max_length=200)]
Count = Annotated[int, Query(ge=1, le=100)]


@router.get("/indexes/{index}/words", response_class=Response)
def words(index: AnIndex, prefix: Prefix = "", count: Count = 12) -> Response:
    """Return nouns that begin so, with how many pictures show one: those that find something in this index first."""
    found = index.state.completion.complete(prefix, count)
    return json_response({"words": [word.to_dict() for word in found]})


@router.get("/indexes/{index}/files", response_class=Response)
def files(index: AnIndex, prefix: Prefix = "", count: Count = 12) -> Response:
    """Return pictures that have this in their paths below the root: those whose names begin so first."""
    state = index.state
    rows = state.names.find(prefix, count)
    return json_response({"files": [{"path": state.record(row).path, "id": state.picture_id(row)} for row in rows]})
