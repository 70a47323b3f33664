"""Pictures of an index: their records, and the pictures themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from cbir.errors import CbirError, ImageReadError
from cbir.images.facts import Facts, facts_of
from cbir.images.previews import as_jpeg
from cbir.images.safely import read_thumbnail
from cbir.serve.faces import faces_of_row
from cbir.serve.files import OpenFile, open_picture, read_picture
from cbir.serve.kinds import media_type
from cbir.serve.objects import objects_of_row
from cbir.serve.problems import ProblemError
from cbir.serve.ranges import asked_range
from cbir.serve.records import json_response, pictures
from cbir.serve.routes.common import PROBLEMS, AnIndex, AService
from cbir.serve.states import ServedState
from cbir.utils.moments import moment

router = APIRouter(tags=["pictures"], responses=PROBLEMS)

# Bytes of a file that are read at a time.
_PART = 1 << 18

Id = Annotated[str, Path(max_length=64)]


@router.get("/indexes/{index}/pictures/by-sha256/{sha256}", response_class=Response)
def picture_by_content(index: AnIndex, sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{16,64}$")]) -> Response:
    """Return the record of the first picture whose SHA-256 begins so."""
    state = index.state
    return _record(state, state.row_of_content(sha256))


@router.get("/indexes/{index}/pictures/by-path", response_class=Response)
def picture_by_path(index: AnIndex, path: Annotated[str, Query(max_length=4096)]) -> Response:
    """Return the record of a picture by its path below the root, as the index has it."""
    state = index.state
    return _record(state, state.row_of_path(path))


@router.get("/indexes/{index}/pictures/{picture}", response_class=Response)
def picture_record(index: AnIndex, picture: Id) -> Response:
    """Return the record of a picture."""
    return _record(*index.picture(picture))


@router.get("/indexes/{index}/pictures/{picture}/thumbnail", response_class=Response)
def thumbnail(
    service: AService, index: AnIndex, picture: Id, request: Request, size: Literal["128", "256", "512"] = "256"
) -> Response:
    """Return a small JPEG of a picture, upright and in sRGB."""
    state, row = index.picture(picture)
    pixels = int(size)
    tag = f'"{state.record(row).sha256[:24]}-{pixels}"'
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=forever(tag))
    try:
        content, is_known = service.thumbnails.of(state, row, pixels)
    except ImageReadError as error:
        raise ProblemError(404, "picture-unreadable", str(error)) from error
    return Response(content, headers=forever(tag) if is_known else {}, media_type="image/jpeg")


@router.get("/indexes/{index}/pictures/{picture}/view", response_class=Response)
def view(index: AnIndex, picture: Id, request: Request, size: Literal["1024", "2048", "4096"] = "2048") -> Response:
    """Return a picture as a JPEG for the screen, upright and in sRGB."""
    state, row = index.picture(picture)
    record = state.record(row)
    tag = f'"{record.sha256[:24]}-{size}"'
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=forever(tag))
    data = read_picture(state.index.root, record.path)
    try:
        image, _ = read_thumbnail(data, int(size), name=record.path)
    except ImageReadError as error:
        raise ProblemError(404, "picture-unreadable", str(error)) from error
    # a file that has changed since is shown as it is now, but not kept as what it was
    is_known = hashlib.sha256(data).hexdigest() == record.sha256
    return Response(as_jpeg(image), headers=forever(tag) if is_known else {}, media_type="image/jpeg")


@router.get("/indexes/{index}/pictures/{picture}/original", response_class=Response)
def original(index: AnIndex, picture: Id, request: Request) -> Response:
    """Return a picture's file as it is; with a Range, a part of it."""
    state, row = index.picture(picture)
    opened = open_picture(state.index.root, state.record(row).path)
    try:
        headers = {"ETag": opened.etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
        if opened.etag in request.headers.get("if-none-match", ""):
            opened.file.close()
            return Response(status_code=304, headers=headers)
        kind = media_type(opened.file.read(64))
        first, stop, status = 0, opened.size, 200
        has_changed = request.headers.get("if-range", opened.etag) != opened.etag
        if not has_changed and (wanted := request.headers.get("range")) is not None:
            found = asked_range(wanted, opened.size)
            if found is not None:
                first, stop, status = *found, 206
                headers["Content-Range"] = f"bytes {first}-{stop - 1}/{opened.size}"
        headers |= {"Content-Length": str(stop - first), "Content-Disposition": "inline"}
        return StreamingResponse(_parts(opened, first, stop), status, headers, kind)
    except BaseException:
        opened.file.close()
        raise


def _parts(opened: OpenFile, first: int, stop: int) -> Iterator[bytes]:
    with opened.file as file:
        file.seek(first)
        left = stop - first
        while left:
            part = file.read(min(_PART, left))
            if not part:  # it was shortened meanwhile
                raise ConnectionError("a picture was shortened while it was sent")
            left -= len(part)
            yield part


def _record(state: ServedState, row: int) -> Response:
    record = state.record(row)
    found: dict[str, Any] = pictures(state, [row])[0]
    tags = state.tags.of([row])[0]
    facts = _facts(state, record.path)
    found |= {"bytes": record.size, "changed": moment(record.mtime_ns // 10**9)}
    found |= {"camera": facts and (facts.camera or None), "format": facts and facts.format}
    found["tags"] = None if tags is None else [tag.to_dict() for tag in tags]
    found["objects"] = objects_of_row(state.index, row)
    found["faces"] = faces_of_row(state.index, row)
    return json_response(found)


def _facts(state: ServedState, path: str) -> Facts | None:
    """Return what the file tells of itself; None where it is gone, or no picture any more."""
    try:
        return facts_of(read_picture(state.index.root, path), path)
    except (ProblemError, CbirError, OSError):
        return None


def forever(tag: str) -> dict[str, str]:
    """Return the headers of what never changes."""
    return {"ETag": tag, "Cache-Control": "private, max-age=31536000, immutable"}
