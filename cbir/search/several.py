"""Searching several indexes with one ranking over all: as one index where a network made them, else match by match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from cbir.errors import CbirError, IndexConflictError
from cbir.extract.of_index import backbone_of
from cbir.images.sources.address import Location
from cbir.index.joined import have_common_root, join
from cbir.index.store import Index
from cbir.search.object_query import ObjectQuery
from cbir.search.queries import FaceQuery, PersonQuery, WordQuery
from cbir.search.results import Match, SearchResult


def by_network(indexes: Iterable[Index]) -> tuple[list[Index], list[CbirError]]:
    """Join the indexes of each network, in the order of the first of each, as far as their pictures lie in one source.

    With them comes what is wrong with those whose network cannot be told; raises the first such error where there are
    no others.
    """
    groups: list[list[Index]] = []
    problems: list[CbirError] = []
    for index in indexes:
        try:
            own = backbone_of(index)
        except CbirError as error:
            problems.append(error)
            continue
        for group in groups:
            if own.difference(backbone_of(group[0])) is None and have_common_root([*group, index]):
                group.append(index)
                break
        else:
            groups.append([index])
    if not groups:
        raise problems[0]
    return [join(group) for group in groups], problems


def are_of_one_network(indexes: Sequence[Index]) -> bool:
    """Tell whether features of all mean the same."""
    first = backbone_of(indexes[0])
    return all(backbone_of(index).difference(first) is None for index in indexes[1:])


def check_comparable(indexes: Sequence[Index]) -> None:
    """IndexConflictError where indexes of different networks cannot be ranked together, as one has no percentiles."""
    for index in indexes:
        if index.meta.cosines is None:
            raise IndexConflictError(
                f"{index.directory} does not know how alike its pictures are, as it has fewer than two or an older "
                "cbir made it: its matches cannot be ranked with those of another network or source. `cbir index` adds "
                "that."
            )


def merged(
    results: Sequence[Iterator[SearchResult]], count: int, trouble: Callable[[CbirError], object]
) -> Iterator[SearchResult]:
    """Merge the results of the same queries in indexes of different networks, each to the first `count` matches.

    What goes wrong in one of them is given to `trouble`, and the others go on; where it goes wrong in all, it is
    raised. A match's row is that of its own index.
    """
    left = list(results)
    while True:
        found: list[SearchResult] = []
        problem: CbirError | None = None
        for one in list(left):
            try:
                result = next(one, None)
            except CbirError as error:
                left.remove(one)
                problem = error
                if left or found:
                    trouble(error)
                continue
            if result is not None:
                found.append(result)
        if not found:
            if problem is not None:
                raise problem
            return
        yield _one_ranking(found, count)


def _one_ranking(results: Sequence[SearchResult], count: int) -> SearchResult:
    """Make one result of several of one query."""
    sound = [result for result in results if result.error is None] or results[:1]
    lists = [
        [match if match.index is not None else replace(match, index=result.index) for match in result.matches]
        for result in sound
    ]
    number = _number(sound)
    ranked: list[Match] = []
    found: set[Location] = set()
    places = [0] * len(lists)
    while len(ranked) < count:
        # each keeps its order, which re-ranking made: only those that come first are compared
        heads = [which for which, place in enumerate(places) if place < len(lists[which])]
        if not heads:
            break
        best = max(heads, key=lambda which: number(lists[which][places[which]]))
        match = lists[best][places[best]]
        places[best] += 1
        if match.path not in found:  # a picture may be in several of them
            found.add(match.path)
            ranked.append(replace(match, rank=len(ranked) + 1))
    return replace(
        sound[0],
        matches=ranked,
        model=", ".join(dict.fromkeys(result.model for result in results)),
        indexes=tuple(one for result in results for one in result.indexes or (result.index,)),
        total=None if any(one.total is None for one in sound) else sum(one.total or 0 for one in sound),
        notices=tuple(dict.fromkeys(notice for result in results for notice in result.notices)),
    )


def _number(results: Sequence[SearchResult]) -> Callable[[Match], float]:
    """Return what matches of different networks are compared by. IndexConflictError where they have nothing such."""
    matches = [match for result in results for match in result.matches]
    if len(results) == 1:
        return lambda match: 0.0  # they are in their order
    if all(match.relevance is not None for match in matches):
        return lambda match: match.relevance or 0.0
    if all(match.percentile is not None for match in matches):
        return lambda match: match.percentile or 0.0
    query = results[0].query
    if isinstance(query, (WordQuery, ObjectQuery)) and not query.like:
        return lambda match: match.score  # a probability
    if isinstance(query, (FaceQuery, PersonQuery)):
        return lambda match: match.score  # of faces, which networks of pictures have no part in
    raise IndexConflictError(
        "These indexes are by different networks, whose scores mean different things, or of different sources, and a "
        "search by parts or texts has no percentiles to compare: search one after the other."
    )
