"""Files of chosen pictures."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from cbir.serve.bodies import Basket
from cbir.serve.chosen import Chosen
from cbir.serve.problems import ProblemError
from cbir.serve.records import json_response
from cbir.serve.routes.common import PROBLEMS, AnIndex, AService, heavily
from cbir.serve.service import ServedIndex, Service
from cbir.serve.settings import Settings

router = APIRouter(tags=["basket"], responses=PROBLEMS)

_TYPES = {
    "paths": ("text/plain; charset=utf-8", "txt"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "json": ("application/json", "json"),
    "sheet": ("image/jpeg", "jpg"),
    "zip": ("application/zip", "zip"),
}


@router.post(
    "/indexes/{index}/basket",
    response_class=Response,
    responses={201: {"description": "The folder of links that was made"}},
)
async def basket(service: AService, index: AnIndex, wanted: Basket, request: Request) -> Response:
    """Return a file that is made of chosen pictures, or make a folder of links to them in that of `--links`.

    Pictures that are gone are left out: the header Cbir-Left-Out tells how many.
    """
    settings: Settings = request.app.state.settings
    if wanted.format == "sheet":
        async with heavily(request):
            return await run_in_threadpool(_made, service, index, wanted, settings)
    return await run_in_threadpool(_made, service, index, wanted, settings)


def _made(service: Service, index: ServedIndex, wanted: Basket, settings: Settings) -> Response:
    if wanted.format == "links" and settings.links is None:
        raise ProblemError(422, "no-links", "This server makes no links: start it with --links FOLDER.")
    chosen = Chosen.of(index, wanted.pictures)
    if wanted.format == "links":
        assert settings.links is not None
        folder = chosen.link(settings.links)
        told = {"directory": str(folder), "links": len(chosen.found), "left_out": len(chosen.left_out)}
        return json_response(told, 201)
    kind, ending = _TYPES[wanted.format]
    headers = {"Content-Disposition": f'attachment; filename="basket.{ending}"'}
    if wanted.format == "zip":
        return StreamingResponse(chosen.as_zip(), headers=headers | _left_out(chosen), media_type=kind)
    if wanted.format == "sheet":
        content = chosen.as_sheet(service.thumbnails)
    else:
        content = {"paths": chosen.as_paths, "csv": chosen.as_csv, "json": chosen.as_json}[wanted.format]()
    return Response(content, headers=headers | _left_out(chosen), media_type=kind)


def _left_out(chosen: Chosen) -> dict[str, str]:
    return {"Cbir-Left-Out": str(len(chosen.left_out))}
