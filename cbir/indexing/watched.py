"""Indexes that are kept fresh beside this process, by processes: a run in it would slow a server down."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cbir.indexing.report import Report
from cbir.indexing.run import Options, build_index
from cbir.indexing.target import choose_target
from cbir.indexing.watch import keep_fresh, require
from cbir.utils import stopping
from cbir.utils.python_child import calling, python_child

# Seconds in which a child ends by itself.
_PATIENCE = 2.0

# A run beside a server does not get in its way.
_NICENESS = 10


@contextlib.contextmanager
def kept_fresh(directories: Sequence[Path]) -> Iterator[Callable[[], None]]:
    """Keep these indexes fresh while the block runs, as `cbir index --watch` does; what is wrong is told on stderr.

    The block is given what begins the end of the processes, and does not wait for it. They end with this one, however
    it ends. Raises CbirError where the extra is missing.
    """
    require()
    children = [_start(directory) for directory in directories]

    def begin_to_end() -> None:
        for child in children:
            child.terminate()

    try:
        yield begin_to_end
    finally:
        begin_to_end()
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_PATIENCE)
            child.kill()
            child.wait()
            stopping.children.discard(child)


def main(directory: str) -> None:
    """Keep an index fresh until this process is told to stop, or its parent is gone."""
    stopping.install(message=b"")  # it is the server that somebody has stopped
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    target = choose_target(None, os.path.join(directory, ""))

    def run(options: Options) -> Report:
        return build_index(target, options)[0]

    with contextlib.suppress(KeyboardInterrupt):
        keep_fresh(target, Options(), run)


def _start(directory: Path) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        python_child(calling("cbir.indexing.watched"), str(directory.absolute())),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    stopping.children.add(child)
    return child


def _end_with_parent() -> None:
    """Wait for the end of stdin, which nobody writes to: the parent has its other end."""
    os.read(0, 1)  # not through Python's stream, which could not be closed meanwhile
    os.kill(os.getpid(), signal.SIGTERM)
