"""Point 19: `cbir serve` on 100,000 pictures: its start and end, searches over HTTP, its page, many clients, memory."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from benchmarks import clients, collection, pictures, plain, processes, wall
from benchmarks.cluster import free_port
from benchmarks.harness import Settings, Worker, alone, cbir_command, take_turns
from benchmarks.results import Result, measured, noted
from cbir.utils.cache import cache_folder

#: Files that are there, of the first rows: enough for thumbnails; and their folder. Others have names only.
REAL, FOLDER = 300, "there"

#: Clients at once, and seconds for which they ask.
CLIENTS, SECONDS = 50, 20

#: Requests after which memory is looked at first.
FIRST = 1000

WORDS = ("dog", "sailing boat", "castle", "teapot", "lizard", "truck", "mushroom", "violin", "volcano", "sweater")


def run(settings: Settings) -> Iterator[Result]:
    """Write the index, start the server, and ask."""
    rows = settings.pick(100_000, 20_000)
    directory = made(settings, rows)
    with Worker() as client:
        yield from _start_and_end(directory, settings.pick(5, 3))
        with served(directory) as server:
            yield from _one_client(settings, client, server, rows)
            yield from _many_clients(client, server, rows)
            yield _explained(client, server)  # which takes memory of its own
    if wall.chromium() is not None:
        yield _first_wall(directory, settings.pick(5, 3))
    yield growth(directory, rows, settings.pick(5000, 3000), "serve-growth")


def made(settings: Settings, rows: int) -> Path:
    """Write an index of `rows` synthetic features of 1,280 numbers, with classes, of which some pictures are there."""
    directory, root = settings.scratch / "indexes" / "served", settings.scratch / "served"
    files = pictures.folder_of(pictures.many(settings.work, REAL), root / FOLDER).iterdir()
    records = [collection.record_of(path, root) for path in sorted(files)]
    alone(collection.write, directory, rows, root, records, plain.LITE, None, True, True)
    return directory


@dataclass(frozen=True)
class Server:
    """A running `cbir serve`: its port, its process, the index's state, and the seconds until it was ready and warm."""

    port: int
    process: int
    state: str
    ready: float
    warm: float

    def searches(self, rows: int, count: int) -> list[str]:
        """Return addresses of searches by different indexed pictures, in an order that is the same each time."""
        chosen = random.Random(count).sample(range(rows), min(count, rows))
        return [f"/api/v1/indexes/served/search?like={self.state}-{row}" for row in chosen]

    def memory(self, kind: str) -> float:
        """Return the memory of all its processes in MB: Pss (shared pages once), or RssAnon (private)."""
        return processes.memory_of_tree(self.process, kind)


@contextlib.contextmanager
def served(directory: Path, ended: Callable[[float], object] = lambda seconds: None) -> Iterator[Server]:
    """Start the server and have it warm; end it by SIGTERM, and tell `ended` the seconds. RuntimeError if it cannot."""
    port = free_port()
    command = [*cbir_command(), "serve", "--index", str(directory), "--port", str(port)]
    started = time.perf_counter()
    # one thread each for products of matrices, as the command decides by itself, whatever was said to this process
    unsaid = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=unsaid) as process:
        try:
            seconds: list[float] = []
            for is_so in (lambda health: True, lambda health: health["indexes"][0]["warm"]):
                while not is_so(_health(port, process)):
                    time.sleep(0.002)
                seconds.append(time.perf_counter() - started)
            state = _health(port, process)["indexes"][0]["state"]
            yield Server(port, process.pid, state, *seconds)
        finally:
            stopped = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            ended(time.perf_counter() - stopped)


def _health(port: int, process: subprocess.Popen[bytes]) -> dict[str, object]:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            return clients.ask(port, "/api/v1/health")
        time.sleep(0.002)
    raise RuntimeError(f"cbir serve exited with {process.returncode}")


def growth(directory: Path, rows: int, count: int, key: str) -> Result:
    """Return the private memory of a fresh server after `count` searches by many clients, against after the first."""
    with served(directory) as server:
        paths, asked, seconds, each = server.searches(rows, rows), 0, 0.0, 5.0
        first = 0.0
        private: list[tuple[int, float]] = []
        while asked < count:
            done = clients.load(server.port, paths, CLIENTS, each)
            if done.errors:
                raise RuntimeError(f"{done.errors} of {done.requests} requests failed")
            asked, seconds = asked + done.requests, seconds + done.seconds
            if asked >= FIRST:
                private.append((asked, server.memory("RssAnon")))
                first = first or private[0][1]
                each = 30.0
        last = private[-1][1]
    details = f"{last:.0f} MB after {asked:,} requests by {CLIENTS} clients, {first:.0f} MB after {private[0][0]:,}"
    return measured(key, last / first, f"{details}; {asked / seconds:,.0f} a second", private_mb=private)


def _start_and_end(directory: Path, rounds: int) -> Iterator[Result]:
    ends: list[float] = []
    servers: list[Server] = []
    for _ in range(rounds):
        with served(directory, ends.append) as server:
            servers.append(server)
    yield measured("serve-ready", median(one.ready for one in servers), seconds=[one.ready for one in servers])
    yield measured("serve-warm", median(one.warm for one in servers), seconds=[one.warm for one in servers])
    yield measured("serve-end", max(ends), "the longest", seconds=ends)


def _one_client(settings: Settings, client: Worker, server: Server, rows: int) -> Iterator[Result]:
    client.call(clients.seconds_each, server.port, server.searches(rows, 20))
    each = client.call(clients.seconds_each, server.port, server.searches(rows, settings.pick(400, 100)))
    yield measured("serve-known", 1000 * median(each), _spread(each), seconds=each)
    yield measured("serve-known-most", 1000 * quantiles(each, n=20)[-1])
    yield _filtered(client, server, rows)
    start = "/api/v1/indexes/served/search?word={}&offset={}"
    paths = [start.format(word.replace(" ", "+"), offset) for offset in range(5) for word in WORDS]
    each = client.call(clients.seconds_each, server.port, paths)
    yield measured("serve-word", 1000 * median(each[len(WORDS) :]), _spread(each[len(WORDS) :]), seconds=each)
    details = "each of these words for the first time"
    yield noted(19, "serve: a search by a word, the first", 1000 * median(each[: len(WORDS)]), "ms", details)
    files = pictures.large(settings.work, settings.pick(24, 12))
    query = {"like": [{"upload": 0}]}
    path = "/api/v1/indexes/served/search"
    each = client.call(clients.seconds_of_uploads, server.port, path, query, files)[2:]
    yield measured("serve-upload", 1000 * median(each), _spread(each), seconds=each)
    wall = [f"/api/v1/indexes/served/pictures/{server.state}-{row}/thumbnail?size=256" for row in range(60)]
    first, again = (client.call(clients.seconds_together, server.port, wall, 6) for _ in range(2))
    details = f"by six connections; again {1000 * again:.0f} ms"
    yield noted(19, "serve: 60 thumbnails of small photos, the first time", 1000 * first, "ms", details)


def _explained(client: Worker, server: Server) -> Result:
    """Return how long it takes to tell why pictures that are there are like others, and what memory it takes."""
    before = server.memory("Pss")
    start = "/api/v1/indexes/served/explain/{0}-{1}{2}?like={0}-{3}"
    pairs = [(row, row + 1) for row in range(0, REAL - 1, 6)]
    told, drawn = (
        client.call(clients.seconds_each, server.port, [start.format(server.state, a, what, b) for a, b in pairs])[2:]
        for what in ("", "/overlay")
    )
    details = f"{_spread(told)}; as a picture {1000 * median(drawn):.0f} ms"
    details += f"; {server.memory('Pss') - before:.0f} MB more than before the first"
    return measured("serve-why", 1000 * median(told), details, seconds=told, drawn=drawn)


def _first_wall(directory: Path, rounds: int) -> Result:
    """Measure the wall of a search by a picture, among the photos that are there."""
    first, again = wall.first_walls(
        lambda: served(directory), lambda: shutil.rmtree(cache_folder("thumbnails"), ignore_errors=True), rounds
    )
    found, later = median(one.found for one in first), median(one.painted for one in again)
    details = f"{first[0].seen} pictures on the screen, of which it is known after {found:.0f} ms; again {later:.0f} ms"
    return measured("serve-wall", median(one.painted for one in first), details, first=first, again=again)


def _filtered(client: Worker, server: Server, rows: int) -> Result:
    """Return what filters by folders cost that leave few enough rows to be compared, about as many, and more."""
    paths = server.searches(rows, 60)
    extra: list[float] = []
    firsts: list[float] = []
    for folders in (40, 56, 80):
        wanted = "".join(f"&folder=2026/{number:04}" for number in range(folders))
        filtered = [path + wanted for path in paths]
        firsts += client.call(clients.seconds_each, server.port, filtered[:1])
        client.call(clients.load, server.port, filtered, 4, 1)  # each process reads what is left for itself
        turns = take_turns(
            lambda: median(client.call(clients.seconds_each, server.port, paths)),
            lambda filtered=filtered: median(client.call(clients.seconds_each, server.port, filtered)),
            3,
        )
        extra.append(1000 * (median(turns.second) - median(turns.first)))
    each = ", ".join(f"{one:.1f}" for one in extra)
    details = f"{each} ms with 10,000, 14,000 and 20,000 left; the first search {1000 * max(firsts):.0f} ms"
    return measured("serve-filter", max(extra), details, extra=extra)


def _many_clients(client: Worker, server: Server, rows: int) -> Iterator[Result]:
    found = client.call(clients.load, server.port, server.searches(rows, rows), CLIENTS, SECONDS)
    details = f"{found.requests:,} by {found.by}, median {1000 * found.median:.0f} ms"
    yield measured("serve-rate", found.rate, details)
    yield measured("serve-errors", found.errors)
    pss, private = server.memory("Pss"), server.memory("RssAnon")
    yield measured("serve-memory", pss, f"of which {private:.0f} MB private, the rest files of the index and of cbir")


def _spread(seconds: Sequence[float]) -> str:
    return f"{len(seconds)} searches, {1000 * min(seconds):.1f} to {1000 * max(seconds):.1f} ms"
