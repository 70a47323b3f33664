"""The share of a long work that is done, told while it is done, so that somebody may see it, or end it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

#: A function that is told which share is done, from 0 to 1. Whatever it raises ends the work.
Told = Callable[[float], object]


def nobody(share: float) -> None:
    """Stand for a function that is told of shares, where nobody wants to know."""


def between(told: Told, first: float, last: float) -> Told:
    """Return a function to tell of a part of the work, which is the share from `first` to `last` of all."""
    return lambda share: told(first + share * (last - first))


def telling(items: Iterable[Item], told: Told, total: int) -> Iterator[Item]:
    """Yield the items, of which there are `total`, and tell after each how many of them were."""
    for done, item in enumerate(items, start=1):
        yield item
        told(done / max(total, 1))
