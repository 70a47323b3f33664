"""Pictures and matches as the server tells them: the shell's records, and how to get the picture."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from cbir.images.sources.address import Address, Location
from cbir.index.sizes import sizes_of
from cbir.search.results import Match
from cbir.serve.states import ServedState

_EPOCH = datetime.datetime(1970, 1, 1)


def pictures(state: ServedState, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return what the contract calls a Picture of each row, in order."""
    found = []
    root = state.index.root
    taken = state.taken[list(rows)].tolist()
    sizes = sizes_of(state.index, rows)
    for row, seconds, record in zip(rows, taken, state.index.files_of(rows), strict=True):
        folder, _, name = record.path.rpartition("/")
        width, height = sizes.get(row, (None, None))
        found.append(
            {
                "id": state.picture_id(row),
                "sha256": record.sha256,
                "name": name,
                "folder": folder,
                "path": _path(root, record.path),
                "width": width,
                "height": height,
                "taken": moment(seconds) if seconds else None,
            }
        )
    return found


def _path(root: Location, path: str) -> str:
    if isinstance(root, Address):
        return str(root / path)
    return os.path.join(root, path).replace("/", os.sep)


def moment(seconds: int) -> str:
    """Return a photo's own local time, in seconds since 1970, by ISO 8601."""
    return (_EPOCH + datetime.timedelta(seconds=seconds)).isoformat()


def records(state: ServedState, matches: Sequence[Match]) -> list[dict[str, Any]]:
    """Return the records of matches, each with its picture."""
    its = pictures(state, [match.row for match in matches])
    return [{**match.to_dict(), "picture": one} for match, one in zip(matches, its, strict=True)]


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer in JSON. It is ASCII: bytes of a name that are no UTF-8 are `\\udcXX`, as in the shell's."""
    return Response(json.dumps(content, separators=(",", ":")), status, headers, "application/json")
