"""Searching an index, and the feature of a picture that need not be in it."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cbir.serve.bodies import Filter, Ref, Search
from cbir.serve.encoding import encode
from cbir.serve.problems import ProblemError, invalid
from cbir.serve.records import json_response
from cbir.serve.refs import Refs
from cbir.serve.routes.common import PROBLEMS, AnIndex, AService
from cbir.serve.search import search_index, search_together
from cbir.serve.service import ServedIndex, Service
from cbir.serve.settings import MOST_RESULTS
from cbir.serve.uploads import checked, is_form, read_form

router = APIRouter(tags=["search"], responses=PROBLEMS)

# its models stand within it: FastAPI lists only those of the parameters that it reads itself
_SEARCH = Search.model_json_schema(
    ref_template="#/paths/~1api~1v1~1indexes~1{{index}}~1search/post/requestBody/content/application~1json/schema/$defs/{model}"
)
#: The body of a search, as JSON or as a form, for the OpenAPI document.
SEARCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _SEARCH},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "query": {"type": "string"},
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            },
        },
    }
}
_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "region": {"type": "string"},
                        "segment": {"type": "integer"},
                    },
                }
            }
        },
    }
}

Names = Annotated[list[str], Query(max_length=100)]
Texts = Annotated[list[str], Query(max_length=20)]


@router.post("/indexes/{index}/search", response_class=Response, openapi_extra=SEARCH_BODY)
async def search(index: AnIndex, service: AService, request: Request) -> Response:
    """Search by what the body says: JSON, or a form whose `query` is that and whose `files` are pictures."""
    wanted, uploads = await searched_for(request)
    return await run_in_threadpool(_answer, service, index, wanted, uploads)


@router.get("/indexes/{index}/search", response_class=Response)
def search_by_address(
    index: AnIndex,
    service: AService,
    like: Names = [],  # noqa: B006
    more: Names = [],  # noqa: B006
    less: Names = [],  # noqa: B006
    word: Names = [],  # noqa: B006
    without: Names = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    not_text: Texts = [],  # noqa: B006
    object: Names = [],  # noqa: B006
    not_object: Names = [],  # noqa: B006
    person: str | None = None,
    learnt: str | None = None,
    count: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 60,
    offset: Annotated[int, Query(ge=0, le=MOST_RESULTS)] = 0,
    reranked: bool = True,
    folder: Names = [],  # noqa: B006
    tag: Names = [],  # noqa: B006
    since: date | None = None,
    until: date | None = None,
    min_score: float | None = None,
    min_percentile: float | None = None,
    min_probability: float | None = None,
) -> Response:
    """Search by pictures of the index (ids, beginnings of their SHA-256, or paths), words, texts, objects, a person."""
    try:
        wanted = Search(
            like=[ref_of(one) for one in like],
            more=[ref_of(one) for one in more],
            less=[ref_of(one) for one in less],
            words=word,
            without=without,
            texts=text,
            not_texts=not_text,
            objects=object,
            not_objects=not_object,
            person=person,
            learnt=learnt,
            count=count,
            offset=offset,
            reranked=reranked,
            filter=Filter(
                folders=folder,
                tags=tag,
                since=since,
                until=until,
                min_score=min_score,
                min_percentile=min_percentile,
                min_probability=min_probability,
            ),
        )
    except ValidationError as error:
        raise invalid(error.errors()) from error
    return _answer(service, index, wanted, [])


@router.post("/indexes/{index}/encode", response_class=Response, openapi_extra=_FILE)
async def encode_picture(index: AnIndex, request: Request) -> Response:
    """Return the feature of a picture, or of a region of it: the picture itself is not kept."""
    if not is_form(request):
        raise ProblemError(415, "no-form", "A picture comes as the part `file` of a form (multipart/form-data).")
    form = await read_form(request)
    if len(form.files) != 1:
        raise ProblemError(422, "invalid", "The form has one picture, `file`.")
    asked: dict[str, Any] = {key: form.fields[key] for key in ("region", "segment") if form.fields.get(key)}
    try:
        ref = Ref(upload=0, **asked)
    except ValidationError as error:
        raise invalid(error.errors()) from error
    name, data = form.files[0]
    return await run_in_threadpool(_encode, index, ref, name, data)


async def searched_for(request: Request) -> tuple[Search, list[tuple[str, bytes]]]:
    """Read the search that the body of a request is, and its pictures by name and content. ProblemError."""
    uploads: list[tuple[str, bytes]] = []
    if is_form(request):
        form = await read_form(request)
        text: str | bytes = form.fields.get("query", "{}")
        uploads = form.files
    else:
        text = await request.body()
    wanted = checked(Search, text)
    assert isinstance(wanted, Search)
    return wanted, uploads


def _answer(service: Service, index: ServedIndex, wanted: Search, uploads: list[tuple[str, bytes]]) -> Response:
    refs = Refs(index, uploads)
    if wanted.also:
        others = [service.index(name) for name in wanted.also]
        found = search_together(refs, wanted, [index, *others], service.together)
    else:
        found = search_index(refs, wanted, service.processes)
    return Response(found, media_type="application/json")


def _encode(index: ServedIndex, ref: Ref, name: str, data: bytes) -> Response:
    vector, size = encode(index, ref, name, data)
    return json_response(
        {
            "vector": base64.b64encode(vector.astype(np.dtype("<f2")).tobytes()).decode("ascii"),
            "dimension": len(vector),
            "model": index.state.backbone.name,
            "name": name,
            "width": size[0],
            "height": size[1],
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )


def ref_of(text: str) -> Ref:
    """Return the picture that an address names: by its id, its content, or its path."""
    if len(text) >= 16 and not text.strip("0123456789abcdef") and len(text) <= 64:
        return Ref(sha256=text)
    state, dash, number = text.partition("-")
    if dash and len(state) == 12 and number.isdigit() and not state.strip("0123456789abcdef"):
        return Ref(picture=text)
    return Ref(path=text)
