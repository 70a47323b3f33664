"""Rights of files made of pictures: nobody may read them who may not read the pictures themselves."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

_GROUP, _OTHERS = 0o060, 0o006


def rights_of(shown: Iterable[Path | None], folder: Path) -> int:
    """Return the permissions that a new file in `folder` may have at most, given the files that it shows: of 0o666.

    What guards `folder` as well, such as the user's home, guards the new file, too. None are no pictures.
    """
    place = os.path.realpath(folder)
    try:
        status = os.stat(place)
    except OSError:
        return 0o600
    # a new file belongs to the group of its folder where that says so, else to the user's
    group = status.st_gid if status.st_mode & stat.S_ISGID or not hasattr(os, "getegid") else os.getegid()
    passed = {place, *_parents(place)}
    folders: dict[str, int] = {}
    rights = _GROUP | _OTHERS
    for path in dict.fromkeys(os.fspath(one) for one in shown if one is not None):
        rights &= _rights_of_one(path, group, passed, folders)
        if not rights:
            break
    return 0o600 | rights


def _rights_of_one(path: str, group: int, passed: set[str], folders: dict[str, int]) -> int:
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path)
            status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        status = None  # its name is shown all the same
    except OSError:
        return 0
    folder = os.path.dirname(path)
    if folder not in folders:
        folders[folder] = _rights_of_way(os.path.realpath(folder), group, passed)
    return folders[folder] & (~0 if status is None else _allowed(status, group, stat.S_IRGRP, stat.S_IROTH))


def _rights_of_way(folder: str, group: int, passed: set[str]) -> int:
    """Return who may list a folder and pass through those above it, but for those `passed`: `_GROUP` and `_OTHERS`."""
    rights = _GROUP | _OTHERS
    listing = stat.S_IRGRP, stat.S_IROTH
    for place in [folder, *_parents(folder)]:
        if place in passed:
            break
        try:
            status = os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return 0
        rights &= _allowed(status, group, listing[0] | stat.S_IXGRP, listing[1] | stat.S_IXOTH)
        listing = 0, 0
    return rights


def _allowed(status: os.stat_result, group: int, of_group: int, of_others: int) -> int:
    """`_GROUP` and `_OTHERS`, as far as a file or folder lets them."""
    mode = status.st_mode
    is_public = mode & of_others == of_others
    is_group = is_public or (status.st_gid == group and mode & of_group == of_group)
    return (_GROUP if is_group else 0) | (_OTHERS if is_public else 0)


def _parents(place: str) -> list[str]:
    return [os.fspath(parent) for parent in Path(place).parents]
