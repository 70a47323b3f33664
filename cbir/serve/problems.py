"""Errors as HTTP tells them: problems by RFC 9457, in the sentences that the shell prints."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cbir.errors import (
    CbirError,
    DecodersError,
    ImageReadError,
    IndexDamagedError,
    IndexLockedError,
    IndexNotFoundError,
    IndexWriteError,
    RegionError,
)
from cbir.utils.printable import printable

logger = logging.getLogger("cbir")

MEDIA_TYPE = "application/problem+json"

#: For people, by status.
_TITLES = {
    400: "The request cannot be answered",
    401: "A token is needed",
    403: "Not from there",
    404: "There is no such thing here",
    405: "That cannot be done with this",
    409: "That is there already",
    408: "The request took too long to arrive",
    410: "The index has changed since",
    413: "The request is too large",
    415: "Not in this form",
    416: "There is no such range",
    422: "The request is not understood",
    500: "Something is wrong in cbir",
    503: "Not now",
}

# What a request may have got wrong, or what is not there now, by the library's errors.
_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (IndexNotFoundError, 503, "index-gone"),
    (IndexDamagedError, 503, "index-damaged"),
    (DecodersError, 503, "no-process"),
    (IndexLockedError, 503, "index-busy"),
    (IndexWriteError, 503, "index-unwritable"),
    (ImageReadError, 422, "picture-unreadable"),
    (RegionError, 422, "no-such-region"),
    (CbirError, 422, "refused"),
)


class ProblemError(Exception):
    """A problem to be answered: `kind` ends its type, `more` are its other members."""

    def __init__(self, status: int, kind: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any):
        super().__init__(detail)
        self.status, self.kind, self.detail, self.more = status, kind, detail, more
        self.headers = headers or {}

    def response(self) -> Response:
        """Return the answer."""
        return problem(self.status, self.kind, self.detail, headers=self.headers, **self.more)


def problem(status: int, kind: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """Return an answer that is a problem."""
    content = {
        "type": f"/problems/{kind}",
        "title": _TITLES.get(status, "It cannot be answered"),
        "status": status,
        "detail": printable(detail),
        **more,
    }
    return Response(json.dumps(content), status, headers, MEDIA_TYPE)


def of_error(error: Exception) -> Response:
    """Return the problem that an error of the library is; one that has none is a defect, and logged."""
    if isinstance(error, ProblemError):
        return error.response()
    for type_, status, kind in _STATUS:
        if isinstance(error, type_):
            headers = {"Retry-After": "5"} if status == 503 else None
            return problem(status, kind, str(error), headers=headers)
    logger.error("A request failed by a defect of cbir (%s).", type(error).__name__)
    logger.debug("%s", error, exc_info=error)
    return problem(500, "defect", "cbir failed at this; its log says more.")


def status_of(error: CbirError | ProblemError) -> tuple[int, dict[str, str]]:
    """Return the status of the answer that an error is, and the headers that go with it, for pages that tell it."""
    answer = of_error(error)
    return answer.status_code, {"Retry-After": answer.headers["retry-after"]} if "retry-after" in answer.headers else {}


def add_handlers(app: FastAPI) -> None:
    """Have an application answer with problems."""

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, "http", str(error.detail), headers=headers)

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return invalid(error.errors()).response()

    async def of_any(request: Request, error: Exception) -> Response:
        return of_error(error)

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(ProblemError, of_any)
    app.add_exception_handler(CbirError, of_any)


def invalid(errors: Any) -> ProblemError:
    """Return the problem of a request whose fields are wrong, with each field's place and what is wrong with it."""
    found = [
        {"field": ".".join(printable(str(part)) for part in one["loc"]), "problem": printable(str(one["msg"]))}
        for one in errors
    ]
    first = f": {found[0]['field']}: {found[0]['problem']}" if found else ""
    return ProblemError(422, "invalid", f"The request is not understood{first}.", errors=found[:20])
