"""Parts that routes share: the service of the application, and the problems that each may answer with."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from cbir.serve.jobs import Job
from cbir.serve.problems import MEDIA_TYPE
from cbir.serve.records import json_response
from cbir.serve.service import ServedIndex, Service
from cbir.serve.turns import Turns


class Problem(BaseModel):
    """An error, by RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, description in {
        401: "The token is missing",
        403: "Another page's request, or a file outside the index's folder",
        404: "No such index or picture",
        405: "No such method here",
        409: "It is there already",
        410: "The index has changed since",
        413: "Too large",
        422: "Not understood, or it cannot be answered by this index",
        503: "Busy, or the index is gone; Retry-After tells when to ask again",
    }.items()
}


# A function that is no coroutine would be called in a thread, which takes longer than all that these do.
async def the_service(request: Request) -> Service:
    """Return the service of the application that a request came to."""
    service: Service = request.app.state.service
    return service


async def the_index(request: Request, index: str) -> ServedIndex:
    """Return the index that a path names. ProblemError where there is none."""
    return (await the_service(request)).index(index)


def heavily(request: Request) -> AbstractAsyncContextManager[None]:
    """Wait for one of the turns of heavy requests and have it. ProblemError, with 503, where none comes."""
    turns: Turns = request.app.state.heavy
    return turns.one()


#: Parameters of routes: the index of `/indexes/{index}/…`, and the service.
AnIndex = Annotated[ServedIndex, Depends(the_index)]
AService = Annotated[Service, Depends(the_service)]

#: The answer of routes whose work is done in the background.
WORKING: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "Not yet: Retry-After tells when to ask again",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["status", "done"],
                    "properties": {
                        "status": {"const": "working"},
                        "done": {"type": "number", "minimum": 0, "maximum": 1},
                    },
                }
            }
        },
    }
}


def working(job: Job) -> Response:
    """Return the answer while a job is not done yet."""
    return json_response({"status": "working", "done": round(job.share, 3)}, 202, {"Retry-After": "1"})
