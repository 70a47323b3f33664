"""Queries by a part, as a notion of parts takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cbir.index.ann.sieve import whole_query
from cbir.notions.parts import PartLikeness
from cbir.search.resolve import QueryPicture
from cbir.search.searched import SearchedIndex
from cbir.search.strategy import SearchRequest


def learnt_parts(
    searched: SearchedIndex, images: Sequence[QueryPicture], request: SearchRequest
) -> PartLikeness | None:
    """Return the likeness to a part by the request's notion, if it has one."""
    row = images[0].part_row
    if request.learnt is None or row is None:
        return None
    return PartLikeness(searched.notion(request.learnt), whole_query(row))


def gated_by_parts(searched: SearchedIndex, images: Sequence[QueryPicture], request: SearchRequest) -> SearchRequest:
    """Return the same request, without its notion where that claims nothing of the part."""
    learnt = learnt_parts(searched, images, request)
    return request if learnt is not None and learnt.claims else replace(request, learnt=None)
