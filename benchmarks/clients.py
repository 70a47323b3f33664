"""Clients of `cbir serve`: one that asks again and again, and many at once by wrk, or by threads without it."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# wrk asks for the lines of a file in turn, each thread from another place on, and tells what it counted as JSON.
_SCRIPT = """
local paths, number = {}, 0
for line in io.lines(%s) do paths[#paths + 1] = line end
local threads = 0
function setup(thread) thread:set("first", threads) threads = threads + 1 end
function init() number = first * 997 end
function request() number = number + 1 return wrk.format("GET", paths[number %% #paths + 1]) end
function done(summary, latency)
  local e = summary.errors
  print(string.format('{"requests": %%d, "seconds": %%f, "median": %%f, "errors": %%d}', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """Requests of many clients at once: how many, in how many seconds, the median of their own, and errors."""

    requests: int
    seconds: float
    median: float
    errors: int
    by: str

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def seconds_each(port: int, paths: Sequence[str]) -> list[float]:
    """Ask for each path in turn on one connection, and return the seconds of each. RuntimeError for any error."""
    return [_timed(connection, "GET", path) for connection in [_connect(port)] for path in paths]


def seconds_of_uploads(port: int, path: str, query: dict[str, Any], files: Sequence[Path]) -> list[float]:
    """Post each file with a query as a form, and return the seconds of each. RuntimeError for any error."""
    connection = _connect(port)
    return [_timed(connection, *_form(path, query, file)) for file in files]


def search_by(port: int, path: str, query: dict[str, Any], file: Path) -> Any:
    """Post a file with a query as a form, and return the JSON of the answer. RuntimeError where it is an error."""
    with contextlib.closing(_connect(port)) as connection:
        return json.loads(_body(connection, *_form(path, query, file)))


def seconds_together(port: int, paths: Sequence[str], clients: int) -> float:
    """Ask once for all paths, on so many connections, and return the seconds until all are answered."""
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda start: seconds_each(port, paths[start::clients]), range(clients)))
    return time.perf_counter() - started


def load(port: int, paths: Sequence[str], clients: int, seconds: float) -> Load:
    """Ask for paths in turn, from so many clients at once, for so long."""
    if shutil.which("wrk") is None:
        return _by_threads(port, paths, clients, seconds)
    with TemporaryDirectory() as folder:
        listing, script = Path(folder, "paths"), Path(folder, "script.lua")
        listing.write_text("\n".join(paths))
        script.write_text(_SCRIPT % json.dumps(str(listing)))
        options = ["-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout=30s", "-s", str(script)]
        command = ["wrk", *options, f"http://127.0.0.1:{port}"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Load(**json.loads(told.splitlines()[-1]), by="wrk")


def ask(port: int, path: str, body: Any = None) -> Any:
    """Return the JSON at a path, or the answer to a body that is posted there. RuntimeError where it is an error."""
    how: tuple[Any, ...] = ("GET", path)
    if body is not None:
        how = ("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with contextlib.closing(_connect(port)) as connection:
        return json.loads(_body(connection, *how))


def _by_threads(port: int, paths: Sequence[str], clients: int, seconds: float) -> Load:
    """Ask as `load` does, with threads of this process, which take more of the processors than wrk."""
    until = time.perf_counter() + seconds

    def one(client: int) -> tuple[list[float], int]:
        connection, number, found, errors = _connect(port), client * 997, [], 0
        while time.perf_counter() < until:
            number += 1
            try:
                found.append(_timed(connection, "GET", paths[number % len(paths)]))
            except (RuntimeError, OSError, http.client.HTTPException):
                errors, connection = errors + 1, _connect(port)
        return found, errors

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        all_ = list(pool.map(one, range(clients)))
    took = time.perf_counter() - started
    each = sorted(second for found, _ in all_ for second in found)
    return Load(len(each), took, each[len(each) // 2], sum(errors for _, errors in all_), "threads")


def _form(path: str, query: dict[str, Any], file: Path) -> tuple[str, str, bytes, dict[str, str]]:
    """Make the request that posts a file with a query."""
    boundary = "one-that-no-picture-has-within-it"
    parts = (
        ('form-data; name="query"', json.dumps(query).encode()),
        (f'form-data; name="files"; filename="{file.name}"', file.read_bytes()),
    )
    lines = [f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + body for head, body in parts]
    body = b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()])
    return "POST", path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def _timed(connection: http.client.HTTPConnection, *request: Any) -> float:
    started = time.perf_counter()
    _body(connection, *request)
    return time.perf_counter() - started


def _body(connection: http.client.HTTPConnection, method: str, path: str, *more: Any) -> bytes:
    connection.request(method, path, *more)
    with connection.getresponse() as response:
        content = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{method} {path}: {response.status} {content[:300]!r}")
    return content
