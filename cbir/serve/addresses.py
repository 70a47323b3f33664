"""The state of the page as its addresses have it: what `page/state.js` writes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from cbir.serve.bodies import Search
from cbir.serve.problems import ProblemError, invalid

# Fields at most: all judgements of a search, and its filters.
_MOST_FIELDS = 3000

_REF = re.compile(r"([0-9a-f]{16})[0-9a-f]{0,48}(?:@s(?P<segment>\d{1,9})|@f(?P<face>\d{1,9})|@(?P<region>[\d.,%-]+))?")
_VECTOR = re.compile(r"v:([\w+/=]+):(.*)", re.DOTALL)

# Its lists by the names that a search has for them.
_LISTS = ("words", "without", "texts", "not_texts", "objects", "not_objects")
_FILTERS = ("folders", "tags")
_LIMITS = {"since": "since", "until": "until", "score": "min_score", "probability": "min_probability"}


@dataclass(frozen=True)
class PageAddress:
    """The index and the picture that an address of the page shows, and the search that it tells.

    Searches by words are without a notion.
    """

    index: str
    picture: str
    search: Search

    @classmethod
    def parse(cls, query: str) -> PageAddress:
        """Read an address. What it tells wrong of pictures counts as not told; ProblemError where it cannot be one."""
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
        except ValueError as error:
            raise ProblemError(422, "invalid", "The address is not understood.") from error
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault("texts" if name == "text" else name, []).append(value)
        body: dict[str, Any] = {name: [_unescaped(one) for one in values.get(name, [])] for name in _LISTS}
        for name in ("like", "more", "less"):
            body[name] = [found for one in values.get(name, []) if (found := _ref(one)) is not None]
        body["filter"] = {name: [_unescaped(one) for one in values.get(name, [])] for name in _FILTERS}
        body["filter"] |= {to: values[name][-1] for name, to in _LIMITS.items() if values.get(name, [""])[-1]}
        if learnt := values.get("learnt", [""])[-1]:
            is_by_words = any(body[name] for name in ("words", "without", "texts", "not_texts"))
            body["learnt"] = None if is_by_words else _unescaped(learnt)
        try:
            search = Search.model_validate(body)
        except ValidationError as error:
            raise invalid(error.errors()) from error
        index, picture = (_unescaped(values.get(name, [""])[-1]) for name in ("index", "picture"))
        return cls(index, picture, search)


def _ref(text: str) -> dict[str, Any] | None:
    """Read a picture of a query; None where it is none."""
    if (vector := _VECTOR.fullmatch(text)) is not None:
        return {"vector": vector[1], "name": _unescaped(vector[2])}
    if (found := _REF.fullmatch(text)) is None:
        return None
    parts = {name: value for name, value in found.groupdict().items() if value is not None}
    return {"sha256": found[1], **{name: value if name == "region" else int(value) for name, value in parts.items()}}


def _unescaped(text: str) -> str:
    """Return a text of an address: one of JSON without its quotes, as halves of characters need it."""
    try:
        found = json.loads(f'"{text}"')
    except ValueError:
        return text
    return found if isinstance(found, str) else text
