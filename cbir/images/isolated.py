"""Decoding in a process of its own, so that a file on which a decoder crashes or hangs costs only that file.

Threads would be enough for speed, since Pillow lets go of Python's lock; but a crash in a decoder ends its process, and
no thread can be stopped. `docs/decoding.md` has the figures.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import IO

import numpy as np
import numpy.typing as npt

from cbir.errors import ImageReadError
from cbir.images.fit import Preprocessing
from cbir.images.large import LargePicture
from cbir.images.read import MAX_PIXELS, read_fitted, read_fitted_and_thumbnail, read_fitted_thumbnail_and_large
from cbir.images.thumbnail import BYTES, Thumbnail
from cbir.utils import stopping

#: No picture of 250 megapixels takes that long.
TIMEOUT_SECONDS = 60.0

# The child imports from where its parent does: not from the current folder, which may hold a json.py of somebody's.
_CHILD = "import sys; sys.path[:] = sys.argv[1].split('\\n'); from cbir.images.isolated import main; main(sys.argv[2])"

_PIPE_BYTES = 1 << 20  # the most that Linux gives to everybody

_FITTED, _REFUSED = b"+", b"-"
_LENGTHS = struct.Struct("<II")
_LENGTH = struct.Struct("<cI")


class IsolatedDecoder:
    """Fits pictures in a child process, which is started when it is needed and again after it died.

    With `thumbnails` it makes these too, with `large` also large pictures (`images.large`). For one thread at a time.
    `close` ends the child; so does the end of this process.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        max_pixels: int = MAX_PIXELS,
        *,
        thumbnails: bool = False,
        large: bool = False,
    ) -> None:
        self._preprocessing = preprocessing
        self._max_pixels = max_pixels
        self._thumbnails = thumbnails or large
        self._large = large
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        self._watch: _Watch | None = None

    def fit(self, data: bytes, name: str) -> npt.NDArray[np.uint8]:
        """`images.fit.fit` of a picture file's bytes, shape (crop, crop, 3).

        Raises ImageReadError where the file is no picture, or the decoder crashed on it or took too long.
        """
        return self.fit_all(data, name)[0]

    def fit_all(self, data: bytes, name: str) -> tuple[npt.NDArray[np.uint8], Thumbnail | None, LargePicture | None]:
        """What `fit` returns, the picture's thumbnail and the large picture, None unless it was made for these."""
        child = self._child or self._start(name)
        assert child.stdin is not None
        assert child.stdout is not None
        assert self._watch is not None
        try:
            with self._watch:
                encoded = name.encode("utf-8", "surrogateescape")
                child.stdin.write(_LENGTHS.pack(len(encoded), len(data)) + encoded)
                child.stdin.write(data)
                child.stdin.flush()
                status, length = _LENGTH.unpack(_read(child.stdout, _LENGTH.size))
                answer = _read(child.stdout, length)
        except (OSError, EOFError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1)  # its own exit code names the cause
            is_overdue = self._watch.is_overdue
            self._end()
            if is_overdue:
                reason = f"decoding it took more than {TIMEOUT_SECONDS:.0f} seconds"
            else:
                reason = f"its decoder crashed ({_cause(child.returncode)})"
            raise ImageReadError(name, reason) from error
        if status == _REFUSED:
            raise ImageReadError(name, answer.decode("utf-8", "surrogateescape"))
        crop = self._preprocessing.crop
        pixels = crop * crop * 3
        made = Thumbnail.from_bytes(answer[pixels : pixels + BYTES]) if self._thumbnails else None
        large = LargePicture.from_bytes(memoryview(answer)[pixels + BYTES :]) if self._large else None
        return np.frombuffer(answer, dtype=np.uint8, count=pixels).reshape(crop, crop, 3), made, large

    def close(self) -> None:
        """End the child process, if there is one; no other is started."""
        with self._lock:
            self._is_closed = True
        self._end()

    def _end(self) -> None:
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

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _CHILD,
                "\n".join(sys.path),
                json.dumps([self._preprocessing.to_json(), self._max_pixels, self._thumbnails, self._large]),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders print what they think of a file
        )
        stopping.children.add(child)
        for stream in (child.stdin, child.stdout):
            _widen(stream)
        self._watch = _Watch(child)
        with self._lock:
            self._child = child
        if self._is_closed:  # by another thread, meanwhile
            self._end()
            raise ImageReadError(name, "the run has ended", transient=True)
        return child


class _Watch:
    """Kills a child that takes too long over what is done within its `with`.

    One thread for the child's whole life: a timer for each picture would be a thread for each picture.
    """

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.is_overdue = False
        self._child = child
        self._since: float | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self._since = None

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(min(1.0, TIMEOUT_SECONDS / 4)):
            since = self._since
            if since is not None and time.monotonic() - since > TIMEOUT_SECONDS:
                self.is_overdue = True
                self._child.kill()
                return


def _widen(stream: IO[bytes] | None) -> None:
    """Let a pipe hold a whole picture, where the system can: each 64 KB, as usual, are two switches of process."""
    try:
        import fcntl

        if stream is not None:
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass  # not Linux, or above what the user may have


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _cause(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return f"signal {-returncode}"
    return f"exit code {returncode}"


def _serve(
    preprocessing: Preprocessing,
    max_pixels: int,
    thumbnails: bool,
    large: bool,
    requests: IO[bytes],
    answers: IO[bytes],
) -> None:
    """The child: answer requests until there are no more."""
    while True:
        try:
            name_length, data_length = _LENGTHS.unpack(_read(requests, _LENGTHS.size))
        except EOFError:
            return
        name = _read(requests, name_length).decode("utf-8", "surrogateescape")
        pieces: list[bytes | memoryview]
        try:
            data = _read(requests, data_length)
            status = _FITTED
            if large:
                fitted, made, picture = read_fitted_thumbnail_and_large(
                    data, preprocessing, name=name, max_pixels=max_pixels
                )
                pieces = [fitted.data, made.to_bytes(), *picture.pieces()]
            elif thumbnails:
                fitted, made = read_fitted_and_thumbnail(data, preprocessing, name=name, max_pixels=max_pixels)
                pieces = [fitted.data, made.to_bytes()]
            else:
                pieces = [read_fitted(data, preprocessing, name=name, max_pixels=max_pixels).data]
        except ImageReadError as error:
            status, pieces = _REFUSED, [error.reason.encode("utf-8", "surrogateescape")]
        answers.write(_LENGTH.pack(status, sum(memoryview(piece).nbytes for piece in pieces)))
        for piece in pieces:  # not joined: each copy of a large one costs as much as sending it
            answers.write(piece)
        answers.flush()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, also in the middle of a picture."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(settings: str) -> None:
    """What a child process runs; `settings` is the JSON of a `Preprocessing`, the largest number of pixels, and
    whether thumbnails and large pictures are made too."""
    # they may reach the whole group of processes; the parent decides what ends when
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    preprocessing, max_pixels, thumbnails, large = json.loads(settings)
    _serve(Preprocessing.from_json(preprocessing), max_pixels, thumbnails, large, sys.stdin.buffer, sys.stdout.buffer)
