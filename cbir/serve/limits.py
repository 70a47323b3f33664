"""Limits of requests: bodies are taken whole, so many bytes within so many seconds, and then wait for their turn."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cbir.serve.problems import ProblemError, of_error
from cbir.serve.settings import BODY_BYTES, HELD_BYTES, UPLOAD_BYTES
from cbir.serve.turns import Turns

# Seconds in which a body has to be there.
_SECONDS = 60.0


class Limits:
    """Takes the body of a request, waits for its turn, and lets it be answered."""

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self._app = app
        self._turns = turns
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._take_in_time(scope, receive, chunks)
            if scope["path"].startswith("/api/") and not scope["path"].endswith(("/health", "/metrics")):
                async with self._turns.one():
                    await self._app(scope, _again(b"".join(chunks), receive), sending)
            else:
                await self._app(scope, _again(b"".join(chunks), receive), sending)
        except ConnectionError:  # whoever asked is gone
            return
        except Exception as error:
            if started:
                raise
            await of_error(error)(scope, receive, send)
        finally:
            self._held -= sum(map(len, chunks))

    async def _take_in_time(self, scope: Scope, receive: Receive, chunks: list[bytes]) -> None:
        try:
            await asyncio.wait_for(self._take(scope, receive, chunks), _SECONDS)
        except (asyncio.TimeoutError, TimeoutError) as error:
            late = "The request did not arrive in time."
            raise ProblemError(408, "late", late, headers={"Connection": "close"}) from error

    async def _take(self, scope: Scope, receive: Receive, chunks: list[bytes]) -> None:
        """Collect the body. ProblemError where it is too large, or there is no room for it now."""
        headers = Headers(scope=scope)
        has_files = headers.get("content-type", "").lower().startswith("multipart/form-data")
        most = UPLOAD_BYTES if has_files else BODY_BYTES
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        total = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            chunk = message.get("body", b"")
            total += len(chunk)
            if total > most:
                raise _too_large(most)
            if self._held + len(chunk) > HELD_BYTES:
                raise ProblemError(503, "busy", "Too much is being sent at once.", headers={"Retry-After": "2"})
            self._held += len(chunk)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        413, "too-large", f"A request may have {most / 1e6:,.0f} MB here.", headers={"Connection": "close"}
    )


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was taken already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
