"""A search of an index as a request asks for it, and its result as a record."""

from __future__ import annotations

from typing import Any

from cbir.search.filters import RowFilter
from cbir.search.results import SearchResult
from cbir.serve.bodies import MOST_RESULTS, Search
from cbir.serve.problems import ProblemError
from cbir.serve.records import pictures
from cbir.serve.refs import Refs
from cbir.serve.states import ServedState


def search_index(refs: Refs, wanted: Search) -> dict[str, Any]:
    """Search, and return the record of the result: the shell's, with where each picture is to be had.

    Raises ProblemError, and CbirError as `Searcher.search` does.
    """
    state, limits = refs.state, wanted.filter
    among = RowFilter(tuple(limits.folders), tuple(limits.tags), limits.since, limits.until)
    try:
        query = refs.search(wanted)
        result = next(
            iter(
                state.searcher.search(
                    [query],
                    count=wanted.count,
                    offset=wanted.offset,
                    among=among,
                    reranked=wanted.reranked,
                    include_self=wanted.include_self,
                    min_score=limits.min_score,
                    min_percentile=limits.min_percentile,
                    min_probability=limits.min_probability,
                    class_name=wanted.class_weights,
                )
            )
        )
    except ValueError as error:
        raise ProblemError(422, "refused", str(error)) from error
    if result.error is not None:
        raise result.error
    return _record(state, result, wanted, state.searcher.left(among))


def _record(state: ServedState, result: SearchResult, wanted: Search, left: int) -> dict[str, Any]:
    shown = result.with_tags(state.tags.of) if wanted.tags else result
    found = wanted.offset + len(shown.matches)
    # a page that is not full is the last; before it, scores that are too small are counted as well
    total = found if len(shown.matches) < wanted.count else max(found, min(MOST_RESULTS, left))
    record = shown.to_dict()
    its = pictures(state, [match.row for match in shown.matches])
    return record | {
        "matches": [match | {"picture": one} for match, one in zip(record["matches"], its, strict=True)],
        "state": state.id,
        "total": total,
        "offset": wanted.offset,
        "figures": shown.figures,
        "notices": list(result.notices),
    }
