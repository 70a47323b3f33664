"""A server of ours fetches nothing for others: no address that a request names is asked."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from tests.helpers.web import picture, serving


def test_no_address_of_a_request_is_asked(client: TestClient, root: Path) -> None:
    with serving({"/a.jpg": picture((root / "img_000.jpg").read_bytes())}) as web:
        for address in (f"{web.address}/a.jpg", f"//{web.host}:{web.port}/a.jpg"):
            for like in ({"path": address}, {"picture": address}, {"sha256": address}, {"upload": address}, address):
                for search in ({"like": [like]}, {"more": [like]}, {"less": [like]}):
                    answer = client.post("/api/v1/indexes/photos/search", json=search)
                    assert answer.status_code in (400, 404, 410, 422), (search, answer.text)
            for name in ("like", "picture", "path", "url", "image", "word", "folder"):
                client.get("/api/v1/indexes/photos/search", params={name: address})
            for path in ("pictures", "thumbnails", "files"):
                assert client.get(f"/api/v1/indexes/photos/{path}/{address}").status_code in (404, 422)
        assert web.requests == []
