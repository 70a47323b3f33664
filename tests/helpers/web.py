"""A web server on this machine that answers as it is told to, also as no server should."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

#: Writes an answer to a connection, which is closed after it.
Answer = Callable[[socket.socket], None]

DRIP_SECONDS = 0.05


class Web:
    """A running server: its `address`, and the `requests` that came, as text."""

    def __init__(self, answers: Mapping[str, Answer | bytes], host: str) -> None:
        self._answers = answers
        self._listening = socket.create_server((host, 0))
        self.host, self.port = self._listening.getsockname()[:2]
        self.address = f"http://{self.host}:{self.port}"
        self.requests: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [one.split()[1] for one in self.requests]

    def close(self) -> None:
        """Listen no longer."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connected,), daemon=True).start()

    def _answer(self, connected: socket.socket) -> None:
        with connected:
            got = b""
            try:
                while b"\r\n\r\n" not in got and (part := connected.recv(1 << 16)):
                    got += part
                self.requests.append(got.decode("latin-1"))
                answer = self._answers.get(self.requests[-1].split()[1].partition("?")[0], status(404))
                if isinstance(answer, bytes):
                    connected.sendall(answer)
                else:
                    answer(connected)
            except OSError:
                return  # who asked has gone


@contextmanager
def serving(answers: Mapping[str, Answer | bytes], host: str = "127.0.0.1") -> Iterator[Web]:
    """Serve answers by path; a query counts for nothing. All else is not found."""
    web = Web(answers, host)
    try:
        yield web
    finally:
        web.close()


def status(number: int, *headers: str, body: bytes = b"", length: int | str | None = None) -> bytes:
    """An answer with that number and these headers; `length` is what it says of its own."""
    said = len(body) if length is None else length
    lines = [f"HTTP/1.1 {number} Some Reason", f"Content-Length: {said}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def picture(body: bytes, *headers: str) -> bytes:
    """An answer as it should be."""
    return status(200, "Content-Type: image/jpeg", *headers, body=body)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """An answer of a length that only its end tells."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def dripping(answer: bytes, at_once: int = 0) -> Answer:
    """An answer that begins at once and goes on byte by byte, for as long as it takes."""

    def drip(connected: socket.socket) -> None:
        connected.sendall(answer[:at_once])
        for number in range(at_once, len(answer)):
            time.sleep(DRIP_SECONDS)
            connected.sendall(answer[number : number + 1])

    return drip


def endless(head: bytes, part: bytes) -> Answer:
    """An answer that never comes to an end."""

    def send(connected: socket.socket) -> None:
        connected.sendall(head)
        while True:
            connected.sendall(part)

    return send
