"""Ranking aside: the matches of some queries are found while the network looks at the images of the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from cbir.search.resolve import Resolved
from cbir.utils.workers import Workers, result_of, usable_cores

Result = TypeVar("Result")

# Queries that wait for their matches, or their turn: some batches of the network.
_MOST = 64


def while_others_follow(find: Callable[[Resolved], Result], queries: Iterable[Resolved]) -> Iterator[Result]:
    """Yield what `find` finds for each query, in order; what it raises is raised at that query's turn.

    Threads do so while others follow. The next query is not asked for before all results are told where none is under
    way: it may be long in coming. One query alone costs no thread.
    """
    threads = Workers(usable_cores(), "rank")
    waiting: deque[Future[Result]] = deque()
    failure: Exception | None = None

    def sound() -> Iterator[Resolved]:
        nonlocal failure
        try:
            yield from queries
        except Exception as error:  # those before it are answered first
            failure = error

    try:
        for query in sound():
            if not waiting and not query.others_follow:
                yield find(query)
                continue
            waiting.append(threads.submit(find, query))
            while waiting and (waiting[0].done() or not query.others_follow or len(waiting) > _MOST):
                yield from result_of(waiting.popleft())
        while waiting:
            yield from result_of(waiting.popleft())
        if failure is not None:
            raise failure
    finally:
        threads.stop()
