"""`--open`: what was found, or written, in the system's viewer."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbir.cli.terminal import output
from cbir.errors import CbirError
from cbir.images.sources.address import Location
from cbir.utils.cache import cache_folder, keep

if TYPE_CHECKING:
    import subprocess

    from cbir.search.results import SearchResult

#: Matches that are opened at most: each may be a window of its own.
MOST = 10

# How long a viewer has, in seconds, to say that it cannot start.
_PATIENCE = 1.0

# How long a fetched picture is kept for its viewer, in seconds.
_KEPT_SECONDS = 86_400

open_option = click.option(
    "--open",
    "opens",
    is_flag=True,
    help="Open what --html or --sheet writes in the system's viewer, else the matches: up to 10.",
)

open_written_option = click.option(
    "--open", "opens", is_flag=True, help="Open what was written in the system's viewer."
)


class Opener:
    """Opens files in the viewers that the system has for them."""

    def __init__(self) -> None:
        self._matches: dict[Path, None] = {}
        self._has_refused = False

    def watch(self, results: Iterable[SearchResult]) -> Iterator[SearchResult]:
        """`results`, whose first matches are remembered."""
        for result in results:
            for match in result.matches:
                if len(self._matches) > MOST:
                    break
                file = _here(match.path)
                if file is not None and _is_picture(file):
                    self._matches[file] = None
                else:
                    self._has_refused = True
            yield result

    def open(self, written: Sequence[Path] = ()) -> None:
        """Open what was `written` of the results, a page or a sheet; without it, the first matches.

        Of matches, those that are no pictures are left out. CbirError where there is no viewer.
        """
        from subprocess import TimeoutExpired

        files = list(written or self._matches)
        if not files and self._has_refused:
            output.tell("Nothing is opened: none of the matches is a picture that is there.")
        if not written and len(files) > MOST:
            output.tell(f"The first {MOST} matches are opened.")
        viewers = [_start(file) for file in files[: None if written else MOST]]
        for file, viewer in zip(files, viewers, strict=False):
            try:
                if viewer is not None and viewer.wait(_PATIENCE):
                    raise _cannot_open(file)
            except TimeoutExpired:  # it is still open: all is well
                return


def _here(path: Location) -> Path | None:
    """Return a match's file, fetched into the cache where it is elsewhere; None where it cannot be had."""
    if isinstance(path, Path):
        return path
    from cbir.images.contents import read_bytes

    try:
        content = read_bytes(path)
        file = cache_folder("opened") / f"{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
        for old in file.parent.iterdir() if file.parent.is_dir() else ():
            if old.stat().st_mtime < time.time() - _KEPT_SECONDS:
                old.unlink()
        keep(file, content)
    except (CbirError, OSError) as error:
        output.tell(f"Error: {error}")
        return None
    return file


def _is_picture(path: Path) -> bool:
    """Tell whether a match may be handed to a viewer: an index may name a program, or a page that runs some.

    Viewers go by the name, so it has to be a picture's too, also where a link leads.
    """
    from cbir.images.formats.first_bytes import is_picture_file
    from cbir.images.formats.suffixes import picture_suffixes, suffix_of

    names = (path.name, os.path.basename(os.path.realpath(path)))
    try:
        return all(suffix_of(name) in ("", *picture_suffixes()) for name in names) and is_picture_file(path)
    except OSError:
        return False


def _start(file: Path) -> subprocess.Popen[bytes] | None:
    """Start the viewer of a file, whose process it is where one can tell what becomes of it."""
    import subprocess

    path = os.path.abspath(file)
    if sys.platform in ("darwin", "win32", "cygwin"):
        if click.launch(path):
            raise _cannot_open(file)
        return None
    nothing = subprocess.DEVNULL
    try:
        # and not `click.launch`: a viewer would keep the pipe open that stdout may be, and write into it
        return subprocess.Popen(
            ["xdg-open", path], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
    except OSError as error:
        raise _cannot_open(file) from error


def _cannot_open(file: Path) -> CbirError:
    return CbirError(f"Cannot open {file}: this system has no viewer for it that `xdg-open` or the like can start.")
