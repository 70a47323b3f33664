"""Work that threads do side by side, and that comes to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def shared_out(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the results of `work` for some items, in order, which this thread and others take from one after another.

    There are as many threads as processors. Where the system allows no more of them, this one does all. The first error
    is raised, and then nothing more is begun.
    """
    waiting, results, errors = iter(range(len(items))), dict[int, Result](), list[BaseException]()
    taking = threading.Lock()

    def take() -> None:
        while not errors:
            with taking:
                number = next(waiting, None)
            if number is None:
                return
            try:
                results[number] = work(items[number])
            except BaseException as error:  # which this thread raises, whoever met it
                errors.append(error)

    helpers = []
    for _ in range(min(usable_cores(), len(items)) - 1):
        helper = threading.Thread(target=take, name="share", daemon=True)
        try:
            helper.start()
        except RuntimeError:
            break
        helpers.append(helper)
    take()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(items))]
