"""The page of people: made here, with forms, since it needs no script."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from cbir.errors import CbirError
from cbir.people.album import NOBODY
from cbir.people.person import Person
from cbir.report.page import environment
from cbir.serve.bodies import Said
from cbir.serve.guard import FORM_HEADERS
from cbir.serve.people import ServedPeople, people_job, say
from cbir.serve.problems import ProblemError, invalid
from cbir.serve.routes.common import AnIndex, AService

router = APIRouter(include_in_schema=False)

#: People of a page, faces of each, and faces of a page about one.
PEOPLE, FACES, ALL_FACES = 50, 24, 1000

# Seconds for which people are waited for before the page says that it is looking.
_PATIENCE = 1.0

# Fields of a form at most: all faces of a page, and what is said of them.
_MOST_FIELDS = ALL_FACES + 10


@router.get("/people/{index}")
def people_page(
    service: AService,
    index: AnIndex,
    person: Annotated[int | None, Query(ge=0, le=10**9)] = None,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Response:
    """Return the page of people, or of one: by number, 0 for the faces that are nobody's."""
    return _page(service, index, person, offset)


@router.post("/people/{index}")
async def change(service: AService, index: AnIndex, request: Request) -> Response:
    """Do what a form says, and lead back to the page; where it cannot be, the page says why."""
    fields = _fields(await request.body())
    shown = fields.pop("shown", [""])[0]
    person = int(shown) if shown.isdecimal() and len(shown) < 10 else None
    try:
        said = _said(fields)
        about = await run_in_threadpool(say, index, said)
    except (CbirError, ProblemError) as error:
        return await run_in_threadpool(_page, service, index, person, 0, str(error))
    where = f"?person={shown}" if person is not None and about in (NOBODY, person) else ""
    anchor = f"#person-{about}" if about != NOBODY else ""
    return RedirectResponse(f"{quote(index.name, safe='')}{where}{anchor}", 303, FORM_HEADERS)


def _page(service: AService, index: AnIndex, number: int | None = None, offset: int = 0, problem: str = "") -> Response:
    state = index.state
    values: dict[str, Any] = {"index": index.name, "problem": problem, "number": number, "offset": offset}
    values |= {"place": quote(index.name, safe=""), "nobody": NOBODY, "step": PEOPLE}
    values |= {"shown": [], "people": [], "total": 0, "nobodys": 0, "is_working": False}
    try:
        found: ServedPeople = people_job(service, state).result(_PATIENCE)
    except TimeoutError:
        values["is_working"] = True
    except CbirError as error:
        values["problem"] = str(error)
    else:
        every = found.people
        some = every[offset : offset + PEOPLE] if number is None else [found.person(number)]
        most = FACES if number is None else ALL_FACES
        values |= {
            "shown": [(one, [_face(state.id, found, face) for face in _some(one, most)]) for one in some],
            "people": every,
            "total": len(every),
            "nobodys": len(found.person(NOBODY).faces),
        }
    text = environment().get_template("people.html").render(**values)
    status = 422 if values["problem"] else 200
    return Response(text.encode("utf-8"), status, FORM_HEADERS, "text/html; charset=utf-8")


def _some(one: Person, most: int) -> tuple[int, ...]:
    """Return faces to be shown: all, or those most like the others and as many that are least like them."""
    return one.faces if len(one.faces) <= most else (*one.faces[: most // 2], *one.faces[-(most // 2) :])


def _face(state: str, found: ServedPeople, face: int) -> dict[str, str]:
    number = int(found.arranged.faces.places[face]) + 1
    sha256 = found.arranged.faces.key(face).sha256
    return {
        "name": found.name(face),
        "source": f"{state}-{found.row(face)}/faces/{number}",
        "picture": sha256[:16],
    }


def _fields(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError as error:
        raise ProblemError(422, "invalid", "The form is not understood.") from error


def _said(fields: dict[str, list[str]]) -> Said:
    """Read the fields of a form. ProblemError where they are none of it."""
    faces = fields.pop("face", [])
    one = {name: values[-1] for name, values in fields.items() if values[-1] != ""}
    try:
        return Said.model_validate({**one, "faces": faces})
    except ValidationError as error:
        raise invalid(error.errors()) from error
