"""Searching several served indexes with one ranking over all of them."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cbir.collection import Collection
from cbir.engines.lazy import LazyEngine
from cbir.errors import CbirError
from cbir.index.joined import JoinedIndex
from cbir.search.queries import AnyQuery, IndexedQuery, VectorQuery
from cbir.search.results import Match, SearchResult
from cbir.search.searcher import Searcher
from cbir.search.several import are_of_one_network, by_network, check_comparable, merged
from cbir.serve.answer import Asked
from cbir.serve.problems import ProblemError
from cbir.serve.records import pictures
from cbir.serve.settings import MOST_RESULTS
from cbir.serve.states import ServedState

# Sets of states that are kept as they are searched together, those that were asked for last.
_KEPT = 2


class Served(Protocol):
    """An index that is served, as of `service.ServedIndex`."""

    name: str
    collection: Collection

    @property
    def state(self) -> ServedState: ...


@dataclass(frozen=True)
class _One:
    """An index as it is searched among others: its name, its state, and the engine of its network."""

    name: str
    state: ServedState
    engine: LazyEngine


@dataclass(frozen=True)
class _Group:
    """The indexes of one network, and what searches them as one."""

    searcher: Searcher
    members: Sequence[_One]

    def search(self, query: AnyQuery, options: dict[str, Any], *, is_own: bool) -> Iterator[SearchResult]:
        """Yield the result of a query; rows of its matches are those of their own indexes.

        CbirError where it is by features, and unless this is the network whose `own` index has them.
        """
        if not is_own and any(isinstance(one, (IndexedQuery, VectorQuery)) for one in query.images):
            names = " and ".join(one.name for one in self.members)
            raise CbirError(
                f"{names} cannot be asked by features of another network: upload the picture, or ask by words."
            )
        for result in self.searcher.search([query], **options):
            yield replace(result, matches=[self._placed(match) for match in result.matches])

    def _placed(self, match: Match) -> Match:
        index = self.searcher.index
        if not isinstance(index, JoinedIndex):
            return replace(match, index=index.directory)
        return replace(match, row=match.row - int(index.first_rows[index.member_of(match.row)]))


class Together:
    """Searches served indexes together; for many threads."""

    def __init__(self) -> None:
        self._remembering = threading.Lock()
        self._kept: OrderedDict[tuple[str, ...], list[_Group]] = OrderedDict()

    def answer(self, served: Sequence[Served], asked: Asked) -> bytes:
        """Search, and return the record of the result in JSON, as `answer.answer` does for one index.

        The first index is the one that has the query's pictures. One of the others that is gone is told in `notices`.
        Raises ProblemError, and CbirError as `merged` does.
        """
        troubles: list[str] = []
        members = list(_those_there(served, troubles))
        groups = self._groups(members)
        offset, last = asked.options["offset"], asked.options["offset"] + asked.options["count"]
        options = {**asked.options, "offset": 0, "count": last}
        own = groups[0].searcher.index
        results = [
            one.search(asked.query, options, is_own=are_of_one_network([own, one.searcher.index])) for one in groups
        ]
        try:
            (result,) = merged(results, last, lambda error: troubles.append(str(error)))
        except ValueError as error:
            raise ProblemError(422, "refused", str(error)) from error
        if result.error is not None:
            raise result.error
        result = replace(result, matches=result.matches[offset:], notices=(*result.notices, *troubles))
        left = sum(group.searcher.left(options["among"]) for group in groups)
        return json.dumps(_record(result, members, asked, left), separators=(",", ":")).encode("ascii")

    def _groups(self, members: Sequence[_One]) -> list[_Group]:
        key = tuple(one.state.id for one in members)
        with self._remembering:
            found = self._kept.pop(key, None)
            if found is None:
                found = _grouped(members)
            self._kept[key] = found
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found


def _those_there(served: Sequence[Served], troubles: list[str]) -> Iterator[_One]:
    """Yield the indexes, each once, that can be asked now. ProblemError where the first cannot."""
    for one in dict.fromkeys(served):
        try:
            yield _One(one.name, one.state, one.collection.engine)
        except ProblemError as problem:
            if one is served[0]:
                raise
            troubles.append(problem.detail)


def _grouped(members: Sequence[_One]) -> list[_Group]:
    by_directory = {one.state.index.directory: one for one in members}
    indexes, problems = by_network(one.state.index for one in members)
    if problems:
        raise problems[0]
    if len(indexes) > 1:
        check_comparable(indexes)
    groups = []
    for index in indexes:
        its = [by_directory[directory] for directory in index.directories or (index.directory,)]
        groups.append(_Group(Searcher(index, engine=its[0].engine), its))
    return groups


def _record(result: SearchResult, members: Sequence[_One], asked: Asked, left: int) -> dict[str, Any]:
    by_directory = {one.state.index.directory: one for one in members}
    matches = []
    for match in result.matches:
        assert match.index is not None
        its = by_directory[match.index]
        tags = its.state.tags.of([match.row])[0] if asked.tags else None
        (picture,) = pictures(its.state, [match.row])
        matches.append({**replace(match, tags=tags).to_dict(), "picture": picture, "served_as": its.name})
    most = left if result.total is None else result.total
    return result.to_dict() | {
        "matches": matches,
        "state": members[0].state.id,
        "total": min(MOST_RESULTS, most),
        "exact": result.total is not None,
        "offset": asked.options["offset"],
        "learnt": None,
        "figures": result.figures,
        "notices": list(result.notices),
    }
