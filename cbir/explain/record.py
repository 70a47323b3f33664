"""Explanations as they are told: records, as JSON has them, and sentences."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cbir.images.sources.address import Location, below

if TYPE_CHECKING:
    from cbir.explain.explainer import Explanation, Reasons, Seen, Shares
    from cbir.explain.looks import Look, Pane
    from cbir.explain.ways import Way
    from cbir.explain.words import WordPlaces
    from cbir.index.store import Index
    from cbir.utils.vectors import Floats
    from cbir.words.vocabulary import Word

#: What people are told a likeness is by; the score's own name is "score".
BY = {"centred": "less the mean", "learnt": "as learnt", "raw": ""}


def record_of(
    one: Explanation, index: Index | None, *, rank: int | None = None, all_pairs: bool = False
) -> dict[str, Any]:
    """Return the JSON record of an explanation; `rank` is the match's, where it was looked for."""
    record = {
        **_begun(str(one.query.path), one, rank),
        "query_places": _places(one.query.look, one.of_query),
        "match_places": _places(one.match.look, one.of_match),
        "lines": [
            {
                "query": _box(one.query.look.box(pair.query)),
                "match": _box(one.match.look.box(pair.match)),
                "share": round(pair.share, 6),
            }
            for pair in one.pairs.strongest()
        ],
        "words": [
            {
                "name": word.name,
                "query": round(word.query, 6),
                "match": round(word.match, 6),
                "part": round(word.part, 6),
            }
            for word in one.words
        ],
        **_ended(one, index),
    }
    if all_pairs:
        record["pairs"] = {"raw": _rounded(one.raw_pairs.pairs), "likeness": _rounded(one.pairs.pairs)}
    return record


def record_of_reasons(query: str, one: Reasons, index: Index | None) -> dict[str, Any]:
    """Return the JSON record of reasons of which the query, called so, has no places: these are null."""
    return {
        **_begun(query, one, None),
        "query_places": None,
        "match_places": _places(one.match.look, one.of_match),
        "lines": [],
        "words": [],
        **_ended(one, index),
    }


def record_of_word(seen: Seen, word: Word, places: WordPlaces) -> dict[str, Any]:
    """Return the JSON record of what speaks for a word in a picture."""
    return {
        "image": str(seen.path),
        **word.to_dict(),
        "probability": round(places.probability, 6),
        "evidence": round(places.evidence, 6),
        "rest": round(places.rest, 6),
        "places": [
            {"network": pane.network, **grid(pane, places.shares)}
            for pane in seen.look.panes
            if pane.network == seen.look.panes[0].network
        ],
    }


def _begun(query: str, one: Reasons, rank: int | None) -> dict[str, Any]:
    return {
        "query": query,
        "match": str(one.match.path),
        **({} if rank is None else {"rank": rank}),
        "score": round(one.score, 6),
        "by": one.by,
        "likeness": round(one.likeness, 6),
    }


def _ended(one: Reasons, index: Index | None) -> dict[str, Any]:
    return {} if one.way is None or index is None else {"way": _way(one.way, index)}


def way_in_words(direct: float, share: float, steps: int) -> str:
    """Say how likeness came to a match."""
    how = (
        "straight from the query"
        if steps == 1
        else f"through {steps - 1} other picture{'s' * (steps > 2)}, numbered in their order, the match last"
    )
    return (
        f"Of what re-ranking gave the match, {direct:.0%} came straight from the query, the rest through its "
        f"neighbours. The strongest single way, with {share:.0%} of it, leads {how}; the figure is how alike a picture "
        "is to the one before. Others with a share are neighbours through which more came."
    )


def name_of(row: int, index: Index) -> str:
    """Return the name of a row's picture, as the index has it."""
    return str(index.record(row).path)


def _way(way: Way, index: Index) -> dict[str, Any]:
    return {
        "direct": round(way.direct, 4),
        "neighbours": [{"path": name_of(one.row, index), "share": round(one.share, 4)} for one in way.neighbours],
        "steps": [{"path": name_of(one.row, index), "likeness": round(one.likeness, 4)} for one in way.steps],
        "share": round(way.share, 4),
    }


def _places(look: Look, shares: Shares) -> list[dict[str, Any]]:
    return [
        {"network": pane.network, **grid(pane, shares.raw, "raw"), "likeness": grid(pane, shares.likeness)["shares"]}
        for pane in look.panes
    ]


def grid(pane: Pane, shares: Floats, name: str = "shares") -> dict[str, Any]:
    """Return where a pane is, and the shares of its places in rows."""
    rows = shares[pane.places].reshape(pane.rows, pane.columns)
    return {"extent": _box(pane.extent), name: _rounded(rows)}


def _box(extent: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in extent]


def _rounded(grid: Floats) -> list[list[float]]:
    return [[round(value, 8) for value in row] for row in grid.tolist()]


def short(path: Location, index: Index | None) -> str:
    """Return a picture's name as the index has it, else its path."""
    if index is not None:
        with contextlib.suppress(ValueError):
            return str(below(path, index.root))
    return str(path)
