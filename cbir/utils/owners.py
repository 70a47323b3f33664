"""Finding out who else can change a file or a folder, by its owner and its rights."""

from __future__ import annotations

import os
import stat


def open_for_others(status: os.stat_result) -> str | None:
    """Say in a phrase what lets others than the user and the system change it; None where nothing does.

    Only systems with rights for owner, group and others tell; elsewhere nothing does.
    """
    if os.name != "posix":
        return None
    if status.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    if status.st_mode & stat.S_IWOTH:
        return "can be written to by everybody"
    if status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid):
        return "can be written to by its group"
    return None


def _is_own_group(group: int) -> bool:
    """Tell whether a group is the user's own, as many systems make one for each user: nobody else is in it."""
    import grp
    import pwd

    try:
        user, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and not set(entry.gr_mem) - {user.pw_name}
