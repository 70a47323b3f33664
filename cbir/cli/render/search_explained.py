"""Matches as `cbir search --explain` shows them: each under the heat of what speaks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from cbir.errors import CbirError, ImageReadError
from cbir.explain.draw import heated
from cbir.explain.explainer import Explainer, Seen
from cbir.images.previews import as_jpeg
from cbir.search.queries import AnyQuery, ImageQuery, WordQuery
from cbir.search.results import SearchResult
from cbir.search.searcher import Searcher
from cbir.words.vocabulary import Word

#: Pixels of the longer side of what is drawn of a match.
_SIDE = 400

#: Matches of a query that are looked at, at most: each takes a tenth of a second.
MOST = 200


class ExplainedMatches:
    """Looks at the matches of a search in one index, to show what is alike in them."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._explainers: dict[str | None, Explainer] = {}

    def of(self, result: SearchResult) -> tuple[Sequence[bytes | None], str]:
        """Draw the matches of a query, as JPEGs, None of each that is shown as it is; with them comes a sentence."""
        nothing: list[bytes | None] = [None] * len(result.matches)
        query = result.query
        if result.error is not None or not result.matches:
            return nothing, ""
        is_picture = isinstance(query, ImageQuery) and not (query.region or query.parts or query.kind)
        is_word = isinstance(query, WordQuery) and query.picture is None and len(query.words) == 1
        if not is_picture and not is_word:
            return nothing, "matches of one picture, or of one word, are shown with what speaks for them"
        try:
            return self._drawn(query, result)
        except CbirError as error:  # of the network: the matches are shown as they are
            return nothing, str(error)

    def _drawn(self, query: AnyQuery, result: SearchResult) -> tuple[Sequence[bytes | None], str]:
        explainer = self._explainers.get(result.learnt)
        if explainer is None:
            searcher = self._searcher
            explainer = Explainer(searcher.engine, searcher.index, searched=searcher.searched, notion=result.learnt)
            self._explainers[result.learnt] = explainer
        word = query.words[0] if isinstance(query, WordQuery) else None
        asked = explainer.see(query.source, query.name) if isinstance(query, ImageQuery) else None
        drawn: list[bytes | None] = []
        for match in result.matches:
            heat = None
            if len(drawn) < MOST:
                with contextlib.suppress(ImageReadError):  # of which the page says why it is not shown
                    heat = _heated(explainer, explainer.see(match.path), word, asked)
            drawn.append(heat)
        about = "is like the query" if word is None else f"speaks for {word.text}"
        return drawn, f"the brighter, the more a place {about}"


def _heated(explainer: Explainer, seen: Seen, word: Word | None, asked: Seen | None) -> bytes:
    if word is not None:
        shares = explainer.word(seen, word).above(seen.look)
    else:
        assert asked is not None
        shares = explainer.explain(asked, seen).of_match.above(seen.look)
    return as_jpeg(heated(seen, shares, _SIDE))
