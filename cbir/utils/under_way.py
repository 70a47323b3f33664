"""Work that is begun before it is waited for, several pieces at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_order(begun: Iterable[Callable[[], T]], most: int) -> Iterator[T]:
    """Wait for what was begun, in order, as soon as `most` are: `begun` begins one whenever the next is asked for."""
    under_way: deque[Callable[[], T]] = deque()
    for finish in begun:
        under_way.append(finish)
        if len(under_way) >= most:
            yield under_way.popleft()()
    while under_way:
        yield under_way.popleft()()
