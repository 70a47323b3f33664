"""Health of the server, for people who run it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from cbir._version import __version__
from cbir.serve.metrics import MEDIA_TYPE, metrics
from cbir.serve.problems import ProblemError
from cbir.serve.records import json_response
from cbir.serve.routes.common import AService

router = APIRouter(tags=["health"])


@router.get("/health", response_class=Response)
async def health(service: AService) -> Response:
    """Tell the version, and of each index its state, its pictures, and whether its network is warm."""
    found, is_well = [], True
    for served in service.indexes.values():
        about: dict[str, Any] = {"name": served.name, "state": None, "pictures": None, "warm": served.warm}
        try:
            state = served.state
            about |= {"state": state.id, "pictures": len(state.rows)}
        except ProblemError as error:
            about["problem"], is_well = error.detail, False
        found.append(about)
    content = {"status": "ok" if is_well else "degraded", "version": __version__, "indexes": found}
    return json_response(content)


@router.get("/metrics", response_class=Response)
async def metrics_as_text(service: AService, request: Request) -> Response:
    """Tell how many requests there were, how long they took, and what the server holds, as Prometheus reads it."""
    text = metrics(service, request.app.state.turns, request.scope.get("cbir.requests"))
    return Response(text, media_type=MEDIA_TYPE)
