"""Parts of a picture: its segments, and where in it a query is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cbir.errors import ModelError
from cbir.images.safely import decode
from cbir.locate.locator import Locator
from cbir.search.regions import RegionFinder
from cbir.serve.bodies import Search
from cbir.serve.files import read_picture
from cbir.serve.problems import ProblemError
from cbir.serve.records import json_response
from cbir.serve.refs import Refs, asked_of
from cbir.serve.routes.common import PROBLEMS, AnIndex, heavily
from cbir.serve.routes.pictures import Id
from cbir.serve.service import ServedIndex
from cbir.serve.states import ServedState

if TYPE_CHECKING:
    from cbir.segment.classify import Likely
    from cbir.segment.polygons import Outline
    from cbir.segment.segmentation import Segmentation
    from cbir.segment.segmenter import Segmenter

router = APIRouter(tags=["parts"], responses=PROBLEMS)

# Of one picture, as `segmenter.MOST_SEGMENTS`.
_MOST_SEGMENTS = 256

# The score from which what is looked for is probably there.
_LEAST_SCORE = 0.5


@router.get("/indexes/{index}/pictures/{picture}/segments", response_class=Response)
async def segments(
    index: AnIndex,
    picture: Id,
    request: Request,
    count: Annotated[int | None, Query(ge=1, le=_MOST_SEGMENTS)] = None,
) -> Response:
    """Return the segments of a picture as `cbir segment` finds them, the largest first, by the numbers to ask by.

    An `outline` is rings of corners, pieces and holes: filled by the rule "evenodd", they are the segment.
    """
    async with heavily(request):
        return json_response(await run_in_threadpool(_segments, index, picture, count))


@router.post("/indexes/{index}/locate/{picture}", response_class=Response)
async def locate(index: AnIndex, picture: Id, wanted: Search, request: Request) -> Response:
    """Return the box (x, y, width, height in pixels) where the first picture of a search is found, or its region.

    There is no box where it probably is not there; `score` tells how probable it is.
    """
    async with heavily(request):
        return json_response(await run_in_threadpool(_located, index, picture, wanted))


def _segments(index: ServedIndex, id_: str, count: int | None) -> dict[str, Any]:
    # only here: they take half a second to load, and a server is to be ready before
    from cbir.segment.polygons import outlines
    from cbir.segment.segmenter import Segmenter

    state, row = index.picture(id_)
    segmenter = Segmenter(state.backbone, engine=index.collection.engine)
    found = segmenter.segment(_opened(state, row), count)
    told = []
    for segment, outline, its in zip(found.segments, outlines(found.labels), _classes(segmenter, found), strict=True):
        record = segment.to_json()
        classes = [likely.to_json() for likely in its]
        told.append({"number": record.pop("label"), **record, "outline": _rings(outline), "classes": classes})
    return {"width": found.image.width, "height": found.image.height, "segments": told}


def _opened(state: ServedState, row: int) -> Image.Image:
    """Return a row's picture, upright, in RGB, decoded as all strangers' files are. ProblemError, ImageReadError."""
    path = state.record(row).path
    return decode(read_picture(state.index.root, path), name=path)


def _classes(segmenter: Segmenter, found: Segmentation) -> list[list[Likely]]:
    from cbir.segment.classify import SegmentClassifier

    try:
        return SegmentClassifier(segmenter).classify(found).segments
    except ModelError:  # a network that knows no classes
        return [[] for _ in found.segments]


def _rings(outline: Outline) -> list[list[list[int]]]:
    return [
        [[x, y] for x, y in zip(ring[::2], ring[1::2], strict=True)] for ring in (*outline.polygons, *outline.holes)
    ]


def _located(index: ServedIndex, id_: str, wanted: Search) -> dict[str, Any]:
    state, row = index.picture(id_)
    refs = Refs(index)
    pairs = ((one, refs.row(one)) for one in (*wanted.like, *wanted.more))
    ref, named = next(((one, row) for one, row in pairs if row is not None), (None, None))
    if ref is None or named is None:
        raise ProblemError(
            422, "no-picture", "This search has no picture of the index that could be looked for in one."
        )
    engine = index.collection.engine
    query = _opened(*named)
    locator = Locator(state.backbone, engine=engine)
    asked = asked_of(ref)
    target = locator.target(query, None if asked is None else RegionFinder(engine).find(query, asked, "the query"))
    found = locator.locate(target, _opened(state, row))
    box = list(found.box) if found.score >= _LEAST_SCORE else None
    return {"box": box, "score": round(found.score, 4)}
