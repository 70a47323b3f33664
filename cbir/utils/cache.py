"""The user's cache folder: what can be made again, and is kept to save the time."""

from __future__ import annotations

import functools
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from cbir.errors import CbirError
from cbir.utils.opening import read_regular
from cbir.utils.owners import open_for_others

logger = logging.getLogger("cbir")


def cache_folder(name: str) -> Path:
    """Return the folder of that name in cbir's part of the cache. It need not be there yet.

    For an account without a home folder, as some services have, it is beside the indexes in `$CBIR_HOME`; CbirError
    where nothing says where that is either.
    """
    if (folder := users_folder(platformdirs.user_cache_path)) is not None:
        return folder / name
    chosen = os.environ.get("CBIR_HOME")
    if not chosen:
        raise CbirError(
            "Nothing says where your home folder is, and so where compiled networks are to be kept: set $HOME, "
            "$XDG_CACHE_HOME or $CBIR_HOME."
        )
    return Path(chosen) / ".cache" / name


def users_folder(find: Callable[[str], Path]) -> Path | None:
    """Return the folder that a function of platformdirs finds for cbir; None where nothing says where the home folder
    is."""
    try:
        folder = find("cbir")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions leave a `~` there


def kept(path: Path, most: int) -> bytes | None:
    """Read a file of the cache, of at most so many bytes; None where there is none that can be trusted."""
    # `Path.exists` raises where it is not told, as in a folder that may not be entered
    if not os.path.exists(path) or not _is_ours(path.parent):
        return None
    try:
        return read_regular(path, most=most)
    except (OSError, MemoryError):
        return None


def keep(path: Path, *parts: bytes) -> bool:
    """Write a file of the cache, whole or not at all; OSError where that cannot be, which only costs time.

    Nothing is written where others could change it: then it returns False.
    """
    make_private(path.parent)
    if not _is_ours(path.parent):
        return False
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            for part in parts:
                file.write(part)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return True


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, which nobody but the user may look into."""
    if not folder.is_dir():
        if folder.parent != folder:
            make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


@functools.cache
def _is_ours(folder: Path) -> bool:
    """Tell whether nobody else can change a folder of the cache; a line says it, once, where somebody can.

    The contents of the cache are run: whoever can write there decides what a search does.
    """
    real = Path(os.path.realpath(folder))
    for one in (real, *real.parents):
        try:
            status = one.stat()
        except OSError:
            return False
        if (reason := open_for_others(status)) is not None and (one == real or not _only_adds(status)):
            logger.warning(
                "The cache %s is not used, so that some steps take longer: %s %s. Take that away (chmod, chown), or "
                "name another folder with $XDG_CACHE_HOME.",
                folder,
                one,
                reason,
            )
            return False
    return True


def _only_adds(status: os.stat_result) -> bool:
    """Tell whether others can only add to a folder, as to /tmp, and neither rename nor replace other people's files."""
    return status.st_uid in (0, os.geteuid()) and bool(status.st_mode & stat.S_ISVTX)
