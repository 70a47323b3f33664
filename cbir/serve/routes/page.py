"""The page and its files, and the way in where a token is needed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from cbir.serve.bodies import Login
from cbir.serve.guard import COOKIE, cookie_of, is_token
from cbir.serve.pages import page_files
from cbir.serve.problems import ProblemError
from cbir.serve.settings import Settings

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """Return the page."""
    return _file(request, "index.html")


@router.get("/page/{name}")
async def page_file(request: Request, name: str) -> Response:
    """Return a file of the page."""
    return _file(request, name)


@router.post("/api/v1/login")
async def login(request: Request, given: Login) -> Response:
    """Let a browser in whose user knows the token: it gets a cookie."""
    settings: Settings = request.app.state.settings
    if settings.token is None or not is_token(given.token, settings):
        raise ProblemError(401, "token-needed", "That is not the token.", headers={"WWW-Authenticate": "Bearer"})
    response = Response(status_code=204)
    is_https = (settings.url or "").startswith("https:")
    days = 30 * 24 * 3600
    response.set_cookie(
        COOKIE, cookie_of(settings.token), max_age=days, secure=is_https, httponly=True, samesite="strict"
    )
    return response


def _file(request: Request, name: str) -> Response:
    found = page_files().get(name)
    if found is None:
        raise ProblemError(404, "no-such-file", f"The page has no file {name}.")
    content, compressed, kind, tag = found
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=kind)
    return Response(content, headers=headers, media_type=kind)
