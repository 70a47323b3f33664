"""The indexes that `cbir search` is asked in: opened, searched, and their matches brought into one ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click

from cbir.errors import CbirError

if TYPE_CHECKING:
    from cbir.search.queries import AnyQuery
    from cbir.search.results import SearchResult
    from cbir.search.searcher import Searcher

#: Searches one batch of queries.
Find = Callable[["Searcher", Iterable["AnyQuery"]], Iterator["SearchResult"]]


class AskedIndexes:
    """The indexes of some names, by default the only one: a searcher of each network, and what is wrong with others.

    `model` names the network of each where it has several, other options are those of `Searcher`. CbirError where none
    can be opened.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        model: str | None,
        engine: str | None,
        weights: str | None,
        expected: int,
        by_features: bool,
    ) -> None:
        from cbir.index.open import open_indexes
        from cbir.search.searcher import Searcher

        indexes, self.problems = open_indexes(names, model=model)
        if len(indexes) > 1:
            from cbir.search.several import are_of_one_network, by_network, check_comparable

            indexes, others = by_network(indexes)
            self.problems += others
            if len(indexes) > 1:
                check_comparable(indexes)
                if by_features and not are_of_one_network(indexes):
                    raise click.UsageError(
                        "Features (--vectors, --query-index) are of one network: search its indexes only."
                    )
        self.searchers = [Searcher(index, engine=engine, weights=weights, expected=expected) for index in indexes]

    @property
    def are_several(self) -> bool:
        """True if there are several indexes, by whichever networks."""
        return self.are_of_several_networks or bool(self.searchers[0].index.directories)

    @property
    def are_of_several_networks(self) -> bool:
        """True if scores of their matches mean different things."""
        return len(self.searchers) > 1

    @property
    def are_damaged(self) -> bool:
        """True if something is wrong with one of them, as far as is known."""
        return bool(self.problems) or any(searcher.index.damage for searcher in self.searchers)

    def search(self, batches: Iterable[Iterable[AnyQuery]], find: Find, count: int) -> Iterator[SearchResult]:
        """Yield one result a query, each with the first `count` matches; a batch's before the next is waited for.

        An index that fails is not asked any more, and is among the `problems` then.
        """
        left = list(self.searchers)
        for batch in batches:
            if len(self.searchers) == 1:
                yield from find(left[0], batch)
                continue
            from cbir.search.several import merged

            queries = list(batch)
            found = [_leaving(find(one, queries), one, left) for one in left]
            yield from merged(found, count, self.problems.append)


def _leaving(results: Iterator[SearchResult], searcher: Searcher, left: list[Searcher]) -> Iterator[SearchResult]:
    """Yield the same results; a searcher that fails is left out of those that are asked."""
    try:
        yield from results
    except CbirError:
        left.remove(searcher)
        raise
