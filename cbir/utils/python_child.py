"""Processes of Python beside this one."""

from __future__ import annotations

import os
import sys
import time


def calling(module: str) -> str:
    """Return the code of a process that calls `main` of a module of ours with its arguments.

    It imports from where this one does: not from the current folder, which may hold a json.py of somebody's.
    """
    return f"import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from {module} import main; main(*sys.argv[1:])"


def python_child(code: str, *arguments: str) -> list[str]:
    """Return the command of a process that runs some code, that of `calling` say, given where to import from."""
    return [sys.executable, "-c", code, "\n".join(sys.path), *arguments]


def end_with_parent(parent: int) -> None:
    """End this process when its parent is gone, in the middle of anything; to be called in a thread of its own."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
