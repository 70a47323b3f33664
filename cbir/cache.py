"""The user's cache folder: what can be made again, and is kept to save the time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from cbir.errors import CbirError


def cache_folder(name: str) -> Path:
    """The folder of that name in cbir's part of the cache. It need not be there yet.

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
    """What a function of platformdirs finds for cbir; None where nothing says where the user's home folder is."""
    try:
        folder = find("cbir")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions leave a `~` there


def keep(path: Path, *parts: bytes) -> None:
    """Write a file of the cache, whole or not at all; OSError where that cannot be, which only costs time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            for part in parts:
                file.write(part)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
