"""Point 23: all that is beyond one machine, on one: pictures in a bucket, two nodes of which one is killed meanwhile,
three clients who search all the while, rows in Milvus; and the index is the one of a folder.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks import clients, pictures, processes
from benchmarks.cluster import BUCKET, Nodes, Store, nodes, store
from benchmarks.harness import Settings, alone, cbir_command, run_command, timed
from benchmarks.results import Result, measured, noted
from benchmarks.serve import served
from cbir.index.columns.registry import content_columns
from cbir.index.store import Index

#: Pictures, and of how many one is there before the others come.
PICTURES, FIRST = 2000, 8

#: What each client asks for of each search.
COUNT = 10

#: Photos that are searched with Milvus and without.
QUERIES = 50

#: Seconds between an answer and the next search of a client.
PAUSE = 0.1

#: Seconds that a run may take that has lost a node.
_PATIENCE = 300.0

_NAME, _ROOT = "archive", f"s3://{BUCKET}/all"

WORDS = ("dog", "sailing boat", "piano", "lobster", "scissors")


def run(settings: Settings) -> Iterator[Result]:
    """Index a folder here, then its pictures from a bucket on nodes that die, and compare."""
    began = time.monotonic()
    files = chosen(settings, settings.pick(PICTURES, 1200))
    first = dict(list(files.items())[::FIRST])
    here, there = (settings.scratch / "indexes" / name for name in ("folder", _NAME))
    local = _index_folder(settings, files, first, here)
    yield noted(23, f"{len(files) - len(first):,} pictures from a folder, by all cores here", local, "s")
    with store(settings.scratch / "store.log") as bucket:
        uploaded = timed(bucket.upload, {f"all/{name}": path for name, path in first.items()})
        run_command([*cbir_command(), "index", _ROOT, "--index", there])
        rest = {f"all/{name}": path for name, path in files.items() if name not in first}
        uploaded += timed(bucket.upload, rest)
        yield noted(23, f"{len(files):,} pictures into the bucket", uploaded, "s")
        with nodes(2) as cluster, served(there) as server, asking(server.port, first) as asked:
            seconds, said = _index_and_kill(settings, bucket, cluster, there, len(rest))
        yield noted(23, f"{len(rest):,} pictures from the bucket, by two nodes of one core, one killed", seconds, "s")
        yield measured("beyond-killed", "worker of Ray's is gone" in said, said.strip().splitlines()[-1])
        yield from asked.results()
        run_command([*cbir_command(), "info", "--index", there, "--verify"])
        yield _from_milvus(settings, there, list(files.values())[:: len(files) // QUERIES])
    yield measured("beyond-equal", *alone(differing, here, there))
    left = processes.with_variable(bucket.address)
    yield measured("beyond-left", len(left), ", ".join(left))
    yield measured("beyond-time", time.monotonic() - began)


def chosen(settings: Settings, count: int) -> dict[str, Path]:
    """Return so many photos of `shared` by their names in an index; others where it has fewer."""
    root = settings.shared / "photos"
    photos = sorted(root.rglob("*.jpg"))
    if len(photos) < count:
        return {path.name: path for path in pictures.small(settings.work, settings.shared, count)}
    return {path.relative_to(root).as_posix(): path for path in photos[:: len(photos) // count][:count]}


def _index_folder(settings: Settings, files: dict[str, Path], first: dict[str, Path], directory: Path) -> float:
    """Index a folder of the first files, then of all, and return the seconds of the second run."""
    root = settings.scratch / "folder"
    seconds = 0.0
    for some in (first, files):
        for name, path in some.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (root / name).symlink_to(path)
        seconds = timed(run_command, [*cbir_command(), "index", root, "--index", directory])
    return seconds


def _index_and_kill(
    settings: Settings, bucket: Store, cluster: Nodes, directory: Path, count: int
) -> tuple[float, str]:
    """Index the bucket on the cluster, and kill a node when workers have asked for half of `count` pictures.

    Return the seconds, and what the command said. RuntimeError where it fails, or never ends.
    """
    log = settings.scratch / "index.log"
    half = bucket.fetched() + count // 2
    command = [*cbir_command(), "index", _ROOT, "--on", f"ray:{cluster.address}", "--index", str(directory)]
    started = time.monotonic()
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as process:
        try:
            while process.poll() is None and bucket.fetched() < half:
                time.sleep(0.05)
            cluster.kill()
            process.wait(_PATIENCE)
        finally:
            process.kill()
    text = log.read_text("utf-8", "replace")
    if process.returncode:
        raise RuntimeError(f"cbir index --on ray exited with {process.returncode}: {text[-800:]}")
    return time.monotonic() - started, text


@dataclass
class Asked:
    """Searches of several clients: the seconds of each, errors, and the states of the index that answered."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    states: set[str] = field(default_factory=set)

    def results(self) -> Iterator[Result]:
        """Yield what there is to tell of them."""
        yield measured("beyond-errors", len(self.errors), "; ".join(self.errors[:3]), errors=self.errors)
        yield measured("beyond-searches", len(self.seconds), f"median {median(self.seconds):.3f} s")
        yield measured("beyond-states", len(self.states), "states of the index from which searches were answered")


@contextlib.contextmanager
def asking(port: int, files: dict[str, Path]) -> Iterator[Asked]:
    """Have three clients search while the block runs: by pictures of the index, by words, by photos that they send."""
    asked, is_over = Asked(), threading.Event()
    names = list(files)
    path = f"/api/v1/indexes/{_NAME}/search"

    def by_picture(turn: int) -> Any:
        return clients.ask(port, path, {"like": [{"path": names[turn % len(names)]}], "count": COUNT})

    def by_word(turn: int) -> Any:
        return clients.ask(port, path, {"words": [WORDS[turn % len(WORDS)]], "count": COUNT})

    def by_photo(turn: int) -> Any:
        file = files[names[-turn % len(names)]]
        return clients.search_by(port, path, {"like": [{"upload": 0}], "count": COUNT}, file)

    def ask(search: Callable[[int], Any]) -> None:
        turn = 0
        while not is_over.is_set():
            turn += 1
            started = time.perf_counter()
            try:
                matches = search(turn)["matches"]
                # there may be fewer pictures that show what a word means
                if search is not by_word and len(matches) != COUNT:
                    asked.errors.append(f"{len(matches)} matches")
                asked.states.update(match["picture"]["id"].rpartition("-")[0] for match in matches)
            except Exception as error:  # whatever it is, it is what a client must not see
                asked.errors.append(f"{type(error).__name__}: {error}")
            asked.seconds.append(time.perf_counter() - started)
            is_over.wait(PAUSE)

    threads = [threading.Thread(target=ask, args=[search]) for search in (by_picture, by_word, by_photo)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _from_milvus(settings: Settings, directory: Path, queries: Sequence[Path]) -> Result:
    """Give the rows of an index to Milvus, and hold what a copy without features finds there against an exact scan."""
    exact = _found(directory, queries)
    address = f"milvus+lite:{settings.scratch / 'rows.db'}"
    seconds = timed(
        run_command, [*cbir_command(), "index", "--index", directory, "--candidates", address, "--rows", "milvus"]
    )
    copy = settings.scratch / "indexes" / "copy"
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("features-*"))
    found = _found(copy, queries)
    shares = [len(ours & theirs) / len(ours) for ours, theirs in zip(exact, found, strict=True)]
    return measured("beyond-milvus", fmean(shares), f"{len(queries)} photos; giving it the rows took {seconds:.1f} s")


def _found(directory: Path, queries: Sequence[Path]) -> list[set[str]]:
    """Return what is nearest to each query."""
    how = ["--index", directory, "--no-rerank", "-k", str(COUNT), "--format", "jsonl"]
    said = run_command([*cbir_command(), "search", *queries, *how])
    return [{match["path"] for match in json.loads(line)["matches"]} for line in said.splitlines()]


def differing(here: Path, there: Path) -> tuple[int, str]:
    """Count the rows in which two indexes differ: in path, content, feature and what is kept of each content, by byte.

    Rows have the same order. Left out is what tells when a file changed. Return also what was compared.
    """
    (ours, columns), (theirs, others) = _rows(here), _rows(there)
    differ = sum(one != other for one, other in zip(ours, theirs, strict=False)) + abs(len(ours) - len(theirs))
    return differ + (columns != others), f"{len(ours):,} rows in order: path, SHA-256, feature, {', '.join(columns)}"


def _rows(directory: Path) -> tuple[list[tuple[Any, ...]], list[str]]:
    index = Index.open(directory)
    rows = [row for row in range(index.rows) if index.valid[row]]
    columns = [column for column in content_columns() if column in index.meta.wanted_columns]
    files = [index.record(row) for row in rows]
    features = index.features(rows).astype("<f2")
    stored = [index.stored(column, rows) for column in columns]
    found = [
        (file.path, file.sha256, *(one.tobytes() for one in its))
        for file, *its in zip(files, features, *stored, strict=True)
    ]
    return found, [column.name for column in columns]
