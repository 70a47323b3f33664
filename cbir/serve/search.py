"""A search of an index as a request asks for it, and its result as a record."""

from __future__ import annotations

from typing import Any

from cbir.search.results import Match, SearchResult
from cbir.serve.bodies import MOST_RESULTS, Search
from cbir.serve.problems import ProblemError
from cbir.serve.records import pictures, records
from cbir.serve.refs import Refs
from cbir.serve.states import ServedState


def search_index(refs: Refs, wanted: Search) -> dict[str, Any]:
    """Search, and return the record of the result: the shell's, with where each picture is to be had.

    Raises ProblemError, and CbirError as `Searcher.search` does.
    """
    if wanted.filter.is_of_rows:
        raise ProblemError(501, "no-filters", "Results cannot be limited to folders, tags or dates yet.")
    state, query = refs.state, refs.search(wanted)
    if query is None:
        return _all(state, wanted)
    limits = wanted.filter
    try:
        result = next(
            iter(
                state.searcher.search(
                    [query],
                    count=min(MOST_RESULTS, wanted.offset + wanted.count),
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
    has_limits = limits.min_score or limits.min_percentile or limits.min_probability
    total = len(result.matches) if has_limits else min(MOST_RESULTS, len(state.rows))
    page = result.matches[wanted.offset : wanted.offset + wanted.count]
    return _record(state, result, page, wanted, max(total, len(result.matches)))


def _record(state: ServedState, result: SearchResult, page: list[Match], wanted: Search, total: int) -> dict[str, Any]:
    shown = SearchResult(
        result.query, result.index, result.model, page, None, result.boxes, result.class_weights, result.notices
    )
    if wanted.tags:
        shown = shown.with_tags(state.tags.of)
    record = shown.to_dict()
    record["matches"] = records(state, shown.matches)
    return record | {
        "state": state.id,
        "total": total,
        "offset": wanted.offset,
        "figures": shown.figures,
        "notices": list(result.notices),
    }


def _all(state: ServedState, wanted: Search) -> dict[str, Any]:
    """Return all pictures, those that were changed last first, as matches without figures."""
    rows = state.newest[wanted.offset : wanted.offset + wanted.count].tolist()
    tags = state.tags.of(rows) if wanted.tags else [None] * len(rows)
    matches = [
        {
            "rank": wanted.offset + place,
            "path": picture["path"],
            "relevance": None,
            "score": None,
            "percentile": None,
            "tags": None if its is None else [tag.to_dict() for tag in its],
            "picture": picture,
        }
        for place, (picture, its) in enumerate(zip(pictures(state, rows), tags, strict=True), start=1)
    ]
    return {
        "query": None,
        "index": str(state.index.directory),
        "model": state.backbone.name,
        "matches": matches,
        "state": state.id,
        "total": min(MOST_RESULTS, len(state.rows)),
        "offset": wanted.offset,
        "figures": [],
        "notices": [],
    }
