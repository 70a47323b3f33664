"""Addresses that the user of this account has named: only there does cbir go by what an index says.

An index may be a stranger's, and what it calls its root is then a server of a stranger, or one that is nobody's
business.
"""

from __future__ import annotations

import contextlib
import json
import os

import platformdirs

from cbir.utils.cache import make_private, users_folder
from cbir.utils.opening import read_regular

#: The variable with addresses that count as named, and all that is below them, with spaces between.
VARIABLE = "CBIR_SOURCES"

_FILE, _MOST_BYTES = "sources.txt", 1 << 20


def remember(root: str) -> None:
    """Note that the user has named a root. Where nothing can be noted, the user is asked for it again."""
    folder = users_folder(platformdirs.user_data_path)
    if folder is None or is_named(root):
        return
    with contextlib.suppress(OSError):
        make_private(folder)
        with open(folder / _FILE, "a", encoding="ascii") as file:
            file.write(json.dumps(root) + "\n")


def is_named(root: str) -> bool:
    """Tell whether the user has named a root, or `$CBIR_SOURCES` does."""
    for chosen in os.environ.get(VARIABLE, "").split():
        if root == chosen or root.startswith(chosen.rstrip("/") + "/"):
            return True
    folder = users_folder(platformdirs.user_data_path)
    if folder is None:
        return False
    try:
        lines = read_regular(folder / _FILE, most=_MOST_BYTES, follow=False).decode("ascii").splitlines()
    except (OSError, ValueError):
        return False
    return json.dumps(root) in lines
