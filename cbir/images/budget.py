"""Memory that all pictures which are read and decoded at a time take together."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from cbir.errors import ImageReadError

#: Bytes for decoding, and for the contents of files, at most; on a machine with little memory, less.
DECODING, CONTENTS = 3 << 30, 1 << 30

#: The parts of what is free that these may take.
_PART_FOR_DECODING, _PART_FOR_CONTENTS = 2, 6

#: A picture that takes less is decoded without asking.
UNASKED = 64 << 20

# As a limit of memory is written where there is none (cgroup v1 has a number near 2^63).
_NO_LIMIT = 1 << 60

_UNKNOWN = 4 << 30


class Budget:
    """A number of bytes that several threads share, waiting for each other."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take(self, count: int, name: str) -> None:
        """Take bytes for the file `name`, as soon as they are there. ImageReadError where they never will be."""
        if count > self.total:
            # which may be other another time
            raise ImageReadError(
                name,
                f"it would take {count / 1e9:.2f} GB of memory, and there are {self.total / 1e9:.2f} GB for it",
                transient=True,
            )
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._taken + count <= self.total)
            if self._is_closed:
                raise ImageReadError(name, "the run has ended", transient=True)
            self._taken += count

    def give_back(self, count: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._taken -= count
            self._changed.notify_all()


class Share:
    """One picture's share of a budget; given back at the end of a `with`."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._count = 0

    def take(self, count: int, name: str) -> None:
        """Take `count` more of the budget, as `Budget.take` does."""
        self._budget.take(count, name)
        self._count += count

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._count:
            self._budget.give_back(self._count)
            self._count = 0


def budgets() -> tuple[Budget, Budget]:
    """Return the budgets for decoding, and for the contents of files, by the memory that this machine has now."""
    free = available()
    return Budget(min(DECODING, free // _PART_FOR_DECODING)), Budget(min(CONTENTS, free // _PART_FOR_CONTENTS))


def available() -> int:
    """Bytes of memory that can still be had here: of the machine's, of the container's, of what the user may have."""
    found = [value for value in (_of_machine(), _of_group(), _of_process()) if value is not None]
    return max(0, min(found, default=_UNKNOWN))


def _of_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _of_group() -> int | None:
    """Return the memory that is left to the control group of a container or a service."""
    root = Path("/sys/fs/cgroup")
    places = [(root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")]
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds:
                own = root / path.lstrip("/")
                within = [own, *(folder for folder in own.parents if folder.is_relative_to(root))]
                places += [(folder, "memory.max", "memory.current") for folder in within]
            elif "memory" in kinds.split(","):
                places.append((root / "memory" / path.lstrip("/"), "memory.limit_in_bytes", "memory.usage_in_bytes"))
    found = []
    for folder, most, taken in places:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            limit = int((folder / most).read_text(encoding="ascii"))
            if limit < _NO_LIMIT:
                found.append(limit - int((folder / taken).read_text(encoding="ascii")) + _inactive(folder))
    return min(found, default=None)


def _inactive(group: Path) -> int:
    """Bytes of files that the system would let go of, which count as taken."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith(("inactive_file ", "total_inactive_file ")):
                return int(line.split()[1])
    return 0


def _of_process() -> int | None:
    """Return the limit of each process's own address space, which `ulimit -v` sets."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            return limit
    return None
