"""Who gets in: hosts, other pages' requests, the token; headers of safety."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from cbir.serve.app import make_app
from cbir.serve.service import Service
from cbir.serve.settings import Settings

TOKEN = "a-secret-of-some-letters"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8580"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8580"}, 403),
        ({"Origin": "http://127.0.0.1:8580"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_only_this_servers_own_page_and_programs_are_answered(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    response = client.get("/api/v1/indexes", headers=headers)
    assert response.status_code == status
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_a_token_lets_in_by_header_and_by_cookie(service: Service) -> None:
    client = TestClient(make_app(service, Settings(token=TOKEN)), base_url="http://127.0.0.1:8580")
    assert client.get("/").status_code == 200
    assert client.get("/api/v1/indexes").status_code == 401
    assert client.get("/api/v1/openapi.json").status_code == 401
    for wrong in ("", TOKEN[:-1], f"{TOKEN}x"):
        assert client.get("/api/v1/indexes", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
        assert client.post("/api/v1/login", json={"token": wrong}).status_code == 401
    assert client.get("/api/v1/indexes", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    response = client.post("/api/v1/login", json={"token": TOKEN})
    assert (response.status_code, TOKEN in response.headers["set-cookie"]) == (204, False)
    assert "HttpOnly" in response.headers["set-cookie"]
    assert client.get("/api/v1/indexes").status_code == 200


def test_a_request_that_is_too_large_is_refused_before_it_is_read(client: TestClient) -> None:
    response = client.post("/api/v1/indexes/photos/search", content=b"x" * 2_000_001)
    assert response.status_code == 413


def test_the_page_has_its_tag(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assert client.get("/page/../app.py").status_code == 404
