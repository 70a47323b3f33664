"""Connections that end: half a request, a reader that does not read, and silence have their seconds."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from cbir.serve.guard import HEADERS
from cbir.serve.problems import problem

# Seconds that the head of a request may take, that a reader may leave what is sent unread, and that a connection which
# is closed may take for what was written.
_HEAD, _READING, _LEAVING = 15.0, 30.0, 5.0

# Bytes of the head of a request at most, about: an address with a hundred paths, and a browser's headers.
_HEAD_BYTES = 500_000

# Connections at a time, those whose requests wait for their turn among them.
_CONNECTIONS = 512


class PatientProtocol(HttpToolsProtocol):
    """HTTP on one connection, for clients that are not trusted to go on."""

    _head: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head = self.loop.call_later(_HEAD, transport.abort)
        if len(self.connections) > _CONNECTIONS:
            self._refuse(503, "busy", "Too many connections are open: try again.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        for timer in (self._head, self._unread):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what came, and end a connection whose head does not end."""
        super().data_received(data)
        self._head_bytes = 0 if self._head is None else self._head_bytes + len(data)
        if self._head_bytes > _HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Give the head of a request its seconds."""
        super().on_message_begin()
        if self._head is None:
            self._head = self.loop.call_later(_HEAD, self.transport.abort)

    def on_headers_complete(self) -> None:
        """Note that the head is there."""
        if self._head is not None:
            self._head.cancel()
            self._head = None
        super().on_headers_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing more came, also where what was written is not read."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(_LEAVING, self.transport.abort)

    def pause_writing(self) -> None:
        """Note that what was written is not read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(_READING, self.transport.abort)

    def resume_writing(self, *arguments: Any) -> None:
        """Note that it is read."""
        super().resume_writing(*arguments)
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request of HTTP with a problem."""
        self._refuse(400, "no-request", "That is no request of HTTP.")

    def _refuse(self, status: int, kind: str, detail: str) -> None:
        """Answer before there is a request, with the headers that all answers have, and close the connection."""
        answer = problem(status, kind, detail, headers={**HEADERS, "Connection": "close", "Cache-Control": "no-store"})
        if status == 503:
            answer.headers["Retry-After"] = "2"
        head = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()
