"""An S3 server on loopback, and one in front of it that fails as servers do: 503s, cut connections, wrong lengths."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import itertools
import socketserver
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.waiting import GUARD_SECONDS

BUCKET = "photos"


@contextlib.contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start moto's server, name it and made-up keys in the environment as users do, and yield its address."""
    pytest.importorskip("s3fs")
    threaded = pytest.importorskip("moto.server")
    server = threaded.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # so that cbir is what tries again
        address = f"http://{host}:{port}"
        name_endpoint(address, monkeypatch)
        urllib.request.urlopen(
            urllib.request.Request(f"{address}/moto-api/reset", method="POST"), timeout=GUARD_SECONDS
        ).close()
        client().create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.stop()


def name_endpoint(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all clients that are opened from now on go to an address."""
    import s3fs

    from cbir.images.sources.opened import _opened
    from cbir.images.sources.store import store_of

    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    s3fs.S3FileSystem.clear_instance_cache()
    store_of.cache_clear()
    _opened.cache_clear()


def client():
    """The plain client of the server that the environment names."""
    import boto3

    return boto3.session.Session().client("s3")


def upload(folder: Path, prefix: str = "") -> None:
    """Put all files of a folder into the bucket."""
    to = client()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            to.put_object(Bucket=BUCKET, Key=prefix + path.relative_to(folder).as_posix(), Body=path.read_bytes())


class Troubles:
    """How often the server in front does what; every `every`-th request has the next trouble of a fixed order."""

    KINDS = ("503", "cut", "short", "503", "reset", "long")

    def __init__(self, every: int = 10) -> None:
        self.every = every
        self.done: Counter[str] = Counter()
        self._requests = itertools.count(1)
        self._next = itertools.cycle(self.KINDS)
        self._lock = threading.Lock()

    def next(self) -> str:
        with self._lock:
            kind = next(self._next) if next(self._requests) % self.every == 0 else "none"
            self.done[kind] += 1
            return kind


@contextlib.contextmanager
def troubled(server: str, troubles: Troubles) -> Iterator[str]:
    """Start a server that passes requests on to another, and yield its address."""
    host, port = server.removeprefix("http://").split(":")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind = troubles.next()
            if kind == "reset":
                self.close_connection = True
                self.connection.close()
                return
            if kind == "503":
                self._answer(503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>")
                return
            length = int(self.headers.get("Content-Length") or 0)
            behind = http.client.HTTPConnection(host, int(port), timeout=GUARD_SECONDS)
            behind.request(self.command, self.path, self.rfile.read(length) if length else None, dict(self.headers))
            answer = behind.getresponse()
            body = answer.read()
            behind.close()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            told = int(answer.headers.get("Content-Length") or len(body)) if self.command == "HEAD" else len(body)
            if kind == "cut" and body:
                self._answer(answer.status, headers, body[: len(body) // 2], told)
                self.close_connection = True
                self.connection.close()
            elif kind == "short" and body and answer.status in (200, 206):
                headers = {name: value for name, value in headers.items() if "checksum" not in name.lower()}
                self._answer(answer.status, headers, body[: len(body) * 2 // 3])
            elif kind == "long" and body:
                self._answer(answer.status, headers, body, told + 100)
                self.close_connection = True
                self.connection.close()
            else:
                self._answer(answer.status, headers, body, told)

        do_HEAD = do_PUT = do_POST = do_GET

        def _answer(self, status: int, headers: dict[str, str], body: bytes, told: int | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if told is None else told))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *arguments: object) -> None:
            pass

    front = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{front.server_address[1]}"
    finally:
        front.shutdown()
        front.server_close()


_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "date", "server")
