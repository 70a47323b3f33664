"""Work that threads do side by side, and that comes to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cbir.utils.workers import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], most: int | None = None) -> Iterator[Result]:
    """Yield the results of `work` for the items, in order, by `most` threads at most, or one a processor.

    The first error is raised.
    """
    with ThreadPoolExecutor(most or usable_cores(), thread_name_prefix="side-by-side") as pool:
        yield from pool.map(work, items)


def side_by_side(work: Callable[[Item], object], items: Iterable[Item], most: int | None = None) -> None:
    """Do the work on all items, as `in_threads` does."""
    for _ in in_threads(work, items, most):
        pass
