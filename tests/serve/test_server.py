"""The running server: its end, its turns, and what it tells of an index that changes, goes away and comes back."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image

import cbir
from cbir.serve import connections
from cbir.serve.app import make_app
from cbir.serve.guard import HEADERS
from cbir.serve.service import Service
from cbir.serve.settings import Settings
from tests.helpers.signals import default_signals
from tests.helpers.waiting import GUARD_SECONDS, SOON_SECONDS, wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the server is ended by a signal here")

API = "/api/v1/indexes/photos"


class Running(NamedTuple):
    """A server's process and its port."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> tuple[int, Any]:
        """Ask, and return the status and what the JSON says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=GUARD_SECONDS)
        connection.request("GET", path)
        response = connection.getresponse()
        content = json.loads(response.read())
        connection.close()
        return response.status, content

    def wait(self, path: str, is_so: Callable[[int, Any], bool]) -> float:
        """Ask until an answer is as it is wanted, and return the seconds that it took."""
        started = time.monotonic()
        while not is_so(*self.get(path)):
            assert time.monotonic() - started < GUARD_SECONDS
            time.sleep(0.02)
        return time.monotonic() - started


@pytest.fixture
def running(root: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "cbir", "serve", "--index", "photos", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=default_signals) as process:
        assert process.stderr is not None
        found = re.search(r":(\d+)/", process.stderr.readline())
        assert found is not None
        yield Running(process, int(found[1]))
        process.kill()


def test_a_signal_ends_it_in_time_whatever_is_at_work(running: Running) -> None:
    made = io.BytesIO()
    Image.effect_noise((5000, 4000), 60).save(made, "JPEG")
    picture = made.getvalue()
    running.wait("/api/v1/health", lambda status, content: content["indexes"][0]["warm"])

    def encode() -> None:
        with suppress(httpx.HTTPError):
            httpx.post(
                f"http://127.0.0.1:{running.port}{API}/encode",
                files={"file": ("x.jpg", picture)},
                timeout=GUARD_SECONDS,
            )

    threads = [threading.Thread(target=encode, daemon=True) for _ in range(12)]
    for thread in threads:
        thread.start()
    half = socket.create_connection(("127.0.0.1", running.port))
    half.sendall(f"POST {API}/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode())
    time.sleep(0.3)
    assert any(thread.is_alive() for thread in threads)
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    others = children.read_text().split() if children.exists() else []
    started = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(GUARD_SECONDS) == 0
    assert time.monotonic() - started < SOON_SECONDS
    assert running.process.stderr is not None
    assert "Traceback" not in running.process.stderr.read()
    half.close()
    wait_for(lambda: not [child for child in others if is_alive(child)])


def test_what_else_has_to_end_begins_with_the_signal() -> None:
    # in a process of its own, which it ends
    code = """
import os, signal, sys, time
from types import SimpleNamespace
from cbir.serve import run

server = SimpleNamespace(should_exit=False)
with run._signals(server, lambda: print("begun", server.should_exit, flush=True)):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1000)  # requests that never end
print("too late")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=GUARD_SECONDS / 2, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "begun True\n", "")


def is_alive(process: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_states_are_seen_as_they_come_and_go(running: Running, root: Path, tmp_path: Path) -> None:
    old = running.get(f"{API}/pictures/by-path?path=img_000.jpg")[1]["id"]
    Image.new("RGB", (60, 40), "green").save(root / "new.jpg")
    cbir.index_folder(root, "photos", model="fake")
    assert running.wait(API, lambda status, content: content["pictures"] == 10) < SOON_SECONDS
    assert running.get(f"{API}/pictures/{old}")[0] == 200
    directory = Path(os.environ["CBIR_HOME"]) / "photos"
    directory.rename(tmp_path / "away")
    assert running.wait(API, lambda status, content: status == 503) < SOON_SECONDS
    assert running.get("/api/v1/health")[1]["status"] == "degraded"
    (tmp_path / "away").rename(directory)
    assert running.wait(API, lambda status, content: status == 200) < SOON_SECONDS


def test_so_many_work_so_many_wait_and_the_others_are_told_when_to_come_again(service: Service) -> None:
    app = make_app(service, Settings(at_work=1, waiting=2))

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8580") as client:
            found = await asyncio.gather(*(client.get(f"{API}/search?like=img_000.jpg") for _ in range(8)))
            return [*found, await client.get("/api/v1/metrics")]

    *answers, metrics = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200] * 3 + [503] * 5
    assert all(answer.headers["retry-after"] == "2" for answer in answers[3:])
    assert "\ncbir_requests_refused_total 5\n" in metrics.text
    assert "\ncbir_requests_waiting 0\n" in metrics.text


def test_who_waits_too_long_is_sent_away(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(service, Settings(at_work=1, patience=0.05))
    original = service.index
    monkeypatch.setattr(service, "index", lambda name: time.sleep(0.5) or original(name))

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8580") as client:
            return list(await asyncio.gather(*(client.get(API) for _ in range(2))))

    assert [answer.status_code for answer in asyncio.run(ask())] == [200, 503]


def test_what_is_no_request_gets_a_problem_with_the_headers_of_safety(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=GUARD_SECONDS) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 400
        assert json.loads(response.read())["type"] == "/problems/no-request"
        assert {name: response.headers[name] for name in HEADERS} == HEADERS


def test_connections_beyond_the_most_are_told_so(running: Running) -> None:
    held = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(connections._CONNECTIONS)]
    try:
        with socket.create_connection(("127.0.0.1", running.port), timeout=GUARD_SECONDS) as connection:
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (response.status, response.headers["retry-after"]) == (503, "2")
            assert response.headers["x-content-type-options"] == "nosniff"
    finally:
        for connection in held:
            connection.close()
    assert running.get("/api/v1/health")[0] == 200


def test_a_request_that_says_how_large_it_is_is_refused_before_it_comes(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=GUARD_SECONDS) as connection:
        connection.sendall(f"POST {API}/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000001\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 413


def test_the_example_in_the_documentation_works(running: Running, root: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/http.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    code = found[1].replace("8580", str(running.port))
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all(Path(line.split(maxsplit=1)[1]).parent in (root, root / "beach/2020") for line in lines)
