"""The user's cache folder: what can be made again, and is kept to save the time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs


def cache_folder(name: str) -> Path:
    """The folder of that name in cbir's part of the cache. It need not be there yet."""
    return platformdirs.user_cache_path("cbir") / name


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
