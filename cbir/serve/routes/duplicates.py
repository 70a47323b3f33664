"""Duplicates: of a whole index, looked for in the background, and of one picture."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from cbir.duplicates.find import MIN_SCORE, Duplicates, Group, find_duplicates
from cbir.duplicates.single import duplicates_of
from cbir.images.sources.address import below
from cbir.serve.problems import ProblemError
from cbir.serve.records import json_response, pictures, records
from cbir.serve.routes.common import PROBLEMS, WORKING, AnIndex, AService, working
from cbir.serve.routes.pictures import Id
from cbir.serve.states import ServedState

router = APIRouter(tags=["duplicates"], responses=PROBLEMS)

Score = Annotated[float, Query(ge=0.5, le=1, allow_inf_nan=False)]

# Pictures most like one by their features, among which its duplicates are looked for.
_AMONG = 100


@router.get("/indexes/{index}/duplicates", response_class=Response, responses=WORKING)
def duplicates(
    service: AService,
    index: AnIndex,
    min_score: Score = MIN_SCORE,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Return groups of pictures that are the same, or nearly, the biggest first; in each the one to keep first.

    202 with how much is `done` while they are being looked for.
    """
    state = index.state
    its, least = state.index, round(min_score, 3)
    job = service.jobs.of(state, ("duplicates", least), lambda told: find_duplicates(its, least, told=told))
    if not job.is_finished:
        return working(job)
    found: Duplicates = job.result()
    numbered = list(enumerate(found.groups, start=1))[offset : offset + count]
    groups = [{"group": number, **_group(state, group)} for number, group in numbered]
    counts = {name: value for name, value in found.to_dict().items() if name != "groups"}
    return json_response({"state": state.id, "total": len(found.groups), "offset": offset, "groups": groups, **counts})


@router.get("/indexes/{index}/pictures/{picture}/duplicates", response_class=Response)
def duplicates_of_one(index: AnIndex, picture: Id, min_score: Score = MIN_SCORE) -> Response:
    """Return the pictures that are the same as one, or nearly, and how probable that is (`score`)."""
    state, row = index.picture(picture)
    result = next(iter(state.searcher.search([state.query(row)], count=_AMONG, reranked=False)))
    if result.error is not None:
        raise result.error
    of_row = {match.row: match for match in result.matches}
    found = duplicates_of(state.index, row, of_row, round(min_score, 3))
    told = records(state, [of_row[one] for one in found])
    for rank, (record, score) in enumerate(zip(told, found.values(), strict=True), start=1):
        record |= {"rank": rank, "score": round(score, 4)}
    return json_response({"matches": told})


def _group(state: ServedState, group: Group) -> dict[str, Any]:
    record = group.to_dict()
    rows = []
    for member in group.members:
        try:
            rows.append(state.row_of_path(below(member.path, state.index.root).as_posix()))
        except (ProblemError, ValueError) as error:
            raise AssertionError("a duplicate is a picture of its index") from error
    for one, picture in zip(record["members"], pictures(state, rows), strict=True):
        one["picture"] = picture
    return record
