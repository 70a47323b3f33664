"""The work of a process that decodes for another one; `images.isolated` starts it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import IO

from cbir.errors import ImageReadError
from cbir.images import cost
from cbir.images.budget import UNASKED
from cbir.images.pipe import (
    ANSWER,
    ASKED,
    DONE,
    GRANTED,
    LENGTHS,
    LONGEST_TEXT,
    PICTURE,
    READY,
    REFUSED,
    REFUSED_NOW,
    ROWS,
    Wanted,
    pieces,
    read,
)
from cbir.images.read import decode_with_size, read_views
from cbir.utils import stopping
from cbir.utils.python_child import end_with_parent

_CHUNK = 1 << 20


def main() -> None:
    """Answer requests until there are no more."""
    # they may reach the whole group of processes; the parent decides what ends when
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer

    def reserve(count: int) -> None:
        if count <= UNASKED:
            return
        _send(answers, ASKED, count)
        if read(requests, 1) != GRANTED:
            raise ImageReadError("", "the parent has not enough memory, and says so itself")

    cost.reserve = reserve
    _send(answers, READY, 0)
    known: tuple[bytes, Wanted] = (b"", Wanted())
    while True:
        try:
            wanted_length, name_length, length = LENGTHS.unpack(read(requests, LENGTHS.size))
        except EOFError:
            return
        wanted = read(requests, wanted_length)
        name = read(requests, name_length).decode("utf-8", "surrogateescape")
        try:
            data = _read_whole(requests, length, name)
            if wanted != known[0]:
                known = wanted, _load(wanted, name)
            _answer(known[1], data, name, answers)
        except ImageReadError as error:
            reason = error.reason.encode("utf-8", "surrogateescape")[:LONGEST_TEXT]
            _send(answers, REFUSED_NOW if error.transient else REFUSED, len(reason), reason)
        except MemoryError:
            reason = b"it does not fit into memory"
            _send(answers, REFUSED_NOW, len(reason), reason)


def _load(wanted: bytes, name: str) -> Wanted:
    try:
        return Wanted.load(wanted)
    except (ImportError, AttributeError) as error:  # a view of somebody's script, say
        reason = f"a view of it cannot be imported where it is decoded ({error})"
        raise ImageReadError(name, reason, transient=True) from error


def _answer(wanted: Wanted, data: bytes, name: str, answers: IO[bytes]) -> None:
    if not wanted.views:
        _send_picture(wanted, data, name, answers)
        return
    viewed = read_views(data, wanted.views, name=name, max_pixels=wanted.max_pixels)
    # not joined: each copy of a large one costs as much as sending it
    _send(answers, DONE, 0, *pieces(viewed, wanted.views))


def _send_picture(wanted: Wanted, data: bytes, name: str, answers: IO[bytes]) -> None:
    image, box, size = decode_with_size(data, name=name, at_least=wanted.at_least, max_pixels=wanted.max_pixels)
    answers.write(ANSWER.pack(DONE, 0))
    answers.write(PICTURE.pack(*image.size, *box, *size))
    for top in range(0, image.height, ROWS):
        answers.write(image.crop((0, top, image.width, min(top + ROWS, image.height))).tobytes())
    answers.flush()


def _read_whole(requests: IO[bytes], length: int, name: str) -> bytes:
    try:
        return read(requests, length)
    except MemoryError:
        # the allocation failed before anything was read; the next request begins behind it
        while length:
            length -= len(read(requests, min(length, _CHUNK)))
        raise


def _send(answers: IO[bytes], kind: bytes, length: int, *pieces: bytes | memoryview) -> None:
    answers.write(ANSWER.pack(kind, length))
    for piece in pieces:
        answers.write(piece)
    answers.flush()
