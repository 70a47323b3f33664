"""Metrics of a server in Prometheus's text format. Their labels are routes, statuses and indexes, never files."""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cbir.serve.service import Service
from cbir.serve.turns import Turns
from cbir.utils.printable import printable

logger = logging.getLogger("cbir")

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Upper bounds of the histogram's buckets, in seconds.
_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

# Letters of a path in the log at most.
_LONGEST = 300

# Methods that routes have; any other word is a stranger's.
_METHODS = {"GET", "HEAD", "POST"}

# Labels of a metric, and its value.
_Sample = tuple[Mapping[str, object], float]


class Requests:
    """Counts requests by method, route and status, and the seconds that they took; stands before all else.

    Each is told by a line where the log has details, without what stands behind the `?` of its address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, int], int] = {}
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 0, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        scope["cbir.requests"] = self
        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            self._count(scope, status, seconds)
            logger.debug("%s %s: %d, %.1f ms", scope["method"], _shown(scope["path"]), status, 1000 * seconds)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        # the template, with {index} and {picture}, which has the prefix in some of FastAPI; none where none was reached
        route = getattr(scope.get("route"), "path", "").removeprefix("/api/v1")
        with self._lock:
            key = method, route, status
            self._counts[key] = self._counts.get(key, 0) + 1
            self._buckets[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def lines(self) -> Iterator[str]:
        """Yield what was counted."""
        with self._lock:
            counts, buckets, seconds = dict(self._counts), list(self._buckets), self._seconds
        samples = [({"method": key[0], "route": key[1], "status": key[2]}, count) for key, count in counts.items()]
        yield from _metric(
            "requests_total", "counter", "Requests that were answered; status 0: that broke off.", samples
        )
        name = "cbir_request_seconds"
        yield f"# HELP {name} Seconds from a request's head to the end of its answer."
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, count in zip((*_BOUNDS, "+Inf"), buckets, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {seconds:.6f}"
        yield f"{name}_count {total}"


def metrics(service: Service, turns: Turns, requests: Requests | None) -> str:
    """Return all metrics as text."""
    lines = list(requests.lines()) if requests is not None else []
    lines += _metric("requests_at_work", "gauge", "Requests that are worked on.", [({}, turns.working)])
    lines += _metric("requests_waiting", "gauge", "Requests that wait for their turn.", [({}, turns.waiting)])
    lines += _metric("requests_refused_total", "counter", "Requests that got no turn.", [({}, turns.refused)])
    small = service.thumbnails
    lines += _metric("thumbnails_made_total", "counter", "Small pictures that were decoded.", [({}, small.made)])
    lines += _metric("thumbnails_kept_total", "counter", "Small pictures that were there.", [({}, small.found)])
    served = list(service.indexes.values())
    changes = [({"index": one.name}, one.changes) for one in served]
    lines += _metric("index_changes_total", "counter", "New states of an index that were opened.", changes)
    there = [({"index": one.name}, int(one.is_there)) for one in served]
    lines += _metric("index_up", "gauge", "1 if an index is there, else 0.", there)
    if (memory := _memory()) is not None:
        name = "process_resident_memory_bytes"
        lines += [f"# HELP {name} Memory of the process in bytes.", f"# TYPE {name} gauge", f"{name} {memory}"]
    return "\n".join(lines) + "\n"


def _shown(path: str) -> str:
    """Return a path as the log has it, whatever a stranger wrote into it."""
    return printable(path if len(path) <= _LONGEST else f"{path[:_LONGEST]}…")


def _metric(name: str, kind: str, text: str, samples: Iterable[_Sample]) -> Iterator[str]:
    yield f"# HELP cbir_{name} {text}"
    yield f"# TYPE cbir_{name} {kind}"
    for labels, value in samples:
        within = ",".join(f'{key}="{_escaped(str(label))}"' for key, label in labels.items())
        yield f"cbir_{name}{{{within}}} {value}" if within else f"cbir_{name} {value}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _memory() -> int | None:
    """Return the resident memory of this process in bytes; None where the system does not tell it so."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except (OSError, IndexError):
        return None
    import resource

    return int(pages) * resource.getpagesize()
