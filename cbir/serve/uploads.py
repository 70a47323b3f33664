"""Pictures that come with a request: held in memory, and kept nowhere."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cbir.serve.problems import ProblemError, invalid
from cbir.serve.settings import MOST_UPLOADS, UPLOAD_BYTES
from cbir.utils.printable import printable


class Form(NamedTuple):
    """The fields of a form, and its files as pairs of a name and a content."""

    fields: dict[str, str]
    files: list[tuple[str, bytes]]


class _InMemory(MultiPartParser):
    """A parser that never writes a file: none is larger than what it holds in memory."""

    spool_max_size = UPLOAD_BYTES + 1


def is_form(request: Request) -> bool:
    """Tell whether a request has a form with files."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_form(request: Request) -> Form:
    """Read the form of a request. ProblemError where it is none."""
    body = await request.body()

    async def whole() -> AsyncIterator[bytes]:
        yield body

    parser = _InMemory(request.headers, whole(), max_files=MOST_UPLOADS, max_fields=20)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(422, "invalid", f"The form is not understood: {error.message}") from error
    except Exception as error:  # of a stranger's bytes, the parser may make anything
        raise ProblemError(422, "invalid", "The form is not understood.") from error
    fields, files = {}, []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            with contextlib.closing(value.file):
                files.append((printable((value.filename or "the picture")[:200]), value.file.read()))
        else:
            fields[name] = value
    return Form(fields, files)


def checked(model: type[BaseModel], text: str | bytes) -> BaseModel:
    """Read JSON as a model. ProblemError, which names the fields, where it is none."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise invalid(error.errors()) from error
