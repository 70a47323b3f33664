"""Records of explanations, as JSON has them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cbir.images.sources.address import Location, below

if TYPE_CHECKING:
    from cbir.explain.explainer import Explanation, Shares
    from cbir.explain.looks import Look, Pane
    from cbir.explain.ways import Way
    from cbir.index.store import Index
    from cbir.utils.vectors import Floats


class Explained(NamedTuple):
    """An explanation, and the rank of the match where it was looked for."""

    explanation: Explanation
    rank: int | None


def record_of(explained: Explained, index: Index | None, *, all_pairs: bool) -> dict[str, Any]:
    """Return the JSON record of an explanation."""
    one = explained.explanation
    record: dict[str, Any] = {"query": str(one.query.path), "match": str(one.match.path)}
    if explained.rank is not None:
        record["rank"] = explained.rank
    record |= {
        "score": round(one.score, 6),
        "by": one.by,
        "likeness": round(one.likeness, 6),
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
    }
    if one.way is not None and index is not None:
        record["way"] = _way(one.way, index)
    if all_pairs:
        record["pairs"] = {"raw": _rounded(one.raw_pairs.pairs), "likeness": _rounded(one.pairs.pairs)}
    return record


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
