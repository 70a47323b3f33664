"""Decoding in a process of its own, so that a file on which a decoder crashes or hangs costs only that file.

Threads would be enough for speed, since Pillow lets go of Python's lock; but a crash in a decoder ends its process, and
no thread can be stopped. `docs/method/decoding.md` has the figures.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import IO

from PIL import Image

from cbir.errors import DecodersError, ImageReadError, reason_of
from cbir.images.budget import Budget, Share
from cbir.images.fit import Extent
from cbir.images.pipe import (
    ANSWER,
    ASKED,
    DENIED,
    DONE,
    GRANTED,
    LENGTHS,
    LONGEST_TEXT,
    READY,
    REFUSED,
    REFUSED_NOW,
    NotAskedFor,
    Wanted,
    read,
    receive_picture,
    receive_views,
)
from cbir.images.views import Size, Viewed
from cbir.images.watch import Watch
from cbir.utils import stopping
from cbir.utils.python_child import calling, python_child

#: No picture of 250 megapixels takes that long.
TIMEOUT_SECONDS = 60.0

_CHILD = calling("cbir.images.child")

# What glibc is to keep of the memory that a picture took, for the next one: given back and asked for again, it is empty
# pages each time, which takes a tenth of the time of decoding. Other systems do not know these.
_KEEPS_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}

_PIPE_BYTES = 1 << 20  # the most that Linux gives to everybody

# Seconds before a process is tried once more that the system did not allow.
_PAUSES = (0.2, 1.0)


#: A picture, perhaps reduced, the box of it that it fills, and its own width and height.
WholePicture = tuple[Image.Image, Extent, Size]


class Decoders:
    """Up to so many child processes that decode, which are started when they are needed, and again after one died.

    For any number of threads. What pictures of much memory take comes from the `budget`. Where the system does not
    allow as many processes, fewer do the work. `close` ends them; so does the end of this process.
    """

    def __init__(self, most: int, budget: Budget) -> None:
        self._most = most
        self._budget = budget
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._closed = threading.Event()
        self._changed = threading.Condition()

    def view(self, data: bytes, name: str, wanted: Wanted) -> Viewed:
        """Make the views that are `wanted`, of which there is one at least, of a picture file's bytes.

        Raises ImageReadError where the file is no picture, its decoder crashed, or took too long, or too much memory;
        DecodersError where there can be no process.
        """
        answer = self._ask(data, name, wanted)
        assert isinstance(answer, Viewed)
        return answer

    def picture(self, data: bytes, name: str, wanted: Wanted) -> WholePicture:
        """Return what `images.read.decode_with_size` does of a picture file's bytes. Raises what `view` does."""
        answer = self._ask(data, name, wanted)
        assert isinstance(answer, tuple)
        return answer

    def start(self) -> None:
        """Start all processes before they are needed. DecodersError where there can be none."""
        with contextlib.ExitStack() as taken:
            for _ in range(self._most):
                taken.enter_context(self._one("")).start()

    def close(self) -> None:
        """End all processes; no other is started."""
        with self._changed:
            self._closed.set()
            decoders = list(self._all)
            self._changed.notify_all()
        self._budget.close()
        for decoder in decoders:
            decoder.end()

    def _ask(self, data: bytes, name: str, wanted: Wanted) -> Viewed | WholePicture:
        while True:
            with self._one(name) as decoder:
                try:
                    return decoder.ask(data, name, wanted)
                except DecodersError:
                    with self._changed:
                        self._all.discard(decoder)
                        if not self._all:
                            raise
                        self._most = len(self._all)

    @contextlib.contextmanager
    def _one(self, name: str) -> Iterator[_Decoder]:
        with self._changed:
            self._changed.wait_for(lambda: self._idle or len(self._all) < self._most or self._closed.is_set())
            if self._closed.is_set():
                raise ImageReadError(name, "the run has ended", transient=True)
            if self._idle:
                decoder = self._idle.pop()  # the one that ended last has its memory in the processor's caches
            else:
                decoder = _Decoder(self._budget)
                self._all.add(decoder)
        try:
            yield decoder
        finally:
            with self._changed:
                if decoder in self._all:
                    self._idle.append(decoder)
                self._changed.notify()
            if self._closed.is_set():
                decoder.end()


class _Decoder:
    """One child process, for one thread at a time."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._child: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        self._lock = threading.Lock()

    def ask(self, data: bytes, name: str, wanted: Wanted) -> Viewed | WholePicture:
        child = self.start()
        assert child.stdin is not None
        assert child.stdout is not None
        watch = self._watch
        assert watch is not None
        try:
            with Share(self._budget) as share:
                with watch:
                    encoded, asked = name.encode("utf-8", "surrogateescape"), wanted.encoded
                    child.stdin.write(LENGTHS.pack(len(asked), len(encoded), len(data)) + asked + encoded)
                    child.stdin.write(data)
                    child.stdin.flush()
                    kind, length = ANSWER.unpack(read(child.stdout, ANSWER.size))
                denied: ImageReadError | None = None
                while kind == ASKED:
                    try:  # not within `watch`: a picture that waits for memory takes no time
                        share.take(length, name)
                    except ImageReadError as error:
                        denied = error
                    with watch:
                        child.stdin.write(DENIED if denied else GRANTED)
                        child.stdin.flush()
                        kind, length = ANSWER.unpack(read(child.stdout, ANSWER.size))
                with watch:
                    if kind == DONE:
                        receive = receive_views if wanted.views else receive_picture
                        return receive(child.stdout, wanted)
                    if kind not in (REFUSED, REFUSED_NOW) or length > LONGEST_TEXT:
                        raise NotAskedFor(f"{kind!a} with a text of {length:,} bytes")
                    answer = read(child.stdout, length)
            if denied is not None:
                raise denied
        except (OSError, EOFError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1)  # its own exit code names the cause
            self.end()
            if watch.is_overdue:
                reason = f"decoding it took more than {TIMEOUT_SECONDS:.0f} seconds"
            else:
                reason = f"its decoder crashed ({_cause(child.returncode)})"
            raise ImageReadError(name, reason) from error
        except NotAskedFor as error:
            self.end()
            raise ImageReadError(name, f"its decoder answered what it was not asked for: {error}") from error
        except MemoryError as error:
            self.end()
            raise ImageReadError(name, "it does not fit into memory", transient=True) from error
        except ImageReadError:
            raise
        except BaseException:  # an answer that was not read would be taken for that to the next question
            self.end()
            raise
        raise ImageReadError(name, answer.decode("utf-8", "surrogateescape"), transient=kind == REFUSED_NOW)

    def end(self) -> None:
        """End the child process, if there is one."""
        with self._lock:
            child, self._child = self._child, None
        if child is None:
            return
        if self._watch is not None:
            self._watch.stop()
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was still to be written cannot be any more
                    stream.close()
        child.wait()
        stopping.children.discard(child)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the child process, unless there is one."""
        if self._child is not None:
            return self._child
        child = _start_process()
        stopping.children.add(child)
        for stream in (child.stdin, child.stdout):
            _widen(stream)
        with self._lock:
            self._child = child
        assert child.stdout is not None
        try:
            self._watch = Watch(child, TIMEOUT_SECONDS)
            with self._watch:
                kind, _ = ANSWER.unpack(read(child.stdout, ANSWER.size))
        except (OSError, EOFError, RuntimeError, ValueError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1)
            self.end()
            raise _no_process(_cause(child.returncode)) from error
        assert kind == READY
        return child


def _start_process() -> subprocess.Popen[bytes]:
    pauses = list(_PAUSES)
    while True:
        try:
            return subprocess.Popen(
                python_child(_CHILD),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders print what they think of a file
                env={**_KEEPS_MEMORY, **os.environ},
            )
        except (OSError, RuntimeError, MemoryError) as error:
            if not pauses:
                raise _no_process(reason_of(error)) from error
            time.sleep(pauses.pop(0))


def _no_process(reason: str) -> DecodersError:
    return DecodersError(
        f"No process can be started to decode pictures in ({reason}): raise the limits of memory, processes and files "
        "(`ulimit -v -u -n` shows them), or end other programs."
    )


def _widen(stream: IO[bytes] | None) -> None:
    """Let a pipe hold a whole picture, where the system can: each 64 KB, as usual, are two switches of process."""
    try:
        import fcntl

        if stream is not None:
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass  # not Linux, or above what the user may have


def _cause(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            return f"signal {-returncode}"
        # nobody else sends it
        return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name
    return f"exit code {returncode}"
