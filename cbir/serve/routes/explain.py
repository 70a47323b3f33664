"""Reasons why a search found a picture, and the picture of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cbir.images.previews import as_jpeg
from cbir.serve.bodies import Search
from cbir.serve.problems import invalid
from cbir.serve.records import json_response
from cbir.serve.routes.common import PROBLEMS, AnIndex, heavily
from cbir.serve.routes.pictures import Id
from cbir.serve.routes.search import SEARCH_BODY, Names, Texts, ref_of, searched_for
from cbir.serve.service import ServedIndex

router = APIRouter(tags=["explanations"], responses=PROBLEMS)

Fine = Annotated[bool, Query(description="places have half the side: for small things")]
AllPairs = Annotated[bool, Query(description="with the shares of all pairs of places")]

_A_JPEG: dict[str, Any] = {"200": {"content": {"image/jpeg": {}}}}


async def _search(
    like: Names = [],  # noqa: B006
    more: Names = [],  # noqa: B006
    less: Names = [],  # noqa: B006
    word: Names = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    learnt: str | None = None,
) -> Search:
    """Return the search of an address."""
    try:
        refs = [[ref_of(one) for one in some] for some in (like, more, less)]
        return Search(like=refs[0], more=refs[1], less=refs[2], words=word, texts=text, learnt=learnt)
    except ValidationError as error:
        raise invalid(error.errors()) from error


AddressSearch = Annotated[Search, Depends(_search)]


@router.post("/indexes/{index}/explain/{picture}", response_class=Response, openapi_extra=SEARCH_BODY)
async def explain(
    index: AnIndex, picture: Id, request: Request, fine: Fine = False, all_pairs: AllPairs = False
) -> Response:
    """Tell why a picture is found by a search, whose body is as that of a search is: JSON, or a form with pictures.

    `explanations` are records of `cbir explain --json`: one of the search's pictures, one of each word.
    """
    return await _explained(index, picture, *await searched_for(request), request, fine, all_pairs)


@router.get("/indexes/{index}/explain/{picture}", response_class=Response)
async def explain_by_address(
    index: AnIndex,
    picture: Id,
    request: Request,
    wanted: AddressSearch,
    fine: Fine = False,
    all_pairs: AllPairs = False,
) -> Response:
    """Tell the same of a search by pictures of the index (as `like` of searches names them), words, texts."""
    return await _explained(index, picture, wanted, [], request, fine, all_pairs)


@router.post(
    "/indexes/{index}/explain/{picture}/overlay",
    response_class=Response,
    openapi_extra={**SEARCH_BODY, "responses": _A_JPEG},
)
async def overlay(index: AnIndex, picture: Id, request: Request, fine: Fine = False) -> Response:
    """Return a JPEG: query and picture side by side, the brighter the more a place speaks for their likeness.

    Numbered lines join the places that agree most. Where the query is not one whole picture, or only words, the picture
    alone.
    """
    return await _drawn(index, picture, *await searched_for(request), request, fine)


@router.get("/indexes/{index}/explain/{picture}/overlay", response_class=Response, openapi_extra={"responses": _A_JPEG})
async def overlay_by_address(
    index: AnIndex,
    picture: Id,
    request: Request,
    wanted: AddressSearch,
    fine: Fine = False,
) -> Response:
    """Return the same JPEG of a search by pictures of the index, words, texts."""
    return await _drawn(index, picture, wanted, [], request, fine)


async def _explained(
    index: ServedIndex,
    picture: str,
    wanted: Search,
    uploads: list[tuple[str, bytes]],
    request: Request,
    fine: bool,
    all_pairs: bool,
) -> Response:
    from cbir.serve.explaining import explain  # only here: a server is to be ready before

    async with heavily(request):
        return await run_in_threadpool(
            lambda: json_response(explain(index, picture, wanted, uploads, fine=fine).to_dict(all_pairs=all_pairs))
        )


async def _drawn(
    index: ServedIndex,
    picture: str,
    wanted: Search,
    uploads: list[tuple[str, bytes]],
    request: Request,
    fine: bool,
) -> Response:
    from cbir.serve.explaining import explain

    def made() -> Response:
        return Response(as_jpeg(explain(index, picture, wanted, uploads, fine=fine).drawn()), media_type="image/jpeg")

    async with heavily(request):
        return await run_in_threadpool(made)
