"""Kinds of rows that notions are of: features of pictures, numbers of their parts. A new kind is a line of `ROWS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cbir.index.columns.parts import NUMBERS
from cbir.index.format import Meta
from cbir.notions.notion import PARTS, PICTURES, fingerprint


@dataclass(frozen=True)
class RowsOf:
    """One kind of rows of an index, by its `meta.json`.

    `dimension` tells how many numbers they have, `maker` what made them of the network's, None where nothing did.
    `what` they are, and what a notion of them orders, in words (`orders`).
    """

    what: str
    orders: str
    dimension: Callable[[Meta], int]
    maker: Callable[[Meta], str | None] = lambda meta: None


#: By what a notion's file says that it is of.
ROWS: Mapping[str, RowsOf] = {
    PICTURES: RowsOf("whole pictures", "what whole pictures find", lambda meta: meta.dimension),
    PARTS: RowsOf(
        "parts of pictures",
        "searches by parts (--region, --parts, --kind, --same)",
        lambda meta: NUMBERS,
        lambda meta: None if meta.parts is None else meta.parts.whitening,
    ),
}


def model_of(meta: Meta, of: str) -> str:
    """Return what a notion of such rows remembers of an index's network, and of what else made the rows."""
    if of == PICTURES:
        return fingerprint(meta.model)
    return fingerprint({"model": meta.model, of: ROWS[of].maker(meta)})
