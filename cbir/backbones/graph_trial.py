"""Graph files of strangers, tried out in a process of their own: what one makes of OpenVINO ends only that.

`ask` starts the process, whose function calls `answer` with what it is to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from cbir.errors import WeightsError, reason_of
from cbir.images.watch import Watch
from cbir.utils import stopping
from cbir.utils.python_child import python_child

#: Seconds of computing, or of waiting for something, that a trial may take.
SECONDS = 120.0

_MOST_BLOB = 4 << 30
_LENGTHS = 16


class RefusedError(Exception):
    """A file is of no use; the message is a phrase."""


def ask(
    path: Path, code: str, wanted: dict[str, Any], *, seconds: float, most_header: int
) -> tuple[dict[str, Any], bytes]:
    """Have a process run `code` on a file, and return its answer: a JSON object, and bytes.

    RefusedError, which says why, where the file is of no use, or ends or delays the process; WeightsError where none
    can be started.
    """
    with _plainly_named(path) as file, _process(code, file, json.dumps(wanted)) as child:
        stopping.children.add(child)
        watch = Watch(child, seconds)
        try:
            assert child.stdout is not None
            with watch:
                header, blob = _read_answer(child.stdout, most_header)
        except (OSError, EOFError, ValueError, KeyError, TypeError, MemoryError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1)
            if watch.is_overdue:
                reason = f"preparing it took more than {seconds:.0f} seconds"
            elif child.returncode:
                reason = f"OpenVINO ends when it reads or runs it (exit code {child.returncode})"
            else:
                reason = f"its trial answered what it was not asked for ({reason_of(error)})"
            raise RefusedError(reason) from error
        finally:
            watch.stop()
            child.kill()
            child.wait()
            stopping.children.discard(child)
    if "refused" in header:
        raise RefusedError(str(header["refused"]))
    return header, blob


def answer(try_out: Callable[[], tuple[dict[str, Any], bytes]]) -> NoReturn:
    """Try something out in the process that `ask` started, write the answer to stdout, and end the process."""
    # signals may reach the whole group of processes; the parent decides what ends when
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where memory runs out, it is this process that ends
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    blob = b""
    try:
        header, blob = try_out()
    except RefusedError as error:
        header = {"refused": str(error)}
    except MemoryError:
        header = {"refused": "it does not fit into memory"}
    except Exception as error:  # of OpenVINO, which raises nearly anything
        header = {"refused": f"OpenVINO cannot run it ({shortly(error)})"}
    told = json.dumps(header).encode("ascii")
    out = sys.stdout.buffer
    out.write(len(told).to_bytes(8, "little") + len(blob).to_bytes(8, "little") + told)
    out.write(blob)
    out.flush()
    os._exit(0)  # what a file has done to this process is not to be found out by tidying up


def shortly(error: Exception) -> str:
    """Return the last line of what OpenVINO says, which has the reason, without the places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "src/" not in line), type(error).__name__)[:200]


def _process(code: str, file: str, wanted: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            python_child(code, file, wanted),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, MemoryError) as error:
        raise WeightsError(f"No process can be started to prepare a network in: {reason_of(error)}.") from error


def _read_answer(stream: IO[bytes], most_header: int) -> tuple[dict[str, Any], bytes]:
    """Read the lengths of a header and of what follows, then both."""
    lengths = _read(stream, _LENGTHS)
    header_length, blob_length = (int.from_bytes(lengths[at : at + 8], "little") for at in (0, 8))
    if header_length > most_header or blob_length > _MOST_BLOB:
        raise ValueError("an answer of impossible length")
    header = json.loads(_read(stream, header_length))
    if not isinstance(header, dict):
        raise ValueError("an answer of another kind")
    return header, _read(stream, blob_length)


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("it ended")
    return data


@contextlib.contextmanager
def _plainly_named(path: Path) -> Iterator[str]:
    """Give a file a name that OpenVINO takes: its own, or that of a link for one that is no UTF-8."""
    name = os.path.abspath(path)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, f"network{path.suffix.lower()}")
            link.symlink_to(name)
            yield str(link)
        return
    yield name
