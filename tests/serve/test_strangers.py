"""What strangers send to the running server: half requests, huge heads, other names of it, ways out of the folder."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cbir
from tests.helpers.signals import default_signals
from tests.helpers.waiting import GUARD_SECONDS, SOON_SECONDS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the server is ended by a signal here")

SECRET = b"nobody is to see this"


class Served(NamedTuple):
    """A running server: its process, its port, and the folder whose pictures it serves."""

    process: subprocess.Popen[str]
    port: int
    root: Path

    def connect(self) -> socket.socket:
        """Return a connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=GUARD_SECONDS)

    def send(self, request: bytes, patience: float = 60) -> bytes:
        """Send bytes as they are, and return all that comes back until the server closes, or waits for more."""
        with closing(self.connect()) as connection:
            connection.settimeout(patience)
            with suppress(OSError):  # it may close before it has all
                connection.sendall(request)
            return read_all(connection)

    def get(self, target: str, *more: str, host: str | None = "127.0.0.1") -> tuple[int, bytes]:
        """Ask for a target as it stands, not made tidy, and return the status and the whole answer."""
        lines = [f"GET {target} HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *more, "Connection: close"]
        answer = self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0, answer

    def record(self, path: str) -> dict[str, Any]:
        """Return what is said of a picture of the index."""
        body = self.get(f"/api/v1/indexes/photos/pictures/by-path?path={path}")[1].partition(b"\r\n\r\n")[2]
        return json.loads(body)

    def check_well(self) -> None:
        """Check that it answers, at once."""
        started = time.monotonic()
        assert self.get("/api/v1/health")[0] == 200
        assert time.monotonic() - started < SOON_SECONDS


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes, or says nothing more."""
    parts = []
    with suppress(OSError):  # reset, or a timeout
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture(scope="module")
def served(draw_picture: Callable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("strangers")
    root, directory = folder / "root", folder / "photos"
    root.mkdir()
    for number in range(6):
        draw_picture(number).save(root / f"{number}.jpg")
    cbir.index_folder(root, str(directory), model="fake")
    (folder / "secret.jpg").write_bytes(SECRET)
    command = [sys.executable, "-m", "cbir", "serve", "--index", str(directory), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=default_signals
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r":(\d+)/", line)
        assert found is not None, line
        yield Served(process, int(found[1]), root)
        process.terminate()
        assert process.wait(GUARD_SECONDS) == 0
        assert "Traceback" not in process.stderr.read()


def test_no_way_leads_out_of_the_folder(served: Served) -> None:
    ups = (
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%5c",
        "%252e%252e%252f",
        "....//",
        "..;/",
        "..%00/",
        "%c0%ae%c0%ae/",
    )
    there = f"/api/v1/indexes/photos/pictures/{served.record('0.jpg')['id']}"
    starts = (
        "/", "/page/", "/api/v1/", "/api/v1/indexes/", "/api/v1/indexes/photos/pictures/", f"{there}/thumbnail/",
        "/api/v1/indexes/photos/pictures/by-path?path=", "/api/v1/indexes/photos/pictures/by-sha256/",
        "/api/v1/indexes/photos/search?like=", "/api/v1/indexes/photos/files?prefix=",
    )  # fmt: skip
    for start in starts:
        for up in ups:
            for name in ("secret.jpg", "photos/../secret.jpg", "etc/passwd"):
                status, answer = served.get(f"{start}{up * 3}{name}")
                assert SECRET not in answer
                assert b"root:" not in answer
                assert 400 <= status < 500 or (status == 200 and "files?" in start), (start, up, answer)
    pictures = "/api/v1/indexes/photos"
    for absolute in (f"{served.root.parent}/secret.jpg", "/etc/passwd", "file:///etc/passwd", "//etc/passwd"):
        for start in ("", "/page/", f"{pictures}/pictures/by-path?path=", f"{pictures}/search?like="):
            status, answer = served.get(f"{start}{absolute}")
            assert SECRET not in answer
            assert 400 <= status < 500, (start, absolute, answer)
    served.check_well()


def test_a_picture_that_became_a_link_out_of_the_folder_is_not_served(served: Served) -> None:
    record = served.record("5.jpg")
    there, path = f"/api/v1/indexes/photos/pictures/{record['id']}", Path(record["path"])
    path.unlink()
    path.symlink_to(served.root.parent / "secret.jpg")
    for kind in ("/original", "/view", "/thumbnail"):
        status, answer = served.get(f"{there}{kind}")
        assert (status, SECRET in answer) == (403, False), answer
    path.unlink()
    os.mkfifo(path)
    assert served.get(f"{there}/original")[0] == 404


def test_only_its_own_names_are_answered(served: Served) -> None:
    port = served.port
    for host in ("127.0.0.1", f"127.0.0.1:{port}", "localhost", f"localhost:{port}", "[::1]"):
        assert served.get("/api/v1/indexes", host=host)[0] == 200
    rebound = (
        *("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("127.0.0.1@evil.example", "evil.example#127.0.0.1", "localhost\\@evil.example", "127.0.0.1 evil.example"),
        *("", "[::1", "a" * 5000),
    )
    for host in rebound:
        assert served.get("/api/v1/indexes", host=host)[0] in (400, 403), host
    assert served.get("/api/v1/indexes", host=None)[0] in (400, 403)
    assert served.get("/api/v1/indexes", "Host: evil.example")[0] in (400, 403)
    assert served.get("http://evil.example/api/v1/indexes", host="evil.example")[0] in (400, 403)
    for origin in ("http://evil.example", "null", "http://127.0.0.1.evil.example", "https://evil.example:8580", "x"):
        assert served.get("/api/v1/indexes", f"Origin: {origin}")[0] == 403, origin
    for site in ("cross-site", "same-site"):
        assert served.get("/api/v1/indexes", f"Sec-Fetch-Site: {site}")[0] == 403


def test_requests_that_are_none_are_refused(served: Served) -> None:
    head = b"POST /api/v1/indexes/photos/search HTTP/1.1\r\nHost: localhost\r\n"
    length, chunks = head + b"Content-Length: ", head + b"Transfer-Encoding: chunked\r\n\r\n"
    for request in (
        *(b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        *(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n"),
        *(length + b"-1\r\n\r\n", length + b"x\r\n\r\n{}", length + b"9" * 20 + b"\r\n\r\n{}"),
        *(length + b"2\r\nContent-Length: 5\r\n\r\n{}", length + b"2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
        *(chunks + b"zz\r\n{}\r\n0\r\n\r\n", chunks + b"f" * 17 + b"\r\n{}", head + b"X: a\r\n b\0c\r\n\r\n"),
    ):
        answer = served.send(request, patience=1)
        assert not answer.startswith(b"HTTP/1.1 2"), (request, answer)
        assert not answer.startswith(b"HTTP/1.1 5"), (request, answer)
        assert b"Traceback" not in answer
    served.check_well()


def test_half_requests_keep_nobody_waiting(served: Served) -> None:
    search = b"/api/v1/indexes/photos/search HTTP/1.1\r\nHost: localhost\r\n"
    halves = [b"", b"G", b"GET / HTTP/1.1\r\nHost: local", b"POST " + search + b"Content-Length: 100\r\n\r\n{"]
    halves.append((b"GET " + search + b"\r\n") * 5)  # whose answers nobody reads
    connections = []
    for _ in range(30):
        for half in halves:
            connection = served.connect()
            connections.append(connection)
            connection.sendall(half)
    served.check_well()
    for connection in connections:
        connection.close()
    served.check_well()


def test_a_head_without_an_end_is_ended(served: Served) -> None:
    status = memory(served)
    with closing(served.connect()) as connection:
        sent = 0
        with suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            for number in range(4000):
                connection.sendall(b"X-%d: " % number + b"a" * 16_000 + b"\r\n")
                sent += 16_000
        assert sent < 10_000_000
    assert memory(served) - status < 60
    served.check_well()


def memory(served: Served) -> float:
    """Return the private memory of the server in MB."""
    text = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


@pytest.mark.faults
def test_who_neither_asks_nor_reads_is_left(served: Served) -> None:
    waiting, slow = served.connect(), served.connect()
    for connection in (waiting, slow):
        connection.settimeout(GUARD_SECONDS)
    waiting.sendall(b"GET / HTTP/1.1\r\nHost: local")
    path = Path(served.record("4.jpg")["path"])
    path.write_bytes(path.read_bytes() + b"\0" * 50_000_000)
    there = f"/api/v1/indexes/photos/pictures/{served.record('4.jpg')['id']}/original"
    slow.sendall(f"GET {there} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    started = time.monotonic()
    assert read_all(waiting) == b""
    assert 5 < time.monotonic() - started < 10 + SOON_SECONDS
    time.sleep(max(0.0, 35 - (time.monotonic() - started)))
    assert len(read_all(slow)) < 50_000_000
