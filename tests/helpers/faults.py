"""Faults on purpose: `cbir index` in processes that die at a chosen step, with the fake network.

What these tests are after is the writer, the store and the update; so the numbers from which on blocks are committed,
compacted and given candidates are small. Run as a program, this file is a server: it forks a process for each job that
it reads, which spares the time of the imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cbir.faces.maker
import cbir.faces.remembered
import cbir.indexing.run
from cbir.backbones.catalog import FAKE
from cbir.extract.extractor import Extractor
from cbir.index import writer
from cbir.index.ann import annoy, base
from cbir.index.store import Index
from cbir.indexing.policy import CommitPolicy
from tests.helpers.toy_faces import open_toy_finder

if TYPE_CHECKING:
    import pytest

COMMIT_ROWS = 8

#: What an index says of each file: the hash of its content and the bytes of its row and of its columns.
Content = dict[str, tuple[str, bytes, bytes]]

_KEPT = ("lock", "lock.json")  # of the running process, and no part of the index's state


def replacements() -> list[tuple[Any, str, Any]]:
    """What is replaced in cbir: (owner, name, value)."""

    def directions(index: Index) -> np.ndarray:
        # the real ones take an eigenvalue decomposition, most of the time of a small run
        dimension = index.meta.dimension
        return np.random.default_rng(1).normal(0, 1, (min(128, dimension) + 1, dimension)).astype(np.float32)

    def extractor(*arguments: Any, **options: Any) -> Extractor:
        # processes that decode take most of the time of a small run; they write nothing
        options.pop("isolated", None)
        return Extractor(*arguments, **options)

    return [
        (cbir.indexing.run, "Extractor", extractor),
        (cbir.indexing.run, "commit_policy", lambda parts: CommitPolicy(COMMIT_ROWS, seconds=1000)),
        (cbir.faces.remembered, "open_finder", open_toy_finder),
        (cbir.faces.maker, "open_finder", open_toy_finder),
        (writer, "WORTH_COMPACTING", 10),
        (base, "SMALL", 30),
        (annoy, "principal_directions", directions),
    ]


def content(directory: Path) -> Content:
    """What the index in `directory` says now, by its own network and, below their names, by others."""
    index = Index.open(directory)
    others = {
        f"{state.model['name']}: {path}": found
        for state in index.meta.others
        for path, found in _content(Index(directory, state)).items()
    }
    return _content(index) | others


def _content(index: Index) -> Content:
    records = [(row, record) for row, record in index.records() if index.valid[row]]
    stored = [index.stored(column, range(index.rows)) for column in index.meta.wanted_columns]
    assert len({record.path for _, record in records}) == len(records), "a file has two rows"
    return {
        record.path: (
            record.sha256,
            features.astype(np.float16).tobytes(),
            b"".join(records[row].tobytes() for records in stored if records[row] is not None),
        )
        for (row, record), features in zip(records, index.features([row for row, _ in records]), strict=True)
    }


def unnamed_files(directory: Path) -> set[str]:
    """The names in an index directory that belong neither to its state nor to the lock."""
    named = {entry.name for entry in Index.open(directory).meta.files()} | {"meta.json", *_KEPT}
    return {path.name for path in directory.iterdir()} - named


class Steps:
    """Calls `before` with a step's number and name before each change to the files of a directory.

    Steps are openings for writing, writes (between their two halves), syncs, renames and removals.
    """

    def __init__(self, directory: Path, before: Callable[[int, str], None]) -> None:
        self.directory = os.path.realpath(directory)
        self.names: list[str] = []
        self._before = before
        #: what is sure to be on the disk: of each name its content, as of the last sync of the directory
        self.durable = self._read()
        self._synced = dict(self.durable)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Steps]:
        """Watch while the block runs; one at a time in a process."""
        global _watching
        real_sync, real_open = os.fsync, Path.open

        def sync(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            self.step(f"sync {'directory' if is_directory else os.path.basename(path)}")
            real_sync(descriptor)
            if is_directory:
                self.durable = {name: self._synced.get(name, b"") for name in self._read()}
            else:
                with real_open(Path(path), "rb") as file:
                    self._synced[os.path.basename(path)] = file.read()

        def open_(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            file = real_open(path, mode, *arguments, **options)
            return _TornFile(file, self) if "w" in mode and self.is_inside(path) else file

        os.fsync, Path.open = sync, open_  # type: ignore[assignment]
        _watching = self
        try:
            yield self
        finally:
            _watching = None
            os.fsync, Path.open = real_sync, real_open  # type: ignore[method-assign]

    def step(self, name: str) -> None:
        self.names.append(name)
        self._before(len(self.names), name)

    def is_inside(self, path: Any) -> bool:
        return not isinstance(path, int) and os.path.dirname(os.path.realpath(os.fsdecode(path))) == self.directory

    def renamed(self, source: str, target: str) -> None:
        self._synced[target] = self._synced.pop(source, b"")

    def lose_power(self, seed: int) -> None:
        """Leave what a disk may show after a power cut: of what was not synced any part, in any order."""
        rng = random.Random(seed)
        present = self._read()
        for name in sorted({*present, *self.durable} - {*_KEPT}):
            now = present.get(name)
            if now is not None and self._synced.get(name) != now:
                now = rng.choice([now, now[: len(now) // 2], b"", bytes(len(now))])
            left = rng.choice([now, self.durable.get(name)])
            path = Path(self.directory, name)
            if left is None:
                path.unlink(missing_ok=True)
            else:
                path.unlink(missing_ok=True)  # a mapping of the old file must not see the new content
                path.write_bytes(left)

    def _read(self) -> dict[str, bytes]:
        with contextlib.suppress(FileNotFoundError):
            return {path.name: path.read_bytes() for path in Path(self.directory).iterdir() if path.is_file()}
        return {}


class _TornFile:
    """A file whose writes come in two halves with a step between them."""

    def __init__(self, file: Any, steps: Steps) -> None:
        self._file, self._steps = file, steps

    def write(self, data: Any) -> int:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        self._steps.step(f"write {os.path.basename(self._file.name)}")
        self._file.write(data[len(data) // 2 :])
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _TornFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


_watching: Steps | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    steps = _watching
    if steps is None or event not in ("open", "os.rename", "os.remove"):
        return
    path = arguments[0]
    if event == "open":
        writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not writes or path is None or not steps.is_inside(path):
            return
    elif not steps.is_inside(path):
        return
    name = os.path.basename(os.fsdecode(path))
    steps.step(f"{event.removeprefix('os.')} {name}")
    if event == "os.rename":
        steps.renamed(name, os.path.basename(os.fsdecode(arguments[1])))


# an audit hook sees the changes of all libraries, whatever function made them; it cannot be taken away again
sys.addaudithook(_audit)


class Server:
    """Runs the command line in forked processes that have the replacements."""

    def __init__(self, program: str = __file__) -> None:
        """`program` is a file that calls `serve`, after what it changes in its process."""
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        self._process = subprocess.Popen(
            [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def run(
        self, *arguments: str | Path, directory: Path, kill_at: int = 0, power: int | None = None
    ) -> tuple[int, list[str], str]:
        """Exit status (negative: the signal), steps (where it was not killed) and stderr of `cbir ARGUMENTS`.

        The process kills itself before step `kill_at`, and with `power` loses what was not synced.
        """
        job = {"arguments": [*map(str, arguments)], "directory": str(directory), "kill_at": kill_at, "power": power}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        status, steps, error = json.loads(self._process.stdout.readline())
        return status, steps, error

    def close(self) -> None:
        self._process.communicate()


def serve() -> None:
    """Do what a `Server` asks for, until it asks no more."""
    from PIL import Image

    import cbir.cli.commands.index
    import cbir.images.fit  # noqa: F401

    Image.init()
    replace_all()
    for line in sys.stdin:
        job = json.loads(line)
        reading, writing = os.pipe()
        error = os.memfd_create("stderr")
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(error, 1)
            os.dup2(error, 2)
            status, names = _run(job)
            os.write(writing, json.dumps(names).encode())
            os._exit(status)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            names = json.loads(pipe.read() or b"[]")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.lseek(error, 0, os.SEEK_SET)
        with os.fdopen(error, "rb") as file:
            message = file.read().decode(errors="replace")
        print(json.dumps([status, names, message]), flush=True)


def _run(job: dict[str, Any]) -> tuple[int, list[str]]:
    def before(number: int, name: str) -> None:
        if number == job["kill_at"]:
            if job["power"] is not None:
                global _watching
                _watching = None
                steps.lose_power(job["power"])
            os.kill(os.getpid(), signal.SIGKILL)

    steps = Steps(Path(job["directory"]), before)
    with steps.watched():
        status = run_cli(job["arguments"])
    return status, steps.names


def run_cli(arguments: list[str]) -> int:
    """The exit status of the command line in this process."""
    import traceback

    from cbir.cli import cli

    try:
        cli(arguments, prog_name="cbir")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def replace_all() -> None:
    """Put the replacements into this process for good, and make indexes by the fake network."""
    os.environ["CBIR_MODEL"] = FAKE
    for owner, name, value in replacements():
        setattr(owner, name, value)


def replace_in(patch: pytest.MonkeyPatch) -> None:
    """Do as `replace_all` until the patch ends."""
    patch.setenv("CBIR_MODEL", FAKE)
    for owner, name, value in replacements():
        patch.setattr(owner, name, value)


if __name__ == "__main__":
    serve()
