"""People of an index: listed with their faces, named, merged, corrected, forgotten."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from starlette.responses import Response

from cbir.errors import ImageReadError
from cbir.faces.of_index import group_in_any_case
from cbir.images.previews import as_jpeg, cut_out
from cbir.images.regions import Box
from cbir.people.album import NOBODY
from cbir.people.forget import forget
from cbir.people.person import Person
from cbir.serve.bodies import Said
from cbir.serve.files import read_picture
from cbir.serve.people import ServedPeople, people_job, say
from cbir.serve.problems import ProblemError
from cbir.serve.records import json_response, pictures
from cbir.serve.routes.common import PROBLEMS, WORKING, AnIndex, AService, working
from cbir.serve.routes.pictures import Id, forever
from cbir.serve.states import ServedState

router = APIRouter(tags=["people"], responses=PROBLEMS)

Number = Annotated[int, InPath(ge=0, le=10**9)]
Offset = Annotated[int, Query(ge=0, le=10**9)]
Count = Annotated[int, Query(ge=1, le=1000)]

# Faces of each that come with a list of people, and pixels of a face's side.
_FEW, _SIDE = 6, 160


@router.get("/indexes/{index}/people", response_class=Response, responses=WORKING)
def people(service: AService, index: AnIndex, offset: Offset = 0, count: Count = 100) -> Response:
    """List people, those with names first, each with a few faces; `nobodys` counts the faces that are nobody's yet.

    202 with how much is `done` while they are being found.
    """
    state = index.state
    job = people_job(service, state)
    if not job.is_finished:
        return working(job)
    found: ServedPeople = job.result()
    some = found.people[offset : offset + count]
    told = [_told(state, found, one, one.faces[:_FEW]) for one in some]
    nobodys = len(found.person(NOBODY).faces)
    about = {"state": state.id, "total": len(found.people), "offset": offset, "nobodys": nobodys}
    return json_response({**about, "people": told})


@router.get("/indexes/{index}/people/{person}", response_class=Response, responses=WORKING)
def one_person(service: AService, index: AnIndex, person: Number, offset: Offset = 0, count: Count = 100) -> Response:
    """Return the faces of a person by its number, those most like the others first; 0 has those that are nobody's."""
    state = index.state
    job = people_job(service, state)
    if not job.is_finished:
        return working(job)
    found: ServedPeople = job.result()
    one = found.person(person)
    return json_response(
        {"state": state.id, "offset": offset, **_told(state, found, one, one.faces[offset : offset + count])}
    )


@router.post("/indexes/{index}/people", response_class=Response)
def change(index: AnIndex, said: Said) -> Response:
    """Do what is said of people: `name` a `person`; `merge` it `into` another; `add` faces `into` one; `split` faces
    off as a person with a `name`; say that faces are `not` of whom they belong to. Returns the person's number.
    """
    return json_response({"person": say(index, said)})


@router.delete("/indexes/{index}/people/{person}", status_code=204, response_class=Response)
def forget_one(index: AnIndex, person: Number) -> Response:
    """Take the faces of a person, their vectors and the name out of the index."""
    threshold = group_in_any_case(index.state.index.meta.faces)
    with index.keeping:
        forget(index.directory, str(person), threshold=threshold, wait=2.0)
        index.look()
    return Response(status_code=204)


@router.get("/indexes/{index}/pictures/{picture}/faces/{number}", response_class=Response)
def face(index: AnIndex, picture: Id, number: Annotated[int, InPath(ge=1, le=256)]) -> Response:
    """Return a face of a picture, cut out of it, as a small JPEG; the largest is number 1."""
    state, row = index.picture(picture)
    faces = state.index.faces_of(row)
    if number > len(faces):
        raise ProblemError(404, "no-such-face", f"The picture has no face {number}.")
    record = state.record(row)
    data = read_picture(state.index.root, record.path)
    try:
        image = cut_out(data, Box(*faces.boxes[number - 1].tolist()), _SIDE, name=record.path)
    except ImageReadError as error:
        raise ProblemError(404, "picture-unreadable", str(error)) from error
    is_known = hashlib.sha256(data).hexdigest() == record.sha256
    tag = f'"{record.sha256[:24]}-face-{number}-{state.id}"'
    return Response(as_jpeg(image), headers=forever(tag) if is_known else {}, media_type="image/jpeg")


def _told(state: ServedState, found: ServedPeople, one: Person, faces: tuple[int, ...]) -> dict[str, Any]:
    rows = [found.row(face) for face in faces]
    told = [
        {
            "face": found.name(face),
            "number": int(found.arranged.faces.places[face]) + 1,
            "box": list(found.arranged.faces.key(face).box),
            "picture": picture,
        }
        for face, picture in zip(faces, pictures(state, rows), strict=True)
    ]
    return {
        "number": one.number,
        "name": one.name or None,
        "pictures": one.pictures,
        "total": len(one.faces),
        "faces": told,
    }
