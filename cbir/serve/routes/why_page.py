"""The page that tells why a picture was found: made here, since it needs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cbir.errors import CbirError
from cbir.report.page import environment, jpeg_uri
from cbir.serve.addresses import PageAddress
from cbir.serve.bodies import Ref, Search
from cbir.serve.guard import FORM_HEADERS
from cbir.serve.problems import ProblemError, status_of
from cbir.serve.routes.common import AService, heavily
from cbir.serve.service import ServedIndex, Service
from cbir.serve.states import ServedState
from cbir.serve.uploads import is_form, read_form

if TYPE_CHECKING:
    from PIL import Image

    from cbir.explain.ways import Way
    from cbir.serve.explaining import Why

router = APIRouter(include_in_schema=False)

# Pictures of a query by several that are shown, the first ones, and the least part of a word that is.
_MOST_PARTS, _LEAST_PART = 60, 0.005

# The field of an address that asks for smaller places.
_FINE = "&fine=1"

Fine = Annotated[bool, Query()]


@router.get("/why")
async def why_page(service: AService, request: Request, fine: Fine = False) -> Response:
    """Return the page about the picture, and the search, of an address of the large page."""
    return await _answered(service, request, [], fine)


@router.post("/why")
async def why_page_of_file(service: AService, request: Request, fine: Fine = False) -> Response:
    """Return the same where the form has the query's own picture."""
    try:
        if not is_form(request):
            raise ProblemError(415, "no-form", "A picture comes as the part `file` of a form (multipart/form-data).")
        form = await read_form(request)
        if len(form.files) != 1:
            raise ProblemError(422, "invalid", "The form has one picture, `file`.")
    except ProblemError as error:
        return _page(_nothing(request.url.query) | {"problem": str(error)}, *status_of(error))
    return await _answered(service, request, form.files, fine)


async def _answered(service: Service, request: Request, uploads: list[tuple[str, bytes]], fine: bool) -> Response:
    values = _nothing(request.url.query)
    try:
        address = PageAddress.parse(request.url.query)
        async with heavily(request):
            return await run_in_threadpool(_explained, service, address, uploads, fine, values)
    except (CbirError, ProblemError) as error:
        return _page(values | {"problem": str(error)}, *status_of(error))


def _explained(
    service: Service, address: PageAddress, uploads: list[tuple[str, bytes]], fine: bool, values: dict[str, Any]
) -> Response:
    from cbir.serve.explaining import explain  # only here: a server is to be ready before

    index = service.index(address.index)
    state, row = index.picture(address.picture)
    search = address.search
    values |= _about(index) | {"match": _picture(index, state, row), "asked": _asked(index, search)}
    if uploads:
        search = search.model_copy(update={"like": [Ref(upload=0)], "more": [], "less": []})
    why = explain(index, address.picture, search, uploads, fine=fine)
    values |= _told(index, address, why)
    values["upload"] = not uploads and [one.vector is not None for one in search.like] == [True]
    if not uploads:  # the other one would be asked for without the file
        values |= {"is_fine": fine, "other": values["query"] + ("" if fine else _FINE)}
    return _page(values)


def _nothing(query: str) -> dict[str, Any]:
    """Return what the page tells where nothing is known."""
    empty: dict[str, Any] = {"place": "", "source": "", "problem": "", "query": query.replace(_FINE, "")}
    empty |= {"match": {"name": "this picture", "id": "", "link": ""}, "asked": None, "other": None, "is_fine": False}
    empty |= {"drawn": None, "figures": [], "lines": False, "upload": False, "way": None}
    return empty | {"notices": [], "parts": [], "shown_words": [], "words": []}


def _page(values: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = environment().get_template("why.html").render(**values)
    found = {**FORM_HEADERS, **(headers or {})}
    return Response(text.encode("utf-8"), status, found, "text/html; charset=utf-8")


def _about(index: ServedIndex) -> dict[str, str]:
    place = quote(index.name, safe="")
    return {"place": place, "source": f"api/v1/indexes/{place}/pictures"}


def _picture(index: ServedIndex, state: ServedState, row: int) -> dict[str, Any]:
    """Return what the page tells of a picture: its name, its id, and its place in the large page."""
    record = state.record(row)
    link = urlencode({"index": index.name, "picture": record.sha256[:16]})
    return {"name": record.path, "id": state.picture_id(row), "link": link}


def _asked(index: ServedIndex, search: Search) -> dict[str, Any] | None:
    """Return the one picture of the index that a search is by; None where it is by something else."""
    named = [*search.like, *search.more]
    if len(named) != 1 or named[0].sha256 is None:
        return None
    return _picture(index, *index.picture(named[0].sha256))


def _told(index: ServedIndex, address: PageAddress, why: Why) -> dict[str, Any]:
    from cbir.explain.explainer import Explanation
    from cbir.explain.record import BY

    state, reasons = why.state, why.reasons
    found: dict[str, Any] = {"notices": why.notices, "parts": _parts(index, address, why)}
    if why.parts:
        found["asked"] = {"name": f"{len(why.parts):,} pictures", "id": "", "link": ""}
    elif reasons is not None and why.query_row is None:
        found["asked"] = {"name": why.query, "id": "", "link": ""}
    if reasons is not None:
        found["figures"] = [("score", f"{reasons.score:.3f}")]
        if by := BY[reasons.by]:
            found["figures"].append((by, f"{reasons.likeness:.3f}"))
        found["lines"] = isinstance(reasons, Explanation)
        both = "The query and the match" if found["lines"] else "The match"
        found["drawn"] = _drawn(why.drawn()) | {"alt": f"{both}, the brighter the more a place speaks for the likeness"}
        if isinstance(reasons, Explanation):
            found["shown_words"] = [word for word in reasons.words if word.part >= _LEAST_PART]
        if reasons.way is not None:
            found["way"] = _way(index, state, reasons.way)
    found["words"] = [
        {
            **_drawn(why.drawn_word(places)),
            "name": word.text,
            "figures": [("probability", f"{places.probability:.3f}"), ("evidence", f"{places.evidence:.2f}")],
        }
        for word, places in why.words
    ]
    return found


def _drawn(image: Image.Image) -> dict[str, Any]:
    return {"src": jpeg_uri(image), "width": image.width, "height": image.height}


def _parts(index: ServedIndex, address: PageAddress, why: Why) -> list[dict[str, Any]]:
    """Return the pictures that were asked for, those most like the match first, each with where it is explained."""
    found = []
    for one in sorted(why.parts, key=lambda part: -part.score)[:_MOST_PARTS]:
        told: dict[str, Any] = {"name": one.name, "id": "", "score": one.score}
        if one.row is not None:
            told |= _picture(index, why.state, one.row)
            like = {"index": address.index, "like": why.state.record(one.row).sha256[:16], "picture": address.picture}
            told["why"] = urlencode(like)
        found.append(told)
    return found


def _way(index: ServedIndex, state: ServedState, way: Way) -> dict[str, Any]:
    """Return the pictures through which a match was found, those of the strongest way first."""
    from cbir.explain.record import way_in_words

    told = [
        _picture(index, state, step.row) | {"rank": number, "label": "", "value": f"{step.likeness:.2f}"}
        for number, step in enumerate(way.steps, start=1)
    ]
    on_it = {step.row for step in way.steps}
    told += [
        _picture(index, state, one.row) | {"rank": 0, "label": "share", "value": f"{one.share:.0%}"}
        for one in way.neighbours
        if one.row not in on_it
    ]
    return {"note": way_in_words(way.direct, way.share, len(way.steps)), "pictures": told}
