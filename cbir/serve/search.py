"""A search of an index as a request asks for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cbir.search.filters import RowFilter
from cbir.search.object_query import WantedObject
from cbir.serve.answer import Asked, answer
from cbir.serve.bodies import Search
from cbir.serve.problems import ProblemError
from cbir.serve.processes import SearchProcesses
from cbir.serve.refs import Refs
from cbir.serve.service import ServedIndex
from cbir.serve.together import Together
from cbir.utils.workers import usable_cores

# More threads than processors only take the interpreter from each other: they answer a fifth fewer searches a second.
_AT_ONCE = threading.BoundedSemaphore(usable_cores())


def search_index(refs: Refs, wanted: Search, processes: SearchProcesses | None = None) -> bytes:
    """Search, and return the record of the result in JSON; by one of some `processes` where it can tell it.

    Raises ProblemError, and CbirError as `Searcher.search` does.
    """
    asked = resolved(refs, wanted)
    found = processes.answer(refs.state, asked) if processes is not None and asked.is_known else None
    if found is not None:
        return found
    with _AT_ONCE:
        return answer(refs.state, asked)


def search_together(refs: Refs, wanted: Search, served: Sequence[ServedIndex], together: Together) -> bytes:
    """Search several indexes with one ranking over all, the pictures asked by being those of the first.

    Raises what `search_index` does.
    """
    asked = resolved(refs, wanted)
    with _AT_ONCE:
        return together.answer(served, asked)


def resolved(refs: Refs, wanted: Search) -> Asked:
    """Return a search with its pictures resolved. Raises ProblemError, and WordError."""
    limits = wanted.filter
    options = {
        "count": wanted.count,
        "offset": wanted.offset,
        "reranked": wanted.reranked,
        "include_self": wanted.include_self,
        "min_score": limits.min_score,
        "min_percentile": limits.min_percentile,
        "min_probability": limits.min_probability,
        "class_name": wanted.class_weights,
        "learnt": wanted.learnt,
    }
    notion = next((entry for entry in refs.state.index.meta.notions if entry.name == wanted.learnt), None)
    try:
        named = [] if wanted.asks_objects_alone else [wanted.objects, wanted.not_objects]
        objects = (tuple(map(WantedObject.parse, some)) for some in named)
        among = RowFilter(tuple(limits.folders), tuple(limits.tags), limits.since, limits.until, *objects)
        return Asked(refs.search(wanted), options | {"among": among}, wanted.tags, notion)
    except ValueError as error:
        raise ProblemError(422, "refused", str(error)) from error
