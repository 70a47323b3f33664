"""The executors that users can name."""

from __future__ import annotations

from cbir.errors import CbirError
from cbir.extract.executor import Executor, LocalExecutor


def executor_named(name: str | None) -> Executor:
    """Return the executor that a user names: this process, or `ray`, `ray:ADDRESS`. CbirError for any other."""
    if name is None:
        return LocalExecutor()
    kind, _, address = name.partition(":")
    if kind != "ray":
        raise CbirError(f"There is no place to work called {name}: name ray, or ray:ADDRESS.")
    from cbir.extract.on_ray import RayExecutor

    return RayExecutor(address or None)
