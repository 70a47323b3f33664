"""What strangers send to the application: requests made of its own description, and hostile names."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import cbir
from cbir.serve.app import make_app
from cbir.serve.service import Service

CHECKOUT = Path(__file__).resolve().parents[2]

# What a server that fell over would tell of itself.
_LEAKS = ("Traceback", 'File "', "site-packages", str(CHECKOUT), sys.prefix, "/etc/", "/proc/")

_HOST = {"Host": "127.0.0.1:8580"}

HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "\"' onerror='alert(1).jpg",
    "%2e%2e%2f..%2fetc%2fpasswd.jpg",
    "line\nbreak\r\nSet-Cookie: a=b.jpg",
    "\x1b[31mred\x07.jpg",
    "\u202egnp.jpg",
    "%00%0d%0a.jpg",
    "#fragment?query=1&like=2.jpg",
    " leading and trailing .jpg ",
    "-rf.jpg",
    "名前 ñ 🐈.jpg",
    "__proto__.jpg",
    "a" * 250 + ".jpg",
    os.fsdecode(b"not \xff utf-8.jpg"),
)


def check_answer(response: Any, root: Path, directory: Path) -> None:
    """Check that an answer is no failure of the server, and tells of nothing but the index and its pictures."""
    assert response.status_code < 500 or response.status_code == 503, response.text
    kind = response.headers.get("content-type", "")
    kind = kind[0] if isinstance(kind, list) else kind
    if "json" in kind:
        told = response.text.replace(str(root), "").replace(str(directory), "")
        for leak in (*_LEAKS, str(root.parent)):
            assert leak not in told, told
    if response.status_code >= 400 and response.request.method != "HEAD":
        assert kind == "application/problem+json"
        assert response.json()["status"] == response.status_code


_BY_EXAMPLES = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],
}


def fuzz(app: FastAPI, service: Service, examples: int) -> dict[str, set[int]]:
    """Send requests that the application's description allows to each operation, and return the statuses of each.

    Three of four name an index and a picture that there are.
    """
    load_all_checks()
    served = service.indexes["photos"]
    state = served.state
    rows = state.rows.tolist()
    real = {
        "index": st.just("photos"),
        "picture": st.sampled_from([state.picture_id(row) for row in rows]),
        "sha256": st.sampled_from([state.record(row).sha256 for row in rows]),
    }
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    found: dict[str, set[int]] = {}

    def ask(case: schemathesis.Case, data: st.DataObject) -> None:
        for name in case.path_parameters:
            if name in real and data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(real[name])
        response = case.call(headers=_HOST)
        found.setdefault(case.operation.label, set()).add(response.status_code)
        check_answer(response, state.index.root, served.directory)
        case.validate_response(response, checks=checks)

    for result in schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=_HOST).get_all_operations():
        wanted = settings(max_examples=examples, **_BY_EXAMPLES)
        wanted(given(case=result.ok().as_strategy(), data=st.data())(ask))()
    return found


@st.composite
def searches(draw: st.DrawFn, ids: list[str], dimension: int) -> dict[str, Any]:
    """Draw searches as a page might send them, or as a page would that has gone mad."""
    numbers = st.lists(st.floats(-2, 2, width=16), min_size=dimension, max_size=dimension)
    vector = numbers.map(lambda them: base64.b64encode(np.array(them, dtype="<f2").tobytes()).decode())
    place = st.one_of(
        st.sampled_from(ids).map(lambda one: {"picture": one}),
        st.sampled_from(ids).map(lambda one: {"picture": one, "region": "10%,10%,50%,50%"}),
        vector.map(lambda one: {"vector": one}),
        st.text(max_size=20).map(lambda one: {"path": one}),
        st.text("0123456789abcdef", min_size=16, max_size=20).map(lambda one: {"sha256": one}),
        st.tuples(st.sampled_from(ids), st.text(max_size=12)).map(lambda two: {"picture": two[0], "region": two[1]}),
        st.integers(-1, 20).map(lambda one: {"upload": one}),
        st.tuples(st.sampled_from(ids), st.integers(-1, 3)).map(lambda two: {"picture": two[0], "face": two[1]}),
    )
    good = st.sampled_from(ids[:-3]).map(lambda one: {"picture": one})
    some = st.one_of(st.lists(good, max_size=3), st.lists(place, max_size=3))
    known = st.lists(st.sampled_from(["dog", "red fox", "animal"]), max_size=2)
    words = st.one_of(known, known, st.lists(st.text(max_size=12), max_size=2))
    found: dict[str, Any] = {name: draw(some) for name in ("like", "more", "less")}
    found |= {name: draw(words) for name in ("words", "without")}
    found |= {name: draw(st.one_of(st.just([]), words)) for name in ("objects", "not_objects")}
    limits = {
        "folders": st.lists(st.one_of(st.just("beach"), st.text(max_size=8)), max_size=2),
        "tags": words,
        "since": st.dates().map(str),
        "min_score": st.floats(-2, 2),
        "min_percentile": st.floats(-1, 101),
    }
    found["filter"] = {name: draw(limit) for name, limit in limits.items() if not draw(st.integers(0, 9))}
    found |= {
        "count": draw(st.one_of(st.integers(1, 20), st.integers(0, 10_001))),
        "offset": draw(st.integers(0, 20)),
        "reranked": draw(st.booleans()),
    }
    return found


def fuzz_searches(client: TestClient, service: Service, examples: int, *, explained: bool = False) -> set[int]:
    """Send searches, or ask why they find the first picture, and return the statuses of the answers."""
    served, found = service.indexes["photos"], set()
    state = served.state
    ids = [state.picture_id(int(row)) for row in state.rows] + ["", f"{state.id}-999", "0123456789ab-1"]

    def ask(search: dict[str, Any]) -> None:
        path = f"explain/{ids[0]}" if explained else "search"
        response = client.post(f"/api/v1/indexes/photos/{path}", json=search)
        found.add(response.status_code)
        check_answer(response, state.index.root, served.directory)

    wanted = settings(max_examples=examples, **_BY_EXAMPLES)
    wanted(given(search=searches(ids, state.index.dimension))(ask))()
    return found


def test_requests_by_the_description_are_answered_as_it_says(service: Service) -> None:
    found = fuzz(make_app(service), service, 6)
    assert len(found) >= 10
    assert set().union(*found.values()) >= {200, 404, 422}


def test_searches_of_all_kinds_are_answered_or_refused(client: TestClient, service: Service) -> None:
    assert fuzz_searches(client, service, 60) >= {200, 422}
    assert fuzz_searches(client, service, 30, explained=True) >= {200, 422}


@pytest.mark.faults
def test_many_requests_by_the_description(service: Service) -> None:
    fuzz(make_app(service), service, 300)


@pytest.mark.faults
def test_many_searches(client: TestClient, service: Service) -> None:
    fuzz_searches(client, service, 3000)
    fuzz_searches(client, service, 500, explained=True)


def test_bytes_that_are_no_json_and_no_form(client: TestClient) -> None:
    for path in ("search", "encode", "explain/0123456789ab-1"):
        for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/plain", ""):
            for body in (
                b"",
                b"\xff\xfe\0",
                b"[" * 100_000,
                b"{}" * 9,
                b"--x\r\n\r\n--x--",
                b'{"like":[{"upload":0}]}',
            ):
                response = client.post(f"/api/v1/indexes/photos/{path}", content=body, headers={"Content-Type": kind})
                assert 400 <= response.status_code < 500 or response.status_code == 200, (path, kind, body)
                assert "Traceback" not in response.text


def test_uploads_that_are_no_pictures(client: TestClient) -> None:
    for data in (b"", b"\xff\xd8\xff" + b"\0" * 100, b"GIF89a", b"<svg/>", os.urandom(1000)):
        files = {"file": ("../../evil\r\nX: y.jpg", data)}
        response = client.post("/api/v1/indexes/photos/encode", files=files)
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"


def test_hostile_names_are_told_and_served_as_they_are(photo_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = photo_folder(len(HOSTILE), "hostile")
    for path, name in zip(sorted(root.iterdir()), HOSTILE, strict=True):
        path.rename(root / name)
    (root / "link.jpg").symlink_to(root / HOSTILE[0])
    cbir.index_folder(root, "hostile", model="fake")
    service = Service.open(["hostile"])
    with TestClient(make_app(service), base_url="http://127.0.0.1:8580") as client:
        start = "/api/v1/indexes/hostile"
        for name in HOSTILE:
            if "utf-8.jpg" in name:
                continue  # it cannot stand in an address; its id can
            record = client.get(f"{start}/pictures/by-path", params={"path": name}).json()
            assert record.get("name") == name, record
            found = client.get(f"{start}/search?like={quote(name)}&include_self=true").json()
            assert len(found["matches"]) >= len(HOSTILE) - 1
        everything = client.get(f"{start}/search").json()
        assert {os.fsencode(one["picture"]["name"]) for one in everything["matches"]} >= set(map(os.fsencode, HOSTILE))
        for one in everything["matches"]:
            for kind in ("", "/thumbnail", "/original", "/view"):
                response = client.get(f"{start}/pictures/{one['picture']['id']}{kind}")
                assert response.status_code == 200, (one["picture"]["name"], kind, response.text)
                assert "set-cookie" not in response.headers
                if kind:
                    Image.open(io.BytesIO(response.content)).verify()
            its, other = one["picture"]["id"], everything["matches"][0]["picture"]
            why = client.post(f"{start}/explain/{its}", json={"like": [{"picture": other["id"]}]})
            assert why.json()["explanations"][0]["match"] == one["path"]
            page = client.get("/why", params={"index": "hostile", "picture": its, "like": other["sha256"][:16]})
            assert page.status_code == 200
            assert not any(one in page.text for one in ("<img src=x", "<script", "\x1b", "\u202e")), one["picture"][
                "name"
            ]
