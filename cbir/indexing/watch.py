"""Keeping an index fresh while files come and go: a run for each bundle of changes.

Each run looks at all names of the folder, which takes less than a second for 100,000 (docs/performance.md); so a change
that the system did not tell of is found with the next one that it did, and by a look every ten minutes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cbir.errors import CbirError, IndexLockedError, IndexWriteError, RefusedToForgetError, reason_of
from cbir.images.formats.suffixes import is_hidden, is_systems
from cbir.images.sources.address import Address, Location
from cbir.indexing.policy import SECONDS
from cbir.indexing.report import Report
from cbir.indexing.run import Options
from cbir.indexing.target import Target

logger = logging.getLogger("cbir")

#: Seconds without a change after which a bundle of them is looked at.
QUIET = 1.0

#: A file that changed within so many seconds before a run may still be being written: it is left for the next one.
RESTING = 0.9

#: Seconds between looks that nothing has called for; and where the system cannot tell, or something is in the way.
NET, EACH_MINUTE = 600.0, 60.0

#: Seconds that a run of another process is waited for before that is told.
_PATIENCE = 5.0

# Milliseconds: how often it is asked for changes, and the longest time for which they are gathered before it answers.
_STEP, _GATHERED, _TICK = 50, 200, 500


@dataclass
class Pace:
    """The times at which to look, in seconds of `clock`."""

    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Begin without a change."""
        self._first = self._last = self._due = 0.0
        self._is_changed = False
        self.ran(NET)

    def changed(self) -> None:
        """Note that something has changed now."""
        self._last = self.clock()
        if not self._is_changed:
            self._first, self._is_changed = self._last, True

    def ran(self, seconds: float) -> None:
        """Note a run that ends now, after which nothing may pass unseen for longer than so many seconds."""
        self._is_changed, self._due = False, self.clock() + seconds

    @property
    def is_due(self) -> bool:
        """True if it is time to look: it is quiet again, has not been quiet for long, or long ago."""
        now = self.clock()
        is_ripe = self._is_changed and (now - self._last >= QUIET or now - self._first >= SECONDS)
        return is_ripe or now >= self._due


def require() -> None:
    """Raise CbirError, which says what to do, where the extra is missing."""
    try:
        import watchfiles  # noqa: F401
    except ImportError as error:
        raise CbirError("--watch needs an extra: install cbir[watch].") from error


def keep_fresh(target: Target, options: Options, run: Callable[[Options], Report | None]) -> None:
    """Run as often as something changes in the folder of `target`, until the process is told to stop.

    `run` makes a run with the options it is given, and returns its report. The first has `options` as they are, later
    ones without what is for once (`prune`, `repair`, `rehash`, `retry_skipped`) or is remembered (`exclude`, `parts`,
    `objects`, `faces`). Where the folder is away, another run holds the lock, or nothing can be written, that is told
    once and waited for.
    Raises what else `run` raises.
    """
    require()
    later = replace(
        options,
        prune=False,
        repair=False,
        rehash=False,
        retry_skipped=False,
        exclude=None,
        ignore_case=None,
        parts=None,
        proposer=None,
        objects=None,
        detector=None,
        faces=None,
        face_model=None,
        drop=None,
        resting=RESTING,
    )
    runs = _Runs(run, options, later)
    pace = Pace()
    while True:
        # opened before the first look, so that nothing falls between
        for has_changed in changes(target.root, leave=target.directory):
            if has_changed:
                pace.changed()
            if runs.is_first or pace.is_due:
                pace.ran(runs.once())


class _Runs:
    """Runs one after the other, and what was told of what is in their way."""

    def __init__(self, run: Callable[[Options], Report | None], first: Options, later: Options) -> None:
        self._run = run
        self._options, self._later = first, later
        self._told = ""
        self.is_first = True

    def once(self) -> float:
        """Run, and return the seconds after which to look again whatever happens."""
        self.is_first = False
        while True:
            try:
                report = self._run(replace(self._options, wait=max(self._options.wait, _PATIENCE)))
            except IndexLockedError as error:
                self._tell(error)
                continue
            except (RefusedToForgetError, IndexWriteError) as error:
                self._tell(error)
                return EACH_MINUTE
            self._options, self._told = self._later, ""
            if report is None or not report.unsettled:
                return EACH_MINUTE if report is not None and report.unmounted_folders else NET
            return QUIET

    def _tell(self, error: CbirError) -> None:
        if type(error).__name__ != self._told:
            logger.warning("%s Waiting.", error)
        self._told = type(error).__name__


def changes(root: Location, *, leave: Path) -> Iterator[bool]:
    """Yield, twice a second or more often, whether something has changed in a folder; not what changes in `leave`.

    Ends when the folder is another than it was: it went away, or came back.
    """
    before = _identity(root)
    if before is not None and isinstance(root, Path):
        try:
            for found in _told_by_system(root, leave):
                is_same = _identity(root) == before
                yield found or not is_same
                if not is_same:
                    return
        except (OSError, RuntimeError) as error:
            _tell_of_limits(root, error)
    started = time.monotonic()
    while _identity(root) == before:
        yield time.monotonic() - started >= EACH_MINUTE and before is not None
        if time.monotonic() - started >= EACH_MINUTE:
            started = time.monotonic()
        time.sleep(_TICK / 1000)
    yield True


def _told_by_system(root: Path, leave: Path) -> Iterator[bool]:
    from watchfiles import watch

    real, own = os.path.realpath(root), os.path.realpath(leave)
    prefix, its = os.path.join(real, ""), os.path.join(own, "")

    def concerns(path: str) -> bool:
        if path == own or path.startswith(its):
            return False
        names = path[len(prefix) :].split(os.sep) if path.startswith(prefix) else []
        return not any(is_hidden(name) or is_systems(name) for name in names)

    for found in watch(
        real,
        watch_filter=None,  # with one, it would not answer as long as only others are changed
        debounce=_GATHERED,
        step=_STEP,
        rust_timeout=_TICK,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    ):
        yield any(concerns(path) for _, path in found)


def _tell_of_limits(root: Path, error: Exception) -> None:
    logger.warning(
        "The system does not tell of changes in %s (%s): looking each minute instead. If it has more folders than "
        "may be watched, raise fs.inotify.max_user_watches (`sysctl fs.inotify.max_user_watches=1048576`).",
        root,
        reason_of(error),
    )


def _identity(root: Location) -> tuple[int, int] | None:
    """Return what tells a folder from another in its place; None where it is not there, or no folder."""
    if isinstance(root, Address):
        return None
    try:
        status = os.stat(root)
    except OSError:
        return None
    return status.st_dev, status.st_ino
