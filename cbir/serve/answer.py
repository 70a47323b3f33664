"""A search of a state of an index, and its result as a record: what the server does, and processes beside it do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cbir.index.entries import NotionEntry
from cbir.search.queries import AnyQuery, FaceQuery, FeedbackQuery, IndexedQuery, PersonQuery, TextQuery, VectorQuery
from cbir.search.results import SearchResult
from cbir.serve.problems import ProblemError
from cbir.serve.records import pictures
from cbir.serve.settings import MOST_RESULTS
from cbir.serve.states import ServedState


@dataclass(frozen=True)
class Asked:
    """A search of one state, its pictures resolved: all that a process needs which has the same state.

    `options` are those of `Searcher.search`; with `tags`, matches have theirs. `notion` is that of the options, as the
    index has it now.
    """

    query: AnyQuery
    options: dict[str, Any]
    tags: bool
    notion: NotionEntry | None = None

    @property
    def is_known(self) -> bool:
        """True if it needs no network: its pictures are the index's, or features, and some are named, or words.

        Not of faces, which are kept once, and not in each process.
        """
        if isinstance(self.query, (FaceQuery, PersonQuery)):
            return False
        if isinstance(self.query, FeedbackQuery) and self.query.start is None and not self.query.images:
            return False
        start = self.query.start if isinstance(self.query, FeedbackQuery) else self.query
        pictures = self.query.images
        return not isinstance(start, TextQuery) and all(
            isinstance(one, (IndexedQuery, VectorQuery)) and one.region is None for one in pictures
        )


def answer(state: ServedState, asked: Asked) -> bytes:
    """Search, and return the record of the result in JSON: the shell's, with where each picture is to be had.

    Raises ProblemError, and CbirError as `Searcher.search` does.
    """
    try:
        result = next(iter(state.searcher.search([asked.query], **asked.options)))
    except ValueError as error:
        raise ProblemError(422, "refused", str(error)) from error
    if result.error is not None:
        raise result.error
    record = _record(state, result, asked, state.searcher.left(asked.options["among"]))
    return json.dumps(record, separators=(",", ":")).encode("ascii")


def _record(state: ServedState, result: SearchResult, asked: Asked, left: int) -> dict[str, Any]:
    most = left if result.total is None else result.total
    record, rows = result.to_dict(), [match.row for match in result.matches]
    all_tags = state.tags.of(rows) if asked.tags else [None] * len(rows)
    tags = [None if its is None else [tag.to_dict() for tag in its] for its in all_tags]
    about = zip(record["matches"], tags, pictures(state, rows), strict=True)
    return record | {
        "matches": [match | {"tags": its, "picture": one} for match, its, one in about],
        "state": state.id,
        "total": min(MOST_RESULTS, most),
        "exact": result.total is not None,
        "offset": asked.options["offset"],
        "learnt": result.learnt,
        "figures": result.figures,
        "notices": list(result.notices),
    }
