"""Notions of an index: listed, made from marks, forgotten, and which pictures one asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cbir.images.regions import SegmentOption
from cbir.learn.ask import ask
from cbir.learn.marks import learn_marks
from cbir.learn.pictures import Picture
from cbir.learn.run import Learner
from cbir.notions.notion import PARTS, PICTURES, Notion
from cbir.notions.store import NotionInfo, check_name, forget_notion, keep_notion, load_notion, notions_of
from cbir.search.queries import ImageQuery
from cbir.serve.bodies import Ask, Marks, Ref
from cbir.serve.problems import ProblemError
from cbir.serve.records import json_response, pictures
from cbir.serve.refs import Refs
from cbir.serve.routes.common import PROBLEMS, AnIndex, heavily
from cbir.serve.service import ServedIndex
from cbir.utils.printable import printable

router = APIRouter(tags=["notions"], responses=PROBLEMS)

Name = Annotated[str, InPath(min_length=1, max_length=64)]

# Seconds for which it is waited until another writer of the index has done.
_WAIT = 2.0


@router.get("/indexes/{index}/notions", response_class=Response)
def notions(index: AnIndex) -> Response:
    """List the notions of an index, and say what is wrong with those that cannot be read."""
    found, problems = notions_of(index.state.index)
    told = [_told(one, one.labels, stale=one.stale) for one in found]
    return json_response({"notions": told, "problems": [printable(one) for one in problems]})


@router.post(
    "/indexes/{index}/notions", response_class=Response, responses={201: {"description": "The notion, as it is now"}}
)
def keep(index: AnIndex, marks: Marks) -> Response:
    """Make a notion from marks, or have one grow (`add`): pictures of the index or features, or parts of pictures.

    Where a mark has a `region`, the notion is of parts, and marks without one are of all that a picture shows.
    """
    check_name(marks.name)
    with index.keeping:
        index.look()
        refs = Refs(index)
        seen = refs.state.index.meta
        before = None
        if any(entry.name == marks.name for entry in seen.notions):
            if not marks.add:
                raise ProblemError(
                    409, "notion-there", f"There is a notion {marks.name} already: add to it, or forget it."
                )
            before = load_notion(refs.state.index, marks.name, None)
        is_of_parts = any(ref.region is not None for ref in (*marks.alike, *marks.unlike))
        marked, of = (_marked_parts, PARTS) if is_of_parts else (_marked, PICTURES)
        alike, unlike = marked(refs, marks.alike), marked(refs, marks.unlike)
        notion = learn_marks(refs.state.index, marks.name, alike, unlike, before, of)
        keep_notion(index.directory, notion, _WAIT, seen=seen)
        index.look()
    return json_response(_told(notion, len(notion.labels), stale=False), 201)


@router.delete("/indexes/{index}/notions/{name}", status_code=204, response_class=Response)
def forget(index: AnIndex, name: Name) -> Response:
    """Take a notion out of an index, with its labels."""
    with index.keeping:
        _check_there(index, name)
        forget_notion(index.directory, name, _WAIT)
        index.look()
    return Response(status_code=204)


@router.post("/indexes/{index}/notions/{name}/ask", response_class=Response)
async def asked_for(index: AnIndex, name: Name, wanted: Ask, request: Request) -> Response:
    """Return the pictures whose labels would teach a notion most, the first one most, and why each."""
    _check_there(index, name)
    async with heavily(request):
        return await run_in_threadpool(_ask, index, name, wanted.count)


def _ask(index: ServedIndex, name: str, count: int) -> Response:
    state = index.state
    asked = ask(state.index, count, load_notion(state.index, name))
    its = pictures(state, [one.row for one in asked])
    told = [{**picture, "why": printable(one.why)} for picture, one in zip(its, asked, strict=True)]
    return json_response({"state": state.id, "pictures": told})


def _marked(refs: Refs, marks: Sequence[Ref]) -> list[Picture]:
    """Return the pictures that marks are of. ProblemError where one is a segment, or an upload."""
    return [_marked_one(refs, ref) for ref in marks]


def _marked_parts(refs: Refs, marks: Sequence[Ref]) -> list[Picture]:
    """Return the parts of pictures that marks are of, seen by the network. ProblemError where one is none."""
    parts = []
    for ref in marks:
        query = refs.query(ref)
        asked = query.region
        if not isinstance(query, ImageQuery) or isinstance(query.source, bytes) or isinstance(asked, SegmentOption):
            raise ProblemError(422, "invalid", "Marks of parts are of regions of the index's pictures.")
        parts.append((query.source, "" if asked is None else asked.text))
    if not parts:
        return []
    searcher = refs.state.searcher
    found, skipped = Learner(refs.state.index, engine=searcher.engine).parts.find(parts)
    if skipped:
        raise ProblemError(422, "invalid", f"A mark cannot be looked at: {printable(skipped[0].reason)}.")
    return [one for one in found if one is not None]


def _marked_one(refs: Refs, ref: Ref) -> Picture:
    """Return the picture that a mark is of. ProblemError where it is a part of one, or an upload."""
    if ref.region is not None or ref.segment is not None or ref.upload is not None:
        raise ProblemError(422, "invalid", "Marks are of whole pictures of the index, or of features.")
    found = refs.row(ref)
    if found is None:
        vector = refs.vector(ref)
        return Picture(Path(ref.name or "the picture"), hashlib.sha256(vector.tobytes()).hexdigest(), None, vector)
    state, row = found
    record = state.record(row)
    if state is not refs.state:  # of the state before this one, where rows were others
        row = refs.state.row_of_content(record.sha256)
    return Picture(Path(record.path), record.sha256, row)


def _told(notion: Notion | NotionInfo, labels: int, *, stale: bool) -> dict[str, Any]:
    """Return what is told of a notion that has so many labels."""
    return {
        "name": notion.name,
        "classes": list(notion.classes),
        "kind": notion.kind,
        "of": notion.of,
        "quality": round(notion.quality, 4),
        "verdict": notion.verdict,
        "labels": labels,
        "stale": stale,
    }


def _check_there(index: ServedIndex, name: str) -> None:
    """ProblemError where an index has no such notion."""
    if all(entry.name != name for entry in index.state.index.meta.notions):
        raise ProblemError(404, "no-such-notion", f"The index has no notion {printable(name)}.")
